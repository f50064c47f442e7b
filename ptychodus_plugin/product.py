"""Between the host's products and the engine's scans and reconstructions.

Ptychodus counts the centre of an array of n pixels at index (n - 1) / 2, the engine at n / 2. A scan position names
the object pixel under the centre of the patch, so the engine's positions are the host's plus half a pixel; array
pixels themselves have the same indices in both.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from ptychodus.api.object import Object
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePositionSequence
from ptychodus.api.product import LossValue, Product
from ptychodus.api.reconstruct import ReconstructInput
from skimage.restoration import inpaint_biharmonic

from ptychodus_plugin.product_checks import check_product
from ptychopinn_backend.arrays import AnyArray, BoolArray, ComplexArray, Float64Array
from ptychopinn_backend.data.mapped_patterns import mapped_room
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.readers.host_export import CENTRE_SHIFT_PX
from ptychopinn_backend.files.npz import METADATA_KEY, write_npz
from ptychopinn_backend.physics.probe import mean_modes as mean_of_probe
from ptychopinn_backend.stitching.assembly import ObjectFrame
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger("ptychopinn_backend.ptychodus")

POSITIONS_NOTE: Final = (
    "Object pixels; the middle of n pixels is n / 2. Ptychodus' own export counts it as (n - 1) / 2, and is half a "
    "pixel lower."
)
"""In the metadata of an exported scan, for who compares it with the host's own."""


def scan_positions_px(product: Product) -> tuple[Float64Array, Float64Array]:
    """Return the scan positions in the engine's object pixels.

    Args:
        product: the host's product.

    Returns:
        x (column) and y (row) of every position, (pattern,) each.
    """
    geometry = product.object_.get_geometry()
    # By single positions: the call for all of them is not in Ptychodus 1.6.
    places = [geometry.map_coordinates_probe_to_object(position) for position in product.probe_positions]
    return (
        np.array([place.x_px for place in places], np.float64) + CENTRE_SHIFT_PX,
        np.array([place.y_px for place in places], np.float64) + CENTRE_SHIFT_PX,
    )


def mean_modes(probes: ProbeSequence) -> ComplexArray:
    """Return the incoherent modes of a probe; of one that varies over the scan their mean over the positions.

    Args:
        probes: the host's (coherent, incoherent, N, N) modes, with a weight of every coherent mode at every position
            where the probe varies, which it does in its first incoherent mode.

    Returns:
        (mode, N, N).
    """
    coherent = probes.get_array()
    weights = probes.get_opr_weights_or_none()
    if weights is not None:
        logger.info(
            "The probe varies over the scan (%d modes of OPR); its mean over the %d positions is used at each of them.",
            len(coherent),
            len(weights),
        )
    modes: ComplexArray = mean_of_probe(coherent, weights)
    return modes


def raw_data_of(parameters: ReconstructInput) -> RawData:
    """Return the scan to train on or to reconstruct; the same conversion for both.

    Args:
        parameters: counts (pattern, N, N), bad pixels and product of the host.

    Returns:
        The scan: bad pixels marked, which makes their values irrelevant, all incoherent probe modes, the first layer
        of the object as a guess.

    Raises:
        DataError: the arrays break a rule of the scan format, or the product cannot be reconstructed.
    """
    product = parameters.product
    check_product(product)
    xcoords, ycoords = scan_positions_px(product)
    patterns = parameters.diffraction_patterns
    # In a file, so that no scan is held twice.
    amplitudes = mapped_room(patterns.shape)
    return RawData.from_arrays(
        xcoords,
        ycoords,
        patterns,
        mean_modes(product.probes),
        measurement="counts",
        object_guess=product.object_.get_layer(0),
        bad_pixels=parameters.bad_pixels,
        out=amplitudes,
    )


def save_training_data(file_path: Path, parameters: ReconstructInput) -> None:
    """Write a scan as training data, with the keys of the host's own PtychoPINN export.

    Positions are the engine's, and the file says that the patterns are counts; the host's export leaves both open.

    Args:
        file_path: NPZ file to write.
        parameters: counts, bad pixels and product of the host.

    Raises:
        OSError: the folder cannot be written.
        DataError: the product cannot be trained on.
    """
    product = parameters.product
    check_product(product)
    patterns = parameters.diffraction_patterns
    bad_pixels = parameters.bad_pixels
    xcoords, ycoords = scan_positions_px(product)
    members = {
        "xcoords": xcoords,
        "ycoords": ycoords,
        "xcoords_start": xcoords,
        "ycoords_start": ycoords,
        "diff3d": _filled(patterns, bad_pixels),
        "bad_pixels": np.zeros(patterns.shape[1:], bool) if bad_pixels is None else bad_pixels,
        "probeGuess": mean_modes(product.probes),
        "objectGuess": product.object_.get_layer(0),
        "scan_index": np.zeros(len(xcoords), int),
        METADATA_KEY: np.array(json.dumps({"measurement": "counts", "positions": POSITIONS_NOTE})),
    }
    write_npz(file_path, members)


