"""The legacy mapping: defaults, derived sizes, checked writing, snapshot and restore."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import params
from ptychopinn_backend.errors import ConfigError


@pytest.fixture(autouse=True)
def untouched_cfg() -> Iterator[None]:
    saved = params.snapshot()
    params.restore(params.DEFAULTS)
    yield
    params.restore(saved)


def test_defaults_are_the_recorded_ones(golden: Path) -> None:
    recorded = json.loads((golden / "params_cfg_defaults.json").read_text())["DEFAULT_CFG"]
    assert params.cfg == recorded
    assert {key: type(value) for key, value in params.cfg.items()} == {
        key: type(value) for key, value in recorded.items()
    }


def test_derived_sizes_match_the_recorded_table(golden: Path) -> None:
    table = json.loads((golden / "params_cfg_defaults.json").read_text())["derived"]["table"]
    assert len(table) == 12
    for row in table:
        params.cfg.update({key: row[key] for key in ("N", "gridsize", "offset", "max_position_jitter")})
        derived = {key: params.get(key) for key in ("bigN", "padded_size", "padding_size")}
        assert derived == {key: row[key] for key in derived}


def test_get_returns_value_or_default_or_raises() -> None:
    assert params.get("N") == 128
    assert params.get("intensity_scale", None) is None
    assert params.get("N", 5) == 128
    with pytest.raises(KeyError, match=r"'gridsiz' is not in params.cfg. Did you mean 'gridsize'\?"):
        params.get("gridsiz")


def test_set_writes_known_and_new_keys() -> None:
    params.set("nepochs", 3)
    params.set("probe", np.ones((2, 2), complex))
    assert params.get("nepochs") == 3
    assert params.get("probe").shape == (2, 2)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("data_source", "moon", "data_source = 'moon' is not one of generic, lines"),
        ("realspace_mae_weight", 0.5, "realspace_mae_weight = 0.5 leaves .* Set realspace_weight above 0 first"),
        ("bigN", 70, "bigN = 70 cannot be set: it is computed. Set N, gridsize or the offsets instead"),
    ],
)
def test_set_refuses_and_leaves_cfg_as_it_was(key: str, value: object, words: str) -> None:
    before = params.snapshot()
    with pytest.raises(ConfigError, match=words):
        params.set(key, value)
    assert params.cfg == before


def test_real_space_rule_holds_in_either_order_of_writing() -> None:
    params.set("realspace_weight", 0.5)
    params.set("realspace_mae_weight", 0.5)
    with pytest.raises(ConfigError, match="realspace_weight = 0 leaves realspace_mae_weight above 0"):
        params.set("realspace_weight", 0)


def test_every_data_source_is_accepted() -> None:
    for source in params.DATA_SOURCES:
        params.set("data_source", source)
        assert params.get("data_source") == source


def test_set_works_on_a_partial_mapping() -> None:
    params.restore({"N": 64})
    params.set("gridsize", 1)
    assert params.cfg == {"N": 64, "gridsize": 1}


def test_snapshot_is_independent_of_later_changes() -> None:
    params.set("probe", np.zeros(3))
    saved = params.snapshot()
    params.cfg["probe"][0] = 7.0
    params.set("N", 64)
    assert saved["N"] == 128
    assert saved["probe"][0] == 0.0


def test_restore_keeps_the_identity_of_the_mapping() -> None:
    held = params.cfg
    saved = params.snapshot()
    params.set("label", "changed")
    params.set("extra", 1)
    params.restore(saved)
    assert params.cfg is held
    assert held == saved
    held["label"] = "again"
    assert saved["label"] == ""


def test_validate_looks_at_what_was_written_directly() -> None:
    assert params.validate() is True
    params.cfg["realspace_mae_weight"] = 0.5
    with pytest.raises(ConfigError, match=r"params\.cfg has realspace_mae_weight above 0 .* Set realspace_weight"):
        params.validate()
    params.cfg.update(realspace_weight=0.5, data_source="moon")
    with pytest.raises(ConfigError, match="data_source = 'moon' is not one of generic"):
        params.validate()
    params.set("N", 64)  # as with a model of another program


def test_print_params_shows_every_key_and_arrays_by_their_shape(capsys: pytest.CaptureFixture[str]) -> None:
    params.cfg["probe"] = np.full((2, 3), 4j)
    params.print_params()
    lines = capsys.readouterr().out.splitlines()
    assert {"N: 128", "bigN: 132", "probe: array (2, 3) of complex128, magnitudes 4 to 4"} <= set(lines)
    assert len([line for line in lines if ": " in line]) == len(params.cfg) + 3
