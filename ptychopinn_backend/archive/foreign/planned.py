"""What every importer ends with: the weights of 'cnn', complete and of the shapes its plan has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.errors import ConfigError, DamagedArchiveError, UnsupportedModelError
from ptychopinn_backend.networks.cnn import cnn_plan
from ptychopinn_backend.networks.layers import Shapes
from ptychopinn_backend.networks.weights import LOG_SCALE

WIDEST_MAPS = 128
"""Maps of the last stage of the encoder of 'cnn' with n_filters_scale = 1."""


def filters_scale(widest: int) -> int:
    """Return n_filters_scale of a network.

    Args:
        widest: maps of the last stage of its encoder.

    Returns:
        The factor.

    Raises:
        UnsupportedModelError: it is no whole number.
    """
    if widest < WIDEST_MAPS or widest % WIDEST_MAPS:
        raise UnsupportedModelError(f"its encoder ends with {widest} maps, which is no multiple of {WIDEST_MAPS}")
    return widest // WIDEST_MAPS


def gridsize_of(channels: int) -> int:
    """Return the gridsize of a network that takes groups of `channels` patterns."""
    for gridsize in range(1, 33):
        if gridsize**2 == channels:
            return gridsize
    raise UnsupportedModelError(f"its network takes {channels} patterns at once, which is no square of a gridsize")


def model_config(options: Mapping[str, Any]) -> ModelConfig:
    """Return the network as a configuration.

    Args:
        options: fields of `ModelConfig`.

    Returns:
        The configuration.

    Raises:
        UnsupportedModelError: it breaks a rule of this package; the message is that of the rule.
    """
    try:
        return ModelConfig(**options)
    except ConfigError as error:
        raise UnsupportedModelError(f"its network cannot be built here: {str(error).rstrip('.')}") from error


def complete_weights(found: Mapping[str, AnyArray], model: ModelConfig, intensity_scale: float) -> dict[str, AnyArray]:
    """Return the weights of a model in the order of its plan, with the intensity scale.

    Args:
        found: canonical name -> array.
        model: the network.
        intensity_scale: factor from normalised amplitudes to the square root of counts.

    Returns:
        Canonical name -> float32 array.

    Raises:
        UnsupportedModelError: a weight is missing, is one too many or has another shape.
        DamagedArchiveError: a weight is not finite.
    """
    expected: Shapes = {name: shape for layer in cnn_plan(model).layers for name, shape in layer.shapes.items()}
    for name, shape in expected.items():
        if name not in found:
            raise UnsupportedModelError(f"its network lacks what is '{name}' here")
        if found[name].shape != shape:
            raise UnsupportedModelError(
                f"its network has weights of shape {found[name].shape} where '{name}' has {shape} here"
            )
    beyond = sorted(set(found) - set(expected))
    if beyond:
        raise UnsupportedModelError(f"its network has weights for '{beyond[0]}', where this network has none")
    weights: dict[str, AnyArray] = {name: np.ascontiguousarray(found[name], np.float32) for name in expected}
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise DamagedArchiveError(f"its weights '{name}' hold values that are not finite")
    weights[LOG_SCALE] = np.asarray(np.log(intensity_scale), np.float32)
    return weights
