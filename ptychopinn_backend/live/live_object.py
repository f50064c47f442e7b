"""One object of a stream: it predicts frames as they arrive with their positions, and stitches the patches."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import (
    BoolArray,
    Complex64Array,
    Float32Array,
    Float64Array,
    IntArray,
)
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons, factor_from_photons
from ptychopinn_backend.errors import DataError, UnsupportedOptionError
from ptychopinn_backend.groups import GroupBatch
from ptychopinn_backend.live.growing_object import GrowingObject
from ptychopinn_backend.live.kept_frames import PairLog
from ptychopinn_backend.physics.probe import normalised_for
from ptychopinn_backend.runs.probe_choice import choose_probe
from ptychopinn_backend.runs.reconstruct import (
    at_scale_of_counts,
    patch_weight,
    without_dark_pixels,
)
from ptychopinn_backend.runs.trained_model import DEFAULT_INFERENCE_BATCH, TrainedModel
from ptychopinn_backend.stitching.assembly import StitchedObject
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger(__name__)

BATCH: Final = DEFAULT_INFERENCE_BATCH
"""Number of frames per pass. It is the same for every pass, so that the arithmetic is that of `infer`."""
_SCALED_BY: Final = 512
"""Largest number of patterns that set the scale of the counts, as in `infer`."""
_SHOWN_BY: Final = 32
"""Largest number of patterns that set this scale for a picture of the unfinished object."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Picture of an unfinished object."""

    object: Complex64Array
    """Object (row, column), at the scale of the counts."""
    light: Float32Array
    """Photons that fell on every pixel (row, column)."""
    origin_rc: tuple[float, float]
    """Place of scan coordinate (0, 0) in the arrays (row, column), pixels."""

    @property
    def uncertainty_rad(self) -> Float32Array:
        """Standard deviation of the phase from the photons n of a pixel, 1 / sqrt(n), at most pi (row, column)."""
        return np.minimum(1 / np.sqrt(np.maximum(self.light, 1e-3)), np.float32(np.pi)).astype(np.float32)


def require_one_by_one(model: TrainedModel) -> TrainedModel:
    """Return the model that maps every frame by itself.

    Args:
        model: a trained model.

    Returns:
        The model to predict with.

    Raises:
        UnsupportedOptionError: the model needs the neighbours of a frame.
    """
    alone = model.one_by_one()
    if alone.model.channels > 1:
        raise UnsupportedOptionError(
            f"The model maps groups of {alone.model.channels} neighbours (architecture = "
            f"'{alone.model.architecture}', gridsize = {alone.model.gridsize}), and the neighbours of a frame come "
            "later. Give a model with back-projection (--preset fast or fine), or one trained with --gridsize 1."
        )
    return alone


