"""Which network makes the patches: the built-in one, or one that a third party registers by an entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol, cast, runtime_checkable

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import ENTRY_POINT_GROUP
from ptychopinn_backend.tf_backend.network import BackprojectionUnet, CnnGenerator


class Generator(Protocol):
    """A network as a function of its weights; what a `tensorflow.<architecture>` entry point builds from the model."""

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return the starting weights, canonical name -> float32 array; a function of the seed alone."""

    def patches(self, inputs: Any, weights: Mapping[str, Any]) -> Any:
        """Return the object patches of a batch.

        Args:
            inputs: tensor (group, N, N, channel * maps); its type is the type to compute in.
            weights: canonical name -> float32 tensor.

        Returns:
            complex64 tensor (group, N, N, out channel).
        """


@runtime_checkable
class StartsWithConvolution(Protocol):
    """A generator whose inputs are multiplied by one kernel and nothing else.

    A factor on the inputs can then be one on the kernel: fewer numbers, and its gradient needs none of the inputs.
    """

    first_kernel: str
    """Canonical name of the kernel."""


def build_generator(model: ModelConfig) -> Generator:
    """Return the generator that `model.architecture` names; the caller has checked that this backend offers it."""
    if model.architecture == "cnn":
        return CnnGenerator(model)
    if model.architecture == "backprojection_unet":
        return BackprojectionUnet(model)
    (entry,) = entry_points(group=ENTRY_POINT_GROUP, name=f"tensorflow.{model.architecture}")
    return cast(Generator, entry.load()(model))
