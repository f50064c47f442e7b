"""The table of bad input in docs/errors.md, made from the cases; `python -m tests.errors.table` writes it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from . import (
    cases_of_archives,
    cases_of_commands,
    cases_of_configuration,
    cases_of_data,
    cases_of_formats,
    cases_of_interruptions,
    cases_of_ptychodus,
    cases_of_warnings,
)
from .workshop import ROOT, Case, Outcome, prepare, run

PAGE: Final = ROOT / "docs" / "errors.md"
AREAS: Final[Mapping[str, tuple[Case, ...]]] = {
    "Data": cases_of_data.CASES,
    "Warnings about a scan": cases_of_warnings.CASES,
    "Scans of other formats": cases_of_formats.CASES,
    "Configuration": cases_of_configuration.CASES,
    "Archive": cases_of_archives.CASES,
    "Backend and training": cases_of_configuration.BACKEND_CASES,
    "Interruptions, and going on": cases_of_interruptions.CASES,
    "Ptychodus": cases_of_ptychodus.CASES,
    "Commands, simulation and files": cases_of_commands.CASES,
}
_HEAD: Final = """\
# Errors

What `ptychopinn` says when it is given bad input, and what to do. Every row is a case of `tests/errors`, run by the
tests; the words are those the program prints after `Error:`, with `(...)` for what a library adds in its own words.
With exit code 0 they come after `Warning:`, and the result is written. From Python the same words come as an exception
of `ptychopinn_backend.errors`, or as a warning; Ptychodus has them in its log.

Exit codes: 0 success; 1 the machine failed (disk, memory, a process that died); 2 the input is bad; 130 interrupted;
143 terminated by the system.
"""


def page(outcomes: Mapping[str, Mapping[str, Outcome]]) -> str:
    """Return the text of the page.

    Args:
        outcomes: area -> situation -> what was said.

    Returns:
        Markdown.
    """
    lines = [_HEAD]
    for area, cases in AREAS.items():
        lines += [f"## {area}", "", "| situation | message | remedy | exit code |", "|---|---|---|---|"]
        for case in cases:
            outcome = outcomes[area][case.situation]
            cells = (case.situation, *(_cell(part, case) for part in (outcome.problem, outcome.remedy)))
            lines.append(f"| {' | '.join(cells)} | {outcome.exit_code if case.call is None else case.where} |")
        lines.append("")
    return "\n".join(lines)


def _cell(words: str, case: Case) -> str:
    if case.has_foreign_words:
        words = re.sub(r"\((?:[^()]|\([^()]*\))*\)", "(...)", words)
    if case.has_computed_numbers:
        words = re.sub(r"\d+\.\d+", "0.…", words)
        words = re.sub(r"\d+ of 5000 epochs", "… of 5000 epochs", words)
    return re.sub(r"([|<>*_])", r"\\\1", words)


def _all_outcomes() -> dict[str, dict[str, Outcome]]:
    with tempfile.TemporaryDirectory() as name:
        good = Path(name) / "good"
        good.mkdir()
        prepare(good)
        return {
            area: {case.situation: run(case, good, Path(name) / f"{area}{i}") for i, case in enumerate(cases)}
            for area, cases in AREAS.items()
        }


if __name__ == "__main__":
    PAGE.write_text(page(_all_outcomes()), encoding="utf-8")
