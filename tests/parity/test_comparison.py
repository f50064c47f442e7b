"""The check that all others rest on notices what it is there to notice."""

from __future__ import annotations

import numpy as np
import pytest

from tests.parity.comparison import Comparison, largest, length, nudged


def test_differences_up_to_the_tolerance_pass_and_just_beyond_fail() -> None:
    expected = np.array([[1.0, -4.0], [2.0, 0.0]])
    Comparison({"a": nudged(expected, 0.99e-3 * 4)}, {"a": expected}, 1e-3).check()
    with pytest.raises(AssertionError, match=r"a differs by 0.001, tolerance 0.001"):
        Comparison({"a": nudged(expected, 1.01e-3 * 4)}, {"a": expected}, 1e-3).check()


def test_euclidean_measure_adds_up_small_differences() -> None:
    expected = np.ones(100)
    found = expected + 1e-3
    Comparison({"a": found}, {"a": expected}, 1.01e-3, length).check()
    with pytest.raises(AssertionError, match="differs"):
        Comparison({"a": found}, {"a": expected}, 0.99e-3, length).check()


@pytest.mark.parametrize("measure", [largest, length])
def test_nudge_is_noticed_even_when_the_sides_already_differ(measure: object) -> None:
    expected = np.array([1.0, 2.0, 3.0])
    shifted = np.array([1.0, 2.0 - 0.9e-3 * 3, 3.0])
    for found in (expected, shifted):
        comparison = Comparison({"a": found}, {"a": expected}, 1e-3, measure)  # type: ignore[arg-type]
        comparison.check()
        comparison.check_would_fail()


def test_a_blind_check_is_found_out() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        Comparison({"a": [1.0]}, {"a": [1.0]}, 1.0, lambda values: 1.0).check_would_fail()


def test_imaginary_parts_count() -> None:
    with pytest.raises(AssertionError, match="differs"):
        Comparison({"a": np.array([1 + 1e-3j])}, {"a": np.array([1 + 0j])}, 1e-4).check()


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        ({"a": [1.0]}, {"b": [1.0]}, "a"),
        ({"a": [1.0, 2.0]}, {"a": [[1.0], [2.0]]}, "a"),
        ({"a": [np.nan]}, {"a": [1.0]}, "differs"),
        ({"a": [1.0]}, {"a": [np.nan]}, "not finite"),
        ({"a": [1.0]}, {"a": [0.0]}, "zero"),
    ],
)
def test_names_shapes_and_special_numbers_are_checked(
    found: dict[str, list[float]], expected: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        Comparison(found, expected, 0.1).check()
