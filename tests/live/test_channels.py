"""Updates of other people's servers: what is read, and what is counted as unreadable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("p4p")

from p4p import Type, Value
from p4p.nt import NTEnum, NTNDArray, NTScalar, NTTable

from ptychopinn_backend.live.channels import PositionUnits, frame_of, is_true, ndarray_type, ndarray_value, positions_of
from ptychopinn_backend.live.subscription import Inbox

from .conftest import N
from .senders import POSITION

PIXELS = PositionUnits()
IMAGE = np.arange(N * N, dtype=np.uint16).reshape(N, N)


def image(**changes: Any) -> Value:
    value = ndarray_value(ndarray_type(), IMAGE, 7, 1.5, {"scan": "a"})
    for name, change in changes.items():
        value[name.replace("__", ".")] = change
    return value


def test_a_frame_of_an_area_detector() -> None:
    frame = frame_of(image(), 2.0)
    assert frame is not None
    assert (frame.number, frame.time_s, frame.scan, frame.arrived_s) == (7, 1.5, "a", 2.0)
    np.testing.assert_array_equal(frame.counts, IMAGE)


def test_axes_of_length_one_are_left_out() -> None:
    sizes = (N, N, 1)
    frame = frame_of(image(dimension=[{"size": size} for size in sizes]), 0.0)
    assert frame is not None
    np.testing.assert_array_equal(frame.counts, IMAGE)
    flat = frame_of(image(dimension=[{"size": size} for size in (3, 5, 7)]), 0.0)
    assert flat is not None
    assert flat.counts.shape == (N * N,)


def test_what_holds_no_image_is_no_frame() -> None:
    with_text = Type([("value", "aH"), ("uniqueId", "s")])
    plain_axes = Type([("value", "aH"), ("dimension", "ai")])
    for value in (
        image(codec__name="lz4"),
        Value(ndarray_type(), {}),
        Value(NTScalar.buildType("d"), {"value": 3.0}),
        Value(with_text, {"value": IMAGE.ravel(), "uniqueId": "seven"}),
        Value(plain_axes, {"value": IMAGE.ravel(), "dimension": [N, N]}),
    ):
        assert frame_of(value, 0.0) is None
    assert NTNDArray  # the type p4p itself unwraps is not asked for


def table(columns: list[tuple[str, str]], rows: dict[str, Any]) -> Value:
    value = Value(NTTable.buildType(columns), {"value": rows, "labels": list(rows)})
    value["timeStamp.secondsPastEpoch"] = 50
    return value


def test_rows_of_a_table_are_positions() -> None:
    columns = [("x", "ad"), ("y", "ad"), ("uniqueId", "al"), ("time", "ad"), ("scan", "as")]
    rows = {"x": [1.0, 2.0], "y": [3.0, 4.0], "uniqueId": [5, 6], "time": [10.0, 11.0], "scan": ["a", "b"]}
    found = positions_of(table(columns, rows), PositionUnits(swap_xy=True, negate_x=True, pixel_size_m=0.5))
    assert [(item.x, item.y, item.number, item.time_s, item.scan) for item in found] == [
        (-6.0, 2.0, 5, 10.0, "a"),
        (-8.0, 4.0, 6, 11.0, "b"),
    ]


def test_the_stamp_of_a_table_is_not_that_of_its_rows() -> None:
    columns = [("x", "ad"), ("y", "ad"), ("uniqueId", "al")]
    many = positions_of(table(columns, {"x": [1.0, 2.0], "y": [3.0, 4.0], "uniqueId": [5, 6]}), PIXELS)
    assert [math.isnan(item.time_s) for item in many] == [True, True]
    (one,) = positions_of(table(columns, {"x": [1.0], "y": [3.0], "uniqueId": [5]}), PIXELS)
    assert one.time_s == 50.0


@pytest.mark.parametrize(
    "value",
    [
        Value(NTScalar.buildType("d"), {"value": 3.0}),
        Value(Type([("x", "d")]), {"x": 1.0}),
        Value(POSITION, {"x": 1.0, "y": 2.0, "uniqueId": math.inf}),
        Value(POSITION, {"x": 1.0, "y": 2.0, "uniqueId": math.nan}),
        Value(Type([("x", "s"), ("y", "s")]), {"x": "here", "y": "there"}),
        table([("x", "ad"), ("y", "ad")], {"x": [1.0, 2.0], "y": [1.0, 2.0, 3.0]}),
    ],
    ids=["scalar", "no y", "number inf", "number nan", "text", "columns of two lengths"],
)
def test_what_holds_no_numbers_is_no_position(value: Value) -> None:
    assert positions_of(value, PIXELS) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Value(NTScalar.buildType("?"), {"value": True}), True),
        (Value(NTScalar.buildType("i"), {"value": 0}), False),
        (Value(NTEnum.buildType(), {"value": {"index": 1, "choices": ["Idle", "Done"]}}), True),
        (Value(NTEnum.buildType(), {"value": {"index": 0, "choices": ["Idle", "Done"]}}), False),
        (Value(Type([("value", "ai")]), {"value": [1]}), True),
        (Value(Type([("value", "ai")]), {"value": [1, 0]}), None),
        (Value(NTScalar.buildType("s"), {"value": "false"}), None),
        (Value(NTScalar.buildType("d"), {"value": math.nan}), None),
        (Value(Type([("x", "d")]), {"x": 1.0}), None),
    ],
)
def test_a_flag_is_a_truth_value_a_number_or_a_choice(value: Value, expected: bool | None) -> None:
    assert is_true(value) is expected


def test_what_waits_is_bounded_in_entries_and_in_bytes() -> None:
    few = Inbox(most=3)
    for number in range(5):
        few.put(number)
    assert [entry for _, entry in few.take()] == [2, 3, 4]
    assert few.overrun == 2
    small = Inbox(most_bytes=3 * IMAGE.nbytes)
    values = [image(uniqueId=number) for number in range(5)]
    for value in values:
        small.put(value)
    assert [entry["uniqueId"] for _, entry in small.take()] == [2, 3, 4]
    assert small.overrun == 2
    assert small.take() == []
