"""What the benchmarks compare, they compare round by round."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.comparisons import backends_compared, precisions_joined, ratio
from benchmarks.measuring import Figure
from benchmarks.tables import Table


def tables_of(backend: str, precision: str, rates: tuple[float, ...]) -> list[dict[str, Any]]:
    """What a process hands back, with made-up rates."""
    figure = Figure.of(rates)
    dense, training, inference, curve = (
        Table(f"Dense matrix product, {backend}", ("precision", "GFLOP/s")),
        Table(f"Training, {backend}", ("network", "precision", "batch", "samples/s")),
        Table(f"Inference, {backend}", ("network", "precision", "patches/s predicted")),
        Table(f"Loss curve, {backend}", ("epoch", precision), "Of every epoch."),
    )
    dense.add(precision, figure)
    training.add("cnn", precision, 16, figure)
    inference.add("cnn", precision, figure)
    curve.add(1, -100.0 if precision == "float32" else -101.0)
    return [table.as_json() for table in (dense, training, inference, curve)]


def joined(backend: str, float32: tuple[float, ...], bf16: tuple[float, ...]) -> dict[str, dict[str, Any]]:
    both = {"float32": tables_of(backend, "float32", float32), "bf16": tables_of(backend, "bf16", bf16)}
    return {table["title"]: table for table in precisions_joined(backend, both)}


def test_a_slow_round_does_not_count_as_a_slow_network() -> None:
    slowed, steady = Figure.of([10, 5, 10]), Figure.of([20, 10, 20])
    compared = ratio({"values": steady.values}, {"values": slowed.values})
    assert (compared.median, compared.low, compared.high) == (2, 2, 2)


def test_both_precisions_stand_in_one_table() -> None:
    tables = joined("pytorch", float32=(10, 5, 10), bf16=(20, 10, 20))
    assert [row[1] for row in tables["Training, pytorch"]["rows"]] == ["float32", "bf16"]
    (gain,) = tables["bf16 against float32, pytorch"]["rows"]
    assert [gain[0], gain[1]["median"], gain[2]["median"]] == ["cnn", 2, 2]
    (epoch,) = tables["Loss curves in float32 and bf16, pytorch"]["rows"]
    assert epoch == [1, -100, -101, pytest.approx(1)]


def test_backends_are_compared_where_both_were_measured() -> None:
    pytorch, tensorflow = (
        {"tables": list(joined(backend, (rate, rate), (rate, rate)).values())}
        for backend, rate in (("pytorch", 10), ("tensorflow", 12))
    )
    rows = backends_compared([pytorch, tensorflow]).rows
    assert [(row[1], row[2].median) for row in rows if isinstance(row[2], Figure)] == [
        ("float32", pytest.approx(1.2)),
        ("bf16", pytest.approx(1.2)),
    ]
    assert backends_compared([pytorch]).rows == []
