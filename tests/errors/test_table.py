"""Every case of bad input ends in one message that says what to do; docs/errors.md shows them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .table import AREAS, PAGE, page
from .workshop import Case, Outcome, prepare, run

ALL = [(area, case) for area, cases in AREAS.items() for case in cases]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Outcome]]:
    """Filled by the cases, in their order; the last test reads it."""
    return {area: {} for area in AREAS}


@pytest.mark.parametrize(("area", "case"), ALL, ids=lambda value: value.situation if isinstance(value, Case) else "")
def test_bad_input(area: str, case: Case, good: Path, tmp_path: Path, outcomes: dict[str, dict[str, Outcome]]) -> None:
    outcome = run(case, good, tmp_path / "work")
    outcomes[area][case.situation] = outcome
    assert outcome.exit_code == case.exit_code, outcome
    assert re.search(case.expected, outcome.message), outcome
    assert outcome.problem, f"no remedy: {outcome}"
    assert outcome.remedy.endswith((".", "?"))


def test_situations_differ() -> None:
    for cases in AREAS.values():
        assert len({case.situation for case in cases}) == len(cases)


def test_the_page_is_up_to_date(outcomes: dict[str, dict[str, Outcome]]) -> None:
    if sum(map(len, outcomes.values())) < len(ALL):
        pytest.skip("only some of the cases were run")
    assert page(outcomes) == PAGE.read_text(encoding="utf-8"), "run python -m tests.errors.table"