def _filled(patterns: AnyArray, bad_pixels: BoolArray | None) -> AnyArray:
    """Return patterns with bad pixels filled as the host fills them; its call for a stack is not in Ptychodus 1.6."""
    if bad_pixels is None or not bad_pixels.any():
        return patterns
    last = np.moveaxis(patterns, 0, -1).astype(np.float64)
    filled = np.moveaxis(inpaint_biharmonic(last, bad_pixels, channel_axis=-1), -1, 0)
    whole = np.issubdtype(patterns.dtype, np.integer)
    return np.asarray(np.rint(filled) if whole else filled).astype(patterns.dtype)


def object_frame(object_: Object) -> ObjectFrame:
    """Return the frame of the host's object array in the engine's coordinates.

    Args:
        object_: the input object.

    Returns:
        Its shape, with scan coordinate (0, 0) at its first pixel.
    """
    return ObjectFrame(shape=(object_.height_px, object_.width_px), origin_rc=(0.0, 0.0))


def product_of(product: Product, made: Reconstruction, scan: RawData, losses: Sequence[LossValue]) -> Product:
    """Return the host's product with a reconstruction in place of what it came with.

    Args:
        product: the input product, whose metadata and geometry are kept.
        made: object in the frame of the input object, probe (mode, N, N), and positions, refined or as they were.
        scan: what `raw_data_of` made of the input.
        losses: training history of the model.

    Returns:
        The product; a multi-layer input object becomes one layer, a varying probe becomes a constant one.
    """
    object_in = product.object_
    if object_in.num_layers > 1:
        logger.info("The object of %d layers is reconstructed as one layer.", object_in.num_layers)
    return Product(
        metadata=product.metadata,
        probe_positions=_positions_of(product, made, scan),
        probes=ProbeSequence(made.probe, None, product.probes.get_pixel_geometry()),
        object_=Object(made.object, object_in.get_pixel_geometry(), object_in.get_center()),
        losses=losses,
    )


def _positions_of(product: Product, made: Reconstruction, scan: RawData) -> ProbePositionSequence:
    """Return the positions in metres; those that were not refined stay as they are, to the last bit."""
    given = product.probe_positions
    refined, before = made.positions_xy, scan.positions_xy
    if refined is None or refined.shape != before.shape or np.array_equal(refined, before):
        return given
    pixel = product.object_.get_pixel_geometry()
    moved_m = (refined - before) * (pixel.width_m, pixel.height_m)
    places = list(given)
    for row, (x_m, y_m) in zip(_rows_of(product, scan), moved_m, strict=True):
        places[row] = replace(places[row], x_m=places[row].x_m + float(x_m), y_m=places[row].y_m + float(y_m))
    return ProbePositionSequence(places)


def _rows_of(product: Product, scan: RawData) -> Sequence[int]:
    """Return which positions of the product the scan kept: patterns without a photon, for example, are left out."""
    given = np.stack(scan_positions_px(product), axis=1)
    if len(given) == scan.n_patterns:
        return range(scan.n_patterns)
    rows: list[int] = []
    kept = scan.positions_xy
    for row, place in enumerate(given):
        if len(rows) < scan.n_patterns and np.array_equal(place, kept[len(rows)]):
            rows.append(row)
    return rows


def losses_of(history: Mapping[str, Sequence[float]], name: str = "loss") -> list[Any]:
    """Return one curve of a training history as the host keeps it.

    Args:
        history: one value per epoch for every loss term.
        name: which curve; a missing one gives an empty list.

    Returns:
        The host's `LossValue`, epochs counted from 1.
    """
    return [LossValue(epoch, float(value)) for epoch, value in enumerate(history.get(name, ()), start=1)]


def drawable_losses(history: Mapping[str, Sequence[float]]) -> list[Any]:
    """Return the training loss for a product, whose losses the host draws on a logarithmic axis.

    A Poisson likelihood without its constant is negative. A curve that is not positive throughout is therefore moved
    up by a constant, to start at a hundredth of its span; differences between epochs stay what they are.

    Args:
        history: one value per epoch for every loss term.

    Returns:
        The host's `LossValue`, all positive.
    """
    values = np.asarray(history.get("loss", ()), np.float64)
    if values.size and values.min() <= 0:
        span = np.ptp(values) or 1.0
        values = values - values.min() + 0.01 * span
    return losses_of({"loss": values.tolist()})
