"""What a user states about scan files: checked, and kept in the plan of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend.config.inputs import InputConfig, reading_inputs
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading, reading_of
from ptychopinn_backend.errors import ConfigError


def test_only_what_differs_is_stated() -> None:
    assert ASK_THE_FILE.stated() == {}
    reading = Reading(measurement="counts", pixel_size_m=1e-8, swap_xy=True, positions=Path("p.h5"))
    assert reading.stated() == {
        "measurement": "counts",
        "pixel_size_m": 1e-8,
        "swap_xy": True,
        "positions": "p.h5",
    }
    assert reading_of(reading.stated()) == reading


def test_an_input_of_a_run_says_the_same() -> None:
    reading = Reading(measurement="counts", pixel_size_m=1e-8)
    inputs = InputConfig(**reading_inputs(reading))
    assert (inputs.measurement, inputs.reading) == ("counts", {"pixel_size_m": 1e-8})
    assert inputs.how_to_read == reading
    assert InputConfig(**reading_inputs(ASK_THE_FILE)).reading is None
    moved = InputConfig(reading={"positions": "p.h5"}).absolute()
    assert moved.reading == {"positions": str(Path("p.h5").absolute())}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixel_size_m": -1}, "pixel_size_m = -1; expected a number above 0"),
        ({"pixel_size_m": "8nm"}, "pixel_size_m = 8nm; expected a number"),
        ({"energy_eV": float("nan")}, "energy_eV = nan"),
        ({"scan_index": "both"}, "scan_index = 'both'"),
        ({"swap_xy": 1}, "swap_xy = 1"),
        ({"pixelsize": 1e-8}, "'pixelsize' is no option .* Did you mean 'pixel_size_m'"),
        ("counts", "must map options to values"),
    ],
)
def test_wrong_statements_have_their_words(options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        InputConfig(reading=options)
