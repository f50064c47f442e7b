"""Grouping beside a bare KD-tree query of the same neighbours."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from benchmarks.measuring import interleaved, peak_mib
from benchmarks.scenes import SEED
from benchmarks.tables import Table
from ptychopinn_backend.data.grouping import GroupingOptions, group_positions

NEIGHBOURS = 7
STEP_PX = 3.0


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Grouping",
        ("positions", "group s", "bare KD-tree s", "ratio", "peak MiB"),
        f"gridsize 2, {NEIGHBOURS} neighbours, one group a position; the bound is scipy's KD-tree built and asked for "
        "the same neighbours on all cores. Target: ratio below 3.",
    )
    for positions, repeats in ((1_000, 21), (10_000, 9), (100_000, 5), (1_000_000, 3))[: 1 if quick else None]:
        xy = np.random.default_rng(SEED).uniform(0, STEP_PX * positions**0.5, (positions, 2))
        options = GroupingOptions(gridsize=2, neighbor_count=NEIGHBOURS, seed=SEED)

        def group(xy: np.ndarray = xy, options: GroupingOptions = options) -> None:
            group_positions(xy[:, 0], xy[:, 1], options)

        group()
        peak = peak_mib()
        times = interleaved(
            {
                "ours": group,
                "bare": lambda xy=xy: KDTree(xy).query(xy, k=NEIGHBOURS + 1, workers=-1),
            },
            2 if quick else repeats,
            warm_ups=0 if positions == 1_000_000 else 1,
        )
        ratio = times["ours"].relative_to(times["bare"])
        table.add(positions, times["ours"].figure, times["bare"].figure, ratio, peak)
    return [table]