class LiveObject:
    """Object that grows with every call of `add`. Its memory depends on its size, and grows by 32 bytes per frame."""

    def __init__(self, model: TrainedModel, start: RawData, photons: float | None = None) -> None:
        """Choose probe and normalisation.

        Args:
            model: a model that maps frames one by one, see `require_one_by_one`.
            start: some frames of the scan, which give its brightness and bad pixels, and its probe if they have one.
            photons: mean photons of a pattern, which normalise the patterns; None takes the mean of `start`.

        Raises:
            DataError: the frames have another size than the model or no photons, or there is no probe.
        """
        self.choice = choose_probe(model, start)
        shown = self.choice.scan.probeGuess
        assert shown is not None
        config = model.model
        self.given: tuple[Complex64Array, BoolArray | None] = (
            shown if start.probeGuess is None else start.probeGuess,
            start.bad_pixels,
        )
        """Probe (mode, N, N) and bad pixels (N, N) of the frames; the latter are None if all are good."""
        self._model, self._N, self._bad = model, config.N, start.bad_pixels
        self._mean_photons = start.mean_photons if photons is None else photons
        valid = np.ones((1, config.N, config.N), np.float32)
        if self._bad is not None:
            valid[:, self._bad] = 0
        self._factor = np.float32(factor_from_photons(np.array([self._mean_photons]), config.N))
        self._probes = normalised_for(config, shown)[np.newaxis]
        self._valid = valid
        self._weight = patch_weight("probe", self.choice.probe, config)
        self._object = GrowingObject(config.N, self._weight)
        self.log = PairLog()
        """Numbers and positions of the frames that are in the object."""
        self._counted: list[Float64Array] = []
        self._sample = _Sample()
        self._started = perf_counter()

    @property
    def n_frames(self) -> int:
        """Number of frames in the object."""
        return len(self.log.numbers)

    def fits(self, positions_xy: Float64Array) -> bool:
        """Return whether positions (frame, 2), object pixels, are close enough for an object of bounded size."""
        return self._object.fits(positions_xy)

    def add(self, amplitudes: Float32Array, positions_xy: Float64Array, numbers: list[float]) -> None:
        """Predict frames and add their patches.

        Args:
            amplitudes: square roots of the counts (frame, N, N), at most `BATCH` frames; bad pixels are 0.
            positions_xy: positions (frame, 2), axis 1 = (x, y), object pixels.
            numbers: numbers by which the frames are sorted at the end.

        Raises:
            DataError: the frames have another size than the model.
        """
        count = len(amplitudes)
        if amplitudes.shape[1:] != (self._N, self._N):
            raise DataError(f"The frames have shape {amplitudes.shape[1:]}; this model was built for N = {self._N}.")
        filled = np.concatenate([amplitudes, np.repeat(amplitudes[-1:], BATCH - count, axis=0)])
        source = _Frames(filled * self._factor, self._probes, self._valid)
        patches = np.concatenate(list(self._model.backend.predict(source, BATCH)))[:count, :, :, 0]
        self._object.add(np.ascontiguousarray(patches), positions_xy)
        self._sample.add(amplitudes, positions_xy, numbers)
        self._counted.append(count_photons(amplitudes))
        if len(self._counted) > 1024:
            self._counted = [np.concatenate(self._counted)]
        self.log.add(numbers, positions_xy)

    def picture(self) -> Picture | None:
        """Return a picture of the present object, or None before the first frame."""
        stitched = self._object.so_far()
        if stitched is None:
            return None
        obj, _ = self._scaled(stitched, _SHOWN_BY)
        probe = self.choice.probe
        intensity = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float64)
        photons_of_weight = self._photons() * float(intensity.max() / intensity.sum())
        return Picture(obj, np.asarray(stitched.weight * photons_of_weight, np.float32), stitched.frame.origin_rc)

    def result(self) -> Reconstruction | None:
        """Return the object of all frames, as `infer` gives it without a polish, or None if there is no frame.

        The object is the same as that of `reconstruct` if the frames have the order in which they were added, and are
        normalised by the photons of this object. At most 512 frames, spread evenly, set the scale of the counts.
        """
        stitched = self._object.result()
        if stitched is None:
            return None
        obj, scale = self._scaled(stitched, _SCALED_BY)
        obj = without_dark_pixels(obj, stitched.frame, self.choice.probe, self.log.positions_xy, self._photons())
        info: dict[str, Any] = {
            "scale": scale,
            "elapsed_s": perf_counter() - self._started,
            "n_patterns": self.n_frames,
            "probe": self.choice.origin,
            "scan_index": 0,
            "polish_s": 0.0,
            "polish_steps": 0,
            "normalised_by_photons": self._mean_photons,
        }
        return Reconstruction(
            object=obj,
            origin_rc=stitched.frame.origin_rc,
            probe=self.choice.probe,
            weight=stitched.weight,
            backend=self._model.backend_name,
            positions_xy=self.log.positions_xy.copy(),
            info=info,
            pattern_counts=np.concatenate(self._counted),
        )

    def _photons(self) -> float:
        return float(np.concatenate(self._counted).mean())

    def _scaled(self, stitched: StitchedObject, most: int) -> tuple[Complex64Array, float]:
        amplitudes, positions = self._sample.taken(most)
        return at_scale_of_counts(stitched.object, stitched.frame, self.choice.probe, positions, amplitudes, self._bad)


class _Sample:
    """Up to 512 frames, spread evenly over all that arrived. If there are more, every second one is dropped."""

    def __init__(self) -> None:
        self._stride, self._next, self._came = 1, 0, 0
        self._kept: list[tuple[Float32Array, Float64Array]] = []

    def add(self, amplitudes: Float32Array, positions_xy: Float64Array, numbers: list[float]) -> None:
        for amplitude, position in zip(amplitudes, positions_xy, strict=True):
            if self._came % self._stride == 0:
                if len(self._kept) == _SCALED_BY:
                    self._kept = self._kept[::2]
                    self._stride *= 2
                if self._came % self._stride == 0:
                    self._kept.append((amplitude.copy(), position.copy()))
            self._came += 1

    def taken(self, most: int) -> tuple[Float32Array, Float64Array]:
        step = max(1, len(self._kept) // most)
        chosen = self._kept[::step]
        return np.stack([entry[0] for entry in chosen]), np.stack([entry[1] for entry in chosen])


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frames as a `GroupSource` with groups of one frame."""

    images: Float32Array
    """Normalised amplitudes (frame, N, N)."""
    probes: Complex64Array
    valid_pixels: Float32Array
    max_local_offset_px: float = 0.0
    has_labels: bool = False
    channels: int = 1

    @property
    def n_groups(self) -> int:
        return len(self.images)

    @property
    def N(self) -> int:
        return int(self.images.shape[1])

    def batch(self, indices: IntArray) -> GroupBatch:
        offsets = np.zeros((len(indices), 1, 2, 1), np.float32)
        return GroupBatch(self.images[indices][..., np.newaxis], offsets, np.zeros(len(indices), np.int32), None)
