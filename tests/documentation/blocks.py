"""Fenced blocks of a page, in order, each with the hidden comment that stands before it.

Two comments mean something. `<!-- test: skip, REASON -->` leaves the next block out; `<!-- file: NAME -->` says that
the next block is the content of a file, which later blocks of the page use.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("text",)
"""Languages of blocks that are looked at, not run."""
_FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*([\w-]*)")
_COMMENT = re.compile(r"<!--\s*(test: skip|file)\s*[,:]\s*(.+?)\s*-->")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    """Of its first line, counted from 1."""
    language: str
    text: str
    file: str | None = None
    """Name of the file it is the content of."""
    skipped: str | None = None
    """Why it is not run."""

    @property
    def place(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return every page a user reads."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [*found, *sorted((ROOT / "specs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page.

    Args:
        page: a Markdown file.

    Returns:
        Its blocks in order.
    """
    name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    found: list[Block] = []
    comment: tuple[str, str] | None = None
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            said = _COMMENT.search(line)
            if said is not None:
                comment = (said[1], said[2])
            elif line.strip():
                comment = None
            continue
        inside: list[str] = []
        for _, text in lines:
            if text.strip().startswith(fence[2]):
                break
            inside.append(text)
        content = textwrap.dedent("\n".join(inside)) + "\n"
        kind, value = comment or ("", "")
        found.append(
            Block(
                name,
                number + 1,
                fence[3],
                content,
                file=value if kind == "file" else None,
                skipped=value if kind == "test: skip" else None,
            )
        )
        comment = None
    return found
