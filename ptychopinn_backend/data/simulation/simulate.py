"""From a simulation's description to counts: object, probe and scan through the far field to a noisy detector."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array, Float64Array, IntArray
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation.objects import make_object
from ptychopinn_backend.data.simulation.probes import make_probe
from ptychopinn_backend.data.simulation.scans import make_positions
from ptychopinn_backend.data.simulation.spec import SimulationConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.files.npz import METADATA_KEY, write_npz
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.physics.probe import pixel_distance
from ptychopinn_backend.physics.scan_model import pattern_batches, scan_intensities

_MARGIN_PX: Final = 2
_MAX_OBJECT_PX: Final = 20_000
_COUNT_TYPES: Final = (np.uint16, np.uint32, np.uint64)


@dataclass(frozen=True)
class SimulatedScan:
    """A simulated measurement with what made it; scan coordinate (0, 0) is the object's pixel (0, 0)."""

    spec: SimulationConfig
    """What was asked for."""
    seed: int
    """Seed of all randomness."""
    counts: IntArray
    """(pattern, N, N) unsigned integers, zero frequency at the array centre."""
    positions_xy: Float64Array
    """Recorded positions (pattern, 2), axis 1 = (x, y), object pixels."""
    true_positions_xy: Float64Array
    """Positions the patterns were made at; differ by `position_error_px`."""
    probe: Complex64Array
    """(mode, N, N), scaled so that sum over modes of |F(P * patch)|^2 are expected counts."""
    object: Complex64Array
    """Ground truth (row, column)."""
    bad_pixels: BoolArray | None
    """(N, N), True where the detector is bad or behind the beam stop; None when nowhere."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file says of itself."""
        return {
            "measurement": COUNTS,
            "nphotons": float(self.spec.photons),
            "simulation": {**self.spec.as_json(), "seed": self.seed},
        }

    def to_raw_data(self) -> RawData:
        """Return the scan as any other measured scan, with its ground truth as `objectGuess`."""
        x, y = self.positions_xy.T
        return RawData.from_arrays(
            x,
            y,
            self.counts,
            self.probe,
            measurement=COUNTS,
            object_guess=self.object,
            bad_pixels=self.bad_pixels,
            metadata=self.metadata,
        )

    def to_file(self, path: str | Path) -> Path:
        """Write the scan as an NPZ file, patterns as integer counts.

        Args:
            path: the file; its folder is made when missing, an existing file is replaced as a whole.

        Returns:
            The path written.

        Raises:
            OSError: the folder cannot be made or written.
        """
        members: dict[str, AnyArray] = {
            "diff3d": self.counts,
            "xcoords": self.positions_xy[:, 0],
            "ycoords": self.positions_xy[:, 1],
            "probeGuess": self.probe,
            "objectGuess": self.object,
            "scan_index": np.zeros(len(self.counts), np.int32),
            METADATA_KEY: np.array(json.dumps(self.metadata)),
        }
        if self.bad_pixels is not None:
            members["bad_pixels"] = self.bad_pixels
        if self.spec.position_error_px > 0:
            members["xcoords_true"], members["ycoords_true"] = self.true_positions_xy.T
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_npz(file, members)
        return file


def simulate_scan(spec: SimulationConfig, seed: int) -> RawData:
    """Return a simulated scan in the form of a measured one.

    Args:
        spec: what to simulate.
        seed: of all randomness.

    Returns:
        The scan; `objectGuess` is the ground truth.

    Raises:
        ConfigError: the scan would need an object beyond all measure.
        DataError: an object or probe file that cannot be used.
    """
    return simulate(spec, seed).to_raw_data()


def simulate(spec: SimulationConfig, seed: int) -> SimulatedScan:
    """Simulate a scan.

    Object, scan, bad pixels and noise draw from streams of their own, so changing one leaves the others as they were.

    Args:
        spec: what to simulate.
        seed: of all randomness; equal specification and seed give equal counts.

    Returns:
        The counts and what made them.

    Raises:
        ConfigError: the scan would need an object beyond all measure.
        DataError: an object or probe file that cannot be used.
    """
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)]
    object_rng, scan_rng, detector_rng, noise_rng = streams
    recorded = make_positions(spec, scan_rng)
    true = recorded + spec.position_error_px * scan_rng.standard_normal(recorded.shape)
    shift = spec.size / 2 + _MARGIN_PX - np.minimum(recorded, true).min(axis=0)
    recorded, true = recorded + shift, true + shift
    obj = make_object(spec, _object_shape(spec, np.maximum(recorded, true)), object_rng)
    probe = _scaled_to_dose(make_probe(spec), obj, true, spec.photons)
    bad_pixels, hot_pixels, beam_stop = _detector(spec, detector_rng)
    counts = _measure(obj, probe, true, beam_stop, noise_rng)
    counts[:, bad_pixels] = 0
    counts[:, hot_pixels] = counts.max()
    ignored = bad_pixels | beam_stop
    return SimulatedScan(spec, seed, counts, recorded, true, probe, obj, ignored if ignored.any() else None)


def _object_shape(spec: SimulationConfig, positions_xy: Float64Array) -> tuple[int, int]:
    width, height = np.ceil(positions_xy.max(axis=0) + spec.size / 2 + _MARGIN_PX).astype(int)
    if max(width, height) > _MAX_OBJECT_PX:
        raise ConfigError(
            f"The scan covers {height} x {width} pixels; at most {_MAX_OBJECT_PX} per side are simulated. Lower "
            "step_px, patterns or position_error_px."
        )
    return int(height), int(width)


def _scaled_to_dose(
    probe: Complex64Array, obj: Complex64Array, positions_xy: Float64Array, photons: float
) -> Complex64Array:
    """Return the probe for which patterns have `photons` on average (by Parseval, without a transform)."""
    density = np.sum(np.abs(probe) ** 2, axis=0)
    total = 0.0
    for batch in pattern_batches(len(positions_xy), probe):
        patches = extract_patches(obj, (0, 0), positions_xy[batch], probe.shape[-1])
        total += float(np.sum((patches.real**2 + patches.imag**2) * density, dtype=np.float64))
    if total == 0:
        raise ConfigError("No light passes the object: its amplitude is 0 everywhere. Raise amplitude_max.")
    return np.asarray(probe * np.sqrt(photons * len(positions_xy) / total), np.complex64)


def _detector(spec: SimulationConfig, rng: np.random.Generator) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Return bad pixels, the hot ones among them, and the beam stop, each (N, N)."""
    N = spec.size
    chosen = rng.permutation(N * N)[: round(spec.bad_pixel_fraction * N * N)]
    bad, hot = np.zeros((2, N * N), np.bool_)
    bad[chosen] = True
    hot[chosen[::2]] = True
    beam_stop = pixel_distance(N) < spec.beam_stop_px / 2
    return bad.reshape(N, N), hot.reshape(N, N), beam_stop


def _measure(
    obj: Complex64Array,
    probe: Complex64Array,
    positions_xy: Float64Array,
    beam_stop: BoolArray,
    rng: np.random.Generator,
) -> IntArray:
    pieces: list[IntArray] = []
    for batch in pattern_batches(len(positions_xy), probe):
        expected = scan_intensities(obj, (0, 0), probe, positions_xy[batch])
        expected[:, beam_stop] = 0
        drawn = rng.poisson(expected)
        pieces.append(drawn.astype(next(kind for kind in _COUNT_TYPES if drawn.max() <= np.iinfo(kind).max)))
    return np.concatenate(pieces)
