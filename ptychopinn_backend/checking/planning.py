"""Needs of a training and a reconstruction of a scan on this machine: a preset, memory, time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from ptychopinn_backend.checking.subject import Subject
from ptychopinn_backend.config.presets import AUTO, FittedPreset, fitted_preset
from ptychopinn_backend.files.npz import machine_memory_bytes

_TRAINING_GFLOP: Final = 1.0
"""Floating-point work per pattern of 64 x 64 in a training step of a preset; benchmarks/results has the rates."""
_INFERENCE_GFLOP: Final = 0.5
"""Floating-point work per pattern of 64 x 64 to predict, stitch and polish it."""
_REFERENCE_SIDE: Final = 64
_START_S: Final = 5.0
"""Time to load a framework."""
_PROGRAM_GIB: Final = 0.5
_STEP_GIB: Final = 0.3
"""Memory of one training step of a preset at 64 x 64 with nine patterns together."""
_COPIES: Final = 2.0
"""Number of times that a scan in memory is held during its training."""
_YARDSTICK_SIDE: Final = 768


@dataclass(frozen=True)
class Planned:
    """Numbers for the planning of a training and a reconstruction."""

    preset: FittedPreset
    """Preset that 'auto' chooses, with the reason."""
    photons_per_pattern: float
    """Mean number of photons in a pattern."""
    photons_per_px2: float
    """Number of photons per object pixel within the scan."""
    photons_per_nm2: float | None
    """Number of photons per square nanometre; None if the size of an object pixel is unknown."""
    overlap: float | None
    """Part of the probe's width that neighbours share; None without a probe."""
    scan_gib: float
    """Memory of the patterns as amplitudes, GiB."""
    training_gib: float
    """Approximate memory of a training, GiB."""
    machine_gib: float
    """Memory of this machine, GiB."""
    gflops: float
    """Speed of this machine's processor in a product of matrices, GFLOP/s."""
    training_s: float
    """Time of a training on the processor in seconds, within a factor of about two."""
    inference_s: float
    """Time of a reconstruction on the processor in seconds, within a factor of about two."""
    has_gpu: bool
    """Whether there is a graphics processor, which is several times faster."""

    @property
    def lines(self) -> dict[str, str]:
        """A sentence for each group of numbers, by name."""
        area = "" if self.photons_per_nm2 is None else f", {self.photons_per_nm2:.3g} per nm2"
        fits = "" if self.training_gib < 0.8 * self.machine_gib else "; train from a data set on disk (--dataset)"
        gpu = "; the graphics processor is several times faster" if self.has_gpu else ""
        return {
            "preset": f"'{AUTO}' takes {self.preset}.",
            "dose": f"{self.photons_per_pattern:.4g} photons per pattern, {self.photons_per_px2:.3g} per object "
            f"pixel{area}.",
            "memory": f"{self.scan_gib:.2g} GiB for the patterns, about {self.training_gib:.2g} GiB for a training; "
            f"this machine has {self.machine_gib:.3g} GiB{fits}.",
            "time": f"about {duration(self.training_s)} to train, {duration(self.inference_s)} to reconstruct on this "
            f"processor ({self.gflops:.0f} GFLOP/s, within a factor of two){gpu}.",
        }


def planned(subject: Subject, share: float = 1.0) -> Planned:
    """Calculate the needs of a scan.

    Args:
        subject: the scan, or its first patterns.
        share: part of the scan's patterns that `subject` has.

    Returns:
        The numbers.
    """
    raw, traits = subject.raw, subject.traits
    preset = fitted_preset(AUTO, [raw])
    options = preset.options
    visits = options["nepochs"] * options["groups_per_epoch"] * options["gridsize"] ** 2
    gflops = speed_gflops()
    work = (raw.N / _REFERENCE_SIDE) ** 2 / gflops
    dose = float(subject.photons.sum()) / lit_area_px2(subject)
    pixels = [raw.metadata.get(f"object_pixel_{axis}_m") for axis in ("width", "height")]
    known = all(isinstance(value, int | float) and value > 0 for value in pixels)
    scan_gib = raw.diff3d.nbytes / share / 2**30
    return Planned(
        preset=preset,
        photons_per_pattern=float(subject.photons.mean()),
        photons_per_px2=dose,
        photons_per_nm2=dose / (pixels[0] * pixels[1] * 1e18) if known else None,  # type: ignore[operator]
        overlap=None if traits is None else traits.overlap,
        scan_gib=scan_gib,
        training_gib=_PROGRAM_GIB + _STEP_GIB * (raw.N / _REFERENCE_SIDE) ** 2 + _COPIES * scan_gib,
        machine_gib=machine_memory_bytes() / 2**30,
        gflops=gflops,
        training_s=_START_S + visits * _TRAINING_GFLOP * work,
        inference_s=_START_S + raw.n_patterns / share * _INFERENCE_GFLOP * work,
        has_gpu=shutil.which("nvidia-smi") is not None,
    )


def lit_area_px2(subject: Subject) -> float:
    """Return the area that the scan lights, in object pixels: all places within half a probe of a scan point."""
    traits = subject.traits
    width = float(subject.raw.N) if traits is None else traits.probe_width_px
    # Cells have a quarter of the probe's width, and count if the disc of a point reaches their middle.
    cell = max(1.0, width / 4)
    reach = np.arange(-2, 3)
    offsets = np.array([(x, y) for x in reach for y in reach if np.hypot(x, y) * cell <= width / 2])
    points = np.column_stack([np.floor(subject.raw.positions_xy / cell), subject.raw.scan_index])
    points = np.unique(points, axis=0)
    cells = points[:, np.newaxis] + np.column_stack([offsets, np.zeros(len(offsets))])
    return float(len(np.unique(cells.reshape(-1, 3), axis=0)) * cell**2)


def speed_gflops() -> float:
    """Return the speed of matrix products in single precision, GFLOP/s: the best of a few tenths of a second."""
    side = _YARDSTICK_SIDE
    rng = np.random.default_rng(0)
    first, second = (rng.random((side, side), np.float32) for _ in range(2))
    best = np.inf
    first @ second
    for _ in range(5):
        started = perf_counter()
        first @ second
        best = min(best, perf_counter() - started)
    return float(2 * side**3 / best / 1e9)


def duration(seconds: float) -> str:
    """Return a time in words: '40 s', '12 min', '3.4 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
