"""Which network makes the patches: a built-in one, or one that a third party registers by an entry point."""

from __future__ import annotations

from typing import cast

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.generator import Generator, third_party_generator
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.network import BackprojectionUnet, CnnNetwork


def build_generator(model: ModelConfig) -> Generator[tf.Tensor]:
    """Return the generator that `model.architecture` names; the caller has checked that this backend offers it."""
    if model.architecture == "cnn":
        return CnnNetwork(model)
    if model.architecture == "backprojection_unet":
        return BackprojectionUnet(model)
    return cast(Generator[tf.Tensor], third_party_generator("tensorflow", model))
