"""Stitching beside the memory bandwidth of one thread."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.measuring import interleaved, memory_copy, peak_mib
from benchmarks.scenes import SEED
from benchmarks.tables import Table
from ptychopinn_backend.stitching.assembly import ObjectAssembler, ObjectFrame

N = 64
BATCH = 64
STEP_PX = 4.0
# What no stitching can do without: read the patch, read and write the object and its weight under it. Where phases are
# aligned patches wait for others, more than the caches hold: each is written down and read twice, the object as well.
TRAFFIC_BYTES = {False: N * N * (8 + 2 * 8 + 2 * 4), True: N * N * (8 + 8 + 2 * (8 + 2 * 8) + 2 * 4)}


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Stitching",
        ("patches", "phases", "object", "s", "µs a patch", "GB/s", "copy GB/s", "bound is faster by", "peak MiB"),
        f"Patches of {N} x {N}, added in batches of {BATCH} from one buffer, sub-pixel positions. GB/s counts the "
        f"least traffic, {TRAFFIC_BYTES[False] / 1024:.0f} KiB a patch, {TRAFFIC_BYTES[True] / 1024:.0f} where phases "
        "are aligned in the fewest passes, two of at most five. Targets: the bound at most 4 times faster, linear in "
        "patches, independent of the size of the object, 100,000 patches in 20 s and 1 GiB.",
    )
    prediction = _prediction()
    cases = [(patches, align, 1.0) for patches in (1_000, 10_000, 100_000) for align in (False, True)]
    cases.append((10_000, False, 4.0))
    runs = []
    for patches, align, spread in [(200, True, 1.0)] if quick else cases:
        positions, frame = _positions(patches, spread)
        stitch = partial(_stitch, prediction, positions, frame, align)
        stitch()
        runs.append((patches, align, frame, stitch, peak_mib()))
    # Only now, because its arrays would hide the peak of stitching.
    copy, copied_bytes = memory_copy()
    for patches, align, frame, stitch, peak in runs:
        traffic_bytes = patches * TRAFFIC_BYTES[align]
        times = interleaved({"stitch": stitch, "copy": copy}, 1 if quick else 3 if patches == 100_000 else 5)
        table.add(
            patches,
            "aligned" if align else "as they are",
            f"{frame.shape[0]} x {frame.shape[1]}",
            times["stitch"].figure,
            times["stitch"].times(1e6 / patches).figure,
            times["stitch"].rate(traffic_bytes / 1e9),
            times["copy"].rate(copied_bytes / 1e9),
            times["stitch"].relative_to(times["copy"].times(traffic_bytes / copied_bytes)),
            peak,
        )
    return [table]


def _positions(patches: int, spread: float) -> tuple[np.ndarray, ObjectFrame]:
    """Return a jittered raster; `spread` widens the object without a change in overlap, by leaving a gap."""
    side = int(np.ceil(patches**0.5))
    rows, columns = np.divmod(np.arange(patches), side)
    grid = np.stack([columns, rows], axis=1) * STEP_PX
    grid[rows >= side / 2, 1] += (spread - 1) * side * STEP_PX
    positions = grid + np.random.default_rng(SEED).uniform(-1.5, 1.5, grid.shape)
    return positions, ObjectFrame.covering(positions, N)


def _prediction() -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of patches with phases of their own, and the weight of their pixels."""
    rng = np.random.default_rng(SEED)
    patches = 1 + 0.1 * rng.normal(size=(BATCH, N, N)) + 0.1j * rng.normal(size=(BATCH, N, N))
    patches *= np.exp(2j * np.pi * rng.random((BATCH, 1, 1)))
    y, x = np.mgrid[:N, :N] - N / 2 + 0.5
    return patches.astype(np.complex64), np.exp(-(x**2 + y**2) / 200).astype(np.float32)


def _stitch(prediction: tuple[np.ndarray, np.ndarray], positions: np.ndarray, frame: ObjectFrame, align: bool) -> None:
    patches, weight = prediction
    assembler = ObjectAssembler(frame, N, weight, align_phases=align)
    for start in range(0, len(positions), BATCH):
        some = positions[start : start + BATCH]
        assembler.add(patches[: len(some)], some)
    assembler.result()
