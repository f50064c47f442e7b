"""Which scan an entry belongs to, and which position a frame: two scans without names, bounded memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychopinn_backend.live.messages import Frame, Pair, Position
from ptychopinn_backend.live.numbering import WINDOW, Numbering, State
from ptychopinn_backend.live.pairing import PairByNumber

NOTHING = np.zeros((0, 0), np.uint16)


def taken(numbering: Numbering, count: int, begin_s: float = 100.0, first: int = 0) -> set[str]:
    places = [numbering.place(first + k, begin_s + k * 1e-3) for k in range(count)]
    assert {place.state for place in places} == {State.NEW}
    return {place.scan for place in places}


def test_memory_is_bounded_by_number_and_by_time() -> None:
    for by_time in (False, True):
        numbering = Numbering(window=1 << 10, by_time=by_time)
        tracemalloc.start()
        for k in range(20_000):
            assert numbering.place(k, k * 1e-5).state is State.NEW
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert grown < 600_000
        assert numbering.place(19_990, 19_990 * 1e-5).state is State.REPEATED
        assert numbering.place(5, 5e-5).state is State.LATE


def test_by_time_the_numbers_tell_where_a_scan_begins() -> None:
    numbering = Numbering(by_time=True)
    assert taken(numbering, 64) == {"#1"}
    assert taken(numbering, 64, 200.0) == {"#2"}
    assert numbering.place(63, 200.063).state is State.REPEATED


def test_a_receiver_that_came_late_sees_the_scan_begin() -> None:
    numbering = Numbering()
    assert taken(numbering, 500, first=500) == {"#1"}
    assert taken(numbering, 1000, 110.0) == {"#2"}


def test_a_late_one_of_the_scan_before_is_of_that_scan() -> None:
    numbering = Numbering()
    taken(numbering, 60)
    assert taken(numbering, 10, 200.0) == {"#2"}
    for number in (61, 63):
        assert numbering.place(number, 100 + number * 1e-3) == (State.NEW, "#1")
    assert numbering.place(5, 100.005) == (State.REPEATED, "#1")
    assert numbering.missing == 2


def test_one_wrong_number_begins_nothing() -> None:
    numbering = Numbering()
    taken(numbering, 40)
    assert numbering.place(2**31 - 1, 100.040).state is State.FAR
    assert taken(numbering, 20, 100.041, first=41) == {"#1"}
    # Two that are near each other are the sender's new count.
    assert numbering.place(10**6, 100.062) == (State.FAR, "#1")
    assert numbering.place(10**6 + 1, 100.063) == (State.NEW, "#1")
    assert taken(numbering, 20, 100.064, first=10**6 + 2) == {"#1"}
    assert numbering.missing == 1


def test_without_stamps_a_scan_begins_with_numbers_that_came() -> None:
    frames, positions = Numbering(), Numbering()
    frames.couple(positions)
    for k in range(64):
        assert frames.place(k, 100 + k * 1e-3).scan == positions.place(k, math.nan).scan == "#1"
    # One that is sent twice begins nothing; the encoder is ahead of the detector.
    assert positions.place(63, math.nan).state is State.REPEATED
    assert [positions.place(k, math.nan) for k in range(3)] == [(State.NEW, "#2")] * 3
    assert frames.place(0, 200.0) == (State.NEW, "#2")


def test_a_scan_begins_where_the_other_stream_began_one() -> None:
    """All frames of the first scan, and those of the second that tell: the numbers only go up."""
    frames, positions = Numbering(), Numbering()
    frames.couple(positions)
    taken(frames, 20)
    taken(positions, 64)
    taken(positions, 64, 200.0)
    assert taken(frames, 30, 200.030, first=30) == {"#2"}


def test_an_unnamed_pause_is_no_scan() -> None:
    frames, positions = Numbering(), Numbering()
    frames.couple(positions)
    for begin_s, first in ((100.0, 0), (190.0, 64)):
        assert taken(frames, 64, begin_s, first) == taken(positions, 64, begin_s, first) == {"#1"}


@pytest.mark.parametrize("behind", [1, 40, WINDOW - 1])
def test_an_entry_out_of_order_is_of_its_scan(behind: int) -> None:
    numbering = Numbering()
    assert numbering.place(WINDOW, 100 + WINDOW * 1e-3).scan == "#1"
    assert numbering.place(WINDOW - behind, 100 + (WINDOW - behind) * 1e-3) == (State.NEW, "#1")


def streams(seed: int, lost: list[float], gap_s: float, ahead: int) -> Iterator[Frame | Position]:
    """Two scans of 64, each entry lost by chance; the x of a position tells scan and number."""
    rng = np.random.default_rng(seed)
    for scan in range(2):
        begin_s = 100 + scan * (0.064 + gap_s)
        for step in range(64 + ahead):
            if step < 64 and rng.random() >= lost[2 * scan]:
                yield Position(step, 1000.0 * scan + step, 0.0, begin_s + step * 1e-3 - 2e-4)
            number = step - ahead
            if number >= 0 and rng.random() >= lost[2 * scan + 1]:
                yield Frame(number, NOTHING, begin_s + number * 1e-3)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lost=st.lists(st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]), min_size=4, max_size=4),
    gap_s=st.sampled_from([3.0, 100.0]),
    ahead=st.integers(0, 64),
)
def test_no_frame_ever_gets_the_position_of_another_scan(
    seed: int, lost: list[float], gap_s: float, ahead: int
) -> None:
    frames, positions = Numbering(), Numbering()
    frames.couple(positions)
    pairing = PairByNumber()
    pairs: list[Pair] = []
    came: list[set[tuple[int, int]]] = [set(), set()]
    second_s = 100 + 0.064 + gap_s - 0.5
    for entry in streams(seed, lost, gap_s, ahead):
        is_frame = isinstance(entry, Frame)
        state, scan = (frames if is_frame else positions).place(entry.number, entry.time_s)
        assert state is State.NEW
        came[is_frame].add((int(entry.time_s > second_s), entry.number))
        pairs += pairing.add_frame(scan, entry) if isinstance(entry, Frame) else pairing.add_position(scan, entry)
    expected = came[0] & came[1]
    assert {(int(pair.frame.time_s > second_s), pair.frame.number) for pair in pairs} == expected
    for pair in pairs:
        assert pair.x == 1000.0 * (pair.frame.time_s > second_s) + pair.frame.number
    # A scan whose begin is to be seen has an object of its own.
    numbers = [[number for scan, number in sorted(came[True]) if scan == k] for k in range(2)]
    if numbers[0] and numbers[1] and numbers[1][0] <= numbers[0][-1]:
        assert {pair.scan for pair in pairs if pair.frame.time_s > second_s} <= {"#2"}
        assert {pair.scan for pair in pairs if pair.frame.time_s < second_s} <= {"#1"}
