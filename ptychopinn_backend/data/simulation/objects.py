"""Synthetic objects: complex transmission with amplitude and phase in set ranges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from scipy import ndimage, special

from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float64Array
from ptychopinn_backend.data.simulation.spec import SimulationConfig
from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from ptychopinn_backend.files.npz import read_npz
from ptychopinn_backend.files.pictures import import_matplotlib

Shape: TypeAlias = tuple[int, int]

_EDGE_BLUR_PX: Final = 0.7
"""Edges are softened so that the object has little beyond what the pixels can carry."""
_LEAF_COVERAGE: Final = 5.0
_FIELD_EXPONENT: Final = 4.0
_LINE_COVERAGE: Final = 0.35
_LARGEST_PX: Final = 2**24
"""Pixels an image file may have, and an object that is enlarged from one."""


def make_object(spec: SimulationConfig, shape: Shape, rng: np.random.Generator) -> Complex64Array:
    """Return an object of the kind `spec` names.

    Args:
        spec: the simulation.
        shape: (row, column) lengths.
        rng: source of randomness.

    Returns:
        Complex transmission, `shape`.

    Raises:
        DataError: an object file that cannot be used.
    """
    if spec.object == "file":
        assert spec.object_file is not None
        loaded = _fit(_load(spec.object_file), shape)
        if np.iscomplexobj(loaded):
            return np.asarray(loaded, np.complex64)
        thickness = _stretched(loaded)
        thinness, phase = 1 - thickness, thickness
    else:
        thinness, phase = _KINDS[spec.object](shape, spec.feature_size_px, rng)
    amplitude = spec.amplitude_min + (spec.amplitude_max - spec.amplitude_min) * thinness
    angle = spec.phase_min_rad + (spec.phase_max_rad - spec.phase_min_rad) * phase
    return np.asarray(amplitude * np.exp(1j * angle), np.complex64)


def dead_leaves(shape: Shape, feature_px: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Return overlapping opaque ellipses and rectangles whose sizes follow the power law r^-3 of natural images.

    Args:
        shape: (row, column) lengths.
        feature_px: half-width of the largest leaves is twice this, of the smallest a sixth.
        rng: source of randomness.

    Returns:
        Two maps in [0, 1]: amplitude and phase of every leaf are drawn independently.
    """
    maps = np.full((2, *shape), 0.5)
    smallest, largest = feature_px / 6, 2 * feature_px
    to_cover = _LEAF_COVERAGE * shape[0] * shape[1]
    while to_cover > 0:
        # Inverse of the cumulative distribution of p(r) ~ r^-3 on [smallest, largest].
        radius = 1 / np.sqrt(rng.uniform(largest**-2, smallest**-2))
        elongation = rng.uniform(0.5, 1.0)
        to_cover -= np.pi * radius**2 * elongation
        _paint_leaf(maps, radius, elongation, rng)
    blurred = ndimage.gaussian_filter(maps, (0, _EDGE_BLUR_PX, _EDGE_BLUR_PX), mode="nearest")
    return blurred[0], blurred[1]


def _paint_leaf(maps: Float64Array, radius: float, elongation: float, rng: np.random.Generator) -> None:
    _, height, width = maps.shape
    row, column = rng.uniform(-radius, height + radius), rng.uniform(-radius, width + radius)
    angle, values, round_leaf = rng.uniform(0, np.pi), rng.uniform(0, 1, 2), rng.random() < 0.5
    reach = radius * 1.5
    top, bottom = max(0, int(row - reach)), min(height, int(row + reach) + 1)
    left, right = max(0, int(column - reach)), min(width, int(column + reach) + 1)
    if top >= bottom or left >= right:
        return
    dy, dx = np.arange(top, bottom)[:, None] - row, np.arange(left, right)[None, :] - column
    u = (np.cos(angle) * dx + np.sin(angle) * dy) / radius
    v = (np.cos(angle) * dy - np.sin(angle) * dx) / (radius * elongation)
    inside = u**2 + v**2 < 1 if round_leaf else np.maximum(np.abs(u), np.abs(v)) < 1
    maps[:, top:bottom, left:right][:, inside] = values[:, None]


def random_field(shape: Shape, feature_px: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Return two independent Gaussian random fields, power (k^2 + k0^2)^-2, made uniform on [0, 1].

    Args:
        shape: (row, column) lengths.
        feature_px: 1 / (2 pi k0), the length beyond which the field is uncorrelated.
        rng: source of randomness.

    Returns:
        Two maps in [0, 1], for amplitude and phase.
    """
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    cut = 1 / (2 * np.pi * feature_px)
    gain = (ky**2 + kx**2 + cut**2) ** (-_FIELD_EXPONENT / 4)
    gain[0, 0] = 0
    fields = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((2, *shape))) * gain, s=shape, axes=(-2, -1))
    fields /= fields.std(axis=(-2, -1), keepdims=True)
    uniform = special.ndtr(fields)
    return uniform[0], uniform[1]


def lines(shape: Shape, feature_px: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Return straight bars of random direction, length and width that add up where they cross.

    Args:
        shape: (row, column) lengths.
        feature_px: bars are up to a quarter of this wide and up to eight times this long.
        rng: source of randomness.

    Returns:
        Two maps in [0, 1]: bars absorb and shift the phase alike.
    """
    thickness = np.zeros(shape)
    to_cover = _LINE_COVERAGE * shape[0] * shape[1]
    while to_cover > 0:
        half_length = feature_px * rng.uniform(1, 4)
        half_width = max(0.5, feature_px * rng.uniform(0.03, 0.125))
        to_cover -= 4 * half_length * half_width
        _add_bar(thickness, half_length, half_width, rng)
    return _thick_to_maps(thickness / max(np.quantile(thickness, 0.98), 1e-12))


def _add_bar(thickness: Float64Array, half_length: float, half_width: float, rng: np.random.Generator) -> None:
    height, width = thickness.shape
    row, column, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, np.pi)
    weight = rng.uniform(0.5, 1.0)
    reach_y = abs(np.sin(angle)) * half_length + half_width + 1
    reach_x = abs(np.cos(angle)) * half_length + half_width + 1
    top, bottom = max(0, int(row - reach_y)), min(height, int(row + reach_y) + 1)
    left, right = max(0, int(column - reach_x)), min(width, int(column + reach_x) + 1)
    dy, dx = np.arange(top, bottom)[:, None] - row, np.arange(left, right)[None, :] - column
    along = np.abs(np.cos(angle) * dx + np.sin(angle) * dy) < half_length
    across = np.abs(np.cos(angle) * dy - np.sin(angle) * dx) < half_width
    thickness[top:bottom, left:right] += weight * (along & across)


