"""Decisions have one number each, and the documentation shows all of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "specs" / "decisions").glob("*.md"))


def test_numbers_run_without_a_gap() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{k:04d}" for k in range(1, len(DECISIONS) + 1)]


def test_titles_begin_with_the_number() -> None:
    for path in DECISIONS:
        assert re.match(rf"# {path.name[:4]} \S", path.read_text()), path.name


def test_the_page_shows_all() -> None:
    page = (ROOT / "docs" / "contracts" / "decisions.md").read_text()
    assert re.findall(r'--8<-- "(.*)"', page) == [str(path.relative_to(ROOT)) for path in DECISIONS]
