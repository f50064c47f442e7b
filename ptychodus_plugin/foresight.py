"""What 'auto' would choose for a product, read off a few of its patterns before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ptychodus.api.product import Product

from ptychodus_plugin.messages import Chosen
from ptychodus_plugin.product_checks import check_patterns, check_product
from ptychopinn_backend.arrays import ComplexArray, Float64Array, IntArray
from ptychopinn_backend.config.presets import AUTO, fitted_preset
from ptychopinn_backend.data.scaling import counts_in_light
from ptychopinn_backend.physics.probe import mean_modes

_LOOKED_AT: Final = 64
"""Patterns, spread evenly, that tell the dose: as many as a training looks at."""


@dataclass(frozen=True, eq=False)
class DescribedProduct:
    """What a preset must know of a product; a `DescribedScan`."""

    n_patterns: int
    """Patterns with a position."""
    N: int
    """Pattern side in pixels."""
    probeGuess: ComplexArray
    """Probe (mode, N, N)."""
    positions_xy: Float64Array
    """Scan positions (pattern, 2), object pixels from an origin of the host's."""
    mean_photons: float
    """Mean counts of the patterns that were looked at."""
    counts_in_light: float | None
    """Mean counts of a pixel as a photon meets it, or None."""

    @property
    def object_of_position(self) -> IntArray:
        """One object."""
        return np.zeros(len(self.positions_xy), np.int32)


def foreseen_choice(product: Product, data: Any) -> Chosen:
    """Return what 'auto' would choose for a product.

    Args:
        product: the host's.
        data: the host's `AssembledDiffractionData` of the product; all of its patterns stay where they are.

    Returns:
        The choice, with its reason.

    Raises:
        DataError: the product cannot be trained on.
    """
    preset = fitted_preset(AUTO, [described(product, data)], log=False)
    return Chosen(preset.name, preset.reason)


def described(product: Product, data: Any) -> DescribedProduct:
    """Return what a preset must know of a product.

    Args:
        product: the host's.
        data: the host's `AssembledDiffractionData` of the product.

    Returns:
        The description.

    Raises:
        DataError: the product cannot be trained on.
    """
    check_product(product)
    _, height, width = data.get_patterns_shape()
    pixel = product.object_.get_pixel_geometry()
    measured = np.asarray(data.get_indexes())
    places = {place.index: (place.x_m / pixel.width_m, place.y_m / pixel.height_m) for place in product.probe_positions}
    positions = np.array([places[index] for index in measured.tolist() if index in places], np.float64).reshape(-1, 2)
    check_patterns((len(positions), height, width), width, 1)
    rows = np.linspace(0, len(measured) - 1, min(len(measured), _LOOKED_AT)).astype(np.intp)
    counts = np.stack([data.get_pattern(row) for row in rows]).astype(np.float64)
    bad_pixels = np.asarray(data.get_bad_pixels(), bool)
    return DescribedProduct(
        n_patterns=len(positions),
        N=width,
        probeGuess=mean_modes(product.probes.get_array(), product.probes.get_opr_weights_or_none()),
        positions_xy=positions,
        mean_photons=float(counts[:, ~bad_pixels].sum() / len(counts)),
        counts_in_light=counts_in_light(np.sqrt(np.maximum(counts, 0.0)), bad_pixels),
    )