def siemens(shape: Shape, feature_px: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Return a star of radial spokes with rings, centred, turned by a random angle.

    Args:
        shape: (row, column) lengths.
        feature_px: width of a spoke at the star's rim.
        rng: source of randomness.

    Returns:
        Two maps in [0, 1]: spokes absorb and shift the phase alike.
    """
    height, width = shape
    dy, dx = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width)[None, :] - (width - 1) / 2
    radius, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    rim = min(shape) / 2
    spokes = max(6, round(np.pi * rim / feature_px))
    star = np.sin(spokes * (angle + rng.uniform(0, 2 * np.pi))) > 0
    gaps = (radius / rim * 4) % 1 < 0.08
    return _thick_to_maps((star & ~gaps & (radius < rim)).astype(np.float64))


_KINDS: Final[dict[str, Callable[[Shape, float, np.random.Generator], tuple[Float64Array, Float64Array]]]] = {
    "dead_leaves": dead_leaves,
    "random_field": random_field,
    "lines": lines,
    "siemens": siemens,
}


def _thick_to_maps(thickness: Float64Array) -> tuple[Float64Array, Float64Array]:
    blurred = np.clip(ndimage.gaussian_filter(thickness, _EDGE_BLUR_PX, mode="nearest"), 0, 1)
    return 1 - blurred, blurred


def _load(path: Path) -> AnyArray:
    """Return the 2-D array of an NPZ, NPY or image file."""
    if not path.is_file():
        raise DataFileNotFoundError(f"object_file '{path}' does not exist. Check the path.")
    try:
        if path.suffix == ".npz":
            array = read_npz(path, ("objectGuess",)).get("objectGuess")
            if array is None:
                raise DataError(f"object_file '{path}' has no 'objectGuess'. Store the object under that key.")
        elif path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            array = _read_image(path)
    except DataError:
        raise
    except Exception as error:  # every image reader has its own classes
        raise DataError(f"object_file '{path}' cannot be read ({error}). Give an image, NPY or NPZ file.") from error
    if array.ndim == 3 and array.shape[2] in (3, 4) and not np.iscomplexobj(array):
        array = array[..., :3].mean(axis=2)
    if array.ndim != 2 or array.dtype.kind not in "biufc" or min(array.shape) < 2 or not _is_finite(array):
        raise DataError(
            f"object_file '{path}' holds {array.dtype} of shape {array.shape}; expected finite numbers, (row, column)."
            " Convert it first."
        )
    return np.asarray(array)


def _read_image(path: Path) -> AnyArray:
    # Heavy, and needed for images only.
    import_matplotlib()
    from matplotlib.image import imread
    from PIL import Image

    with Image.open(path) as image:
        columns, rows = image.size
    if rows * columns > _LARGEST_PX:
        raise DataError(
            f"object_file '{path}' has {rows} x {columns} pixels; an image may have {_LARGEST_PX}. Crop or reduce it."
        )
    return imread(path)


def _is_finite(array: AnyArray) -> bool:
    # What single precision cannot hold would become infinite later.
    return bool(np.all(np.abs(array) <= np.finfo(np.float32).max))


def _fit(array: AnyArray, shape: Shape) -> AnyArray:
    """Return the middle of `array`, enlarged first where it is smaller than `shape`; real images are also reduced."""
    factor = max(wanted / length for wanted, length in zip(shape, array.shape, strict=True))
    if factor > 1 or not np.iscomplexobj(array):
        zoom = [max(wanted, round(n * factor)) / n for n, wanted in zip(array.shape, shape, strict=True)]
        if factor > 1 and array.size * zoom[0] * zoom[1] > _LARGEST_PX:
            raise DataError(
                f"An object of shape {array.shape} cannot be enlarged to {shape}: one side is too short for the other. "
                "Crop it first."
            )
        kind = np.complex128 if np.iscomplexobj(array) else np.float64
        array = ndimage.zoom(array.astype(kind), zoom, order=1, mode="nearest", grid_mode=True)
    top, left = ((n - wanted) // 2 for n, wanted in zip(array.shape, shape, strict=True))
    return array[top : top + shape[0], left : left + shape[1]]


def _stretched(image: AnyArray) -> Float64Array:
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / (high - low) if high > low else np.zeros(image.shape), np.float64)
