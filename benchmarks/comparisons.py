"""Tables that set processes side by side: both precisions of a backend, and both backends. All of them took turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from benchmarks.measuring import Figure
from benchmarks.tables import Table

TRAINING_RATE, INFERENCE_RATE = 3, 2
"""Columns of the rates that are compared."""

PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed"}
"""Those the networks are measured in, each in a process of its own -> what `ExecutionConfig` calls it."""

JsonTable = dict[str, Any]


def precisions_joined(backend: str, tables: Mapping[str, Sequence[JsonTable]]) -> list[JsonTable]:
    """Make one set of tables of those that `networks.measure` found for each precision.

    Args:
        backend: that of all of them.
        tables: precision -> its tables; float32 first.

    Returns:
        The same tables with the rows of all precisions, and what bf16 gains.
    """
    *alike, curves = zip(*tables.values(), strict=True)
    joined = [
        {**same[0], "rows": list(chain.from_iterable(zip(*(table["rows"] for table in same), strict=True)))}
        for same in alike
    ]
    return [*joined, _gain_of_bf16(backend, *alike[1:]).as_json(), _curves(backend, curves).as_json()]


def _gain_of_bf16(backend: str, training: Sequence[JsonTable], inference: Sequence[JsonTable]) -> Table:
    table = Table(
        f"bf16 against float32, {backend}",
        ("N, gridsize, filters", "training is faster by", "inference is faster by"),
        "Round by round. Target for PyTorch on AVX512-BF16 machines: 1.5 in training.",
    )
    rows = zip(*(found["rows"] for found in (*training, *inference)), strict=True)
    for full, half, full_inferred, half_inferred in rows:
        table.add(
            full[0],
            ratio(half[TRAINING_RATE], full[TRAINING_RATE]),
            ratio(half_inferred[INFERENCE_RATE], full_inferred[INFERENCE_RATE]),
        )
    return table


def _curves(backend: str, curves: Sequence[JsonTable]) -> Table:
    table = Table(
        f"Loss curves in float32 and bf16, {backend}",
        ("epoch", *PRECISIONS, "difference, %"),
        curves[0]["note"],
    )
    for (epoch, full), (_, half) in zip(*(found["rows"] for found in curves), strict=True):
        table.add(epoch, full, half, 100 * (half / full - 1))
    return table


def backends_compared(topics: Iterable[Mapping[str, Any]]) -> Table:
    """Set both backends side by side, round by round.

    Args:
        topics: as in latest.json; both backends, or the table stays empty.

    Returns:
        The table.
    """
    table = Table(
        "TensorFlow relative to PyTorch",
        ("N, gridsize, filters", "precision", "training", "inference"),
        "Rates divided, round by round; above 1 TensorFlow is faster. Target: 2/3 to 1.5.",
    )
    rows = {found["title"]: found["rows"] for topic in topics for found in topic["tables"]}
    needed = [f"{what}, {backend}" for what in ("Training", "Inference") for backend in ("tensorflow", "pytorch")]
    if all(title in rows for title in needed):
        for there, here, there_inferred, here_inferred in zip(*(rows[title] for title in needed), strict=True):
            trained = ratio(there[TRAINING_RATE], here[TRAINING_RATE])
            table.add(*there[:2], trained, ratio(there_inferred[INFERENCE_RATE], here_inferred[INFERENCE_RATE]))
    return table


def ratio(rates: Mapping[str, Any], others: Mapping[str, Any]) -> Figure:
    """Return how many times as large the rates of one figure are, round by round."""
    pairs = zip(rates["values"], others["values"], strict=True)
    return Figure.of([mine / theirs for mine, theirs in pairs])
