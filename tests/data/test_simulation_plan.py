"""Many scans from one YAML file."""

from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.runs.simulation_plan import read_plan

PLAN = """
seed: 10
size: 32
photons: 1e4
scans:
  - {name: leaves, repeat: 3}
  - {object: lines, modes: 2, mode_fractions: [0.75, 0.25]}
  - {name: star, object: siemens, seed: 99, photons: 5}
"""


def planned(tmp_path: Path, text: str, **overrides: Any) -> Any:
    (tmp_path / "plan.yaml").write_text(text)
    return read_plan(tmp_path / "plan.yaml", overrides)


def test_scans_inherit_override_and_count_seeds(tmp_path: Path) -> None:
    scans, many = planned(tmp_path, PLAN)
    assert many
    assert [(scan.name, scan.seed) for scan in scans] == [
        ("leaves_000", 10),
        ("leaves_001", 11),
        ("leaves_002", 12),
        ("scan_001", 13),
        ("star", 99),
    ]
    assert [scan.spec.photons for scan in scans] == [1e4, 1e4, 1e4, 1e4, 5]
    assert scans[3].spec.mode_fractions == (0.75, 0.25)
    assert {scan.spec.size for scan in scans} == {32}


def test_explicit_values_win(tmp_path: Path) -> None:
    scans, _ = planned(tmp_path, PLAN, photons=7.0, size=None)
    assert {scan.spec.photons for scan in scans} == {7.0}
    assert {scan.spec.size for scan in scans} == {32}


def test_without_scans_there_is_one(tmp_path: Path) -> None:
    assert [scan.seed for scan in planned(tmp_path, "seed: 4")[0]] == [4]
    scans, many = read_plan(None, {"patterns": 5})
    assert not many
    assert (scans[0].seed, scans[0].spec.patterns) == (0, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pattern: 3", "'pattern' is not a simulation key. Did you mean 'patterns'"),
        ("scans: [{probes: disk}]", "'probes' in scan 0 is not a simulation key. Did you mean 'probe'"),
        ("scans: 3", "scans must be a list"),
        ("scans: []", "scans must be a list"),
        ("scans: [disk]", "scans must be a list"),
        ("scans: [{name: a}, {name: a}]", "name = 'a' is given to two scans"),
        ("scans: [{name: ../a}]", "name = '../a' cannot name a file"),
        ("scans: [{repeat: 0}]", "repeat = 0 must be a whole number above 0"),
        ("seed: -1", "seed = -1 must be a whole number of at least 0"),
        ("name: a", "'name' is not a simulation key"),
        ("photons: many", "photons = 'many' must be a finite number above 0"),
    ],
)
def test_a_wrong_plan_has_its_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        planned(tmp_path, text)
