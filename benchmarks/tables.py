"""What a topic hands back, and how it is written as JSON and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measuring import Figure

Cell = str | float | int | Figure | None


@dataclass
class Table:
    """A table with a heading."""

    title: str
    columns: Sequence[str]
    note: str = ""
    """What the figures are and what bounds them."""
    rows: list[Sequence[Cell]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns of '{self.title}'.")
        self.rows.append(cells)

    def as_json(self) -> dict[str, Any]:
        rows = [[asdict(cell) if isinstance(cell, Figure) else cell for cell in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "note": self.note, "rows": rows}


def markdown(table: dict[str, Any]) -> str:
    """Write a table that `Table.as_json` made."""
    lines = [f"### {table['title']}", ""]
    if table["note"]:
        lines += [table["note"], ""]
    lines += ["| " + " | ".join(table["columns"]) + " |", "|" + " --- |" * len(table["columns"])]
    lines += ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in table["rows"]]
    return "\n".join([*lines, ""])


def _text(cell: Any) -> str:
    if isinstance(cell, dict):
        spread = f" ({_number(cell['low'])} to {_number(cell['high'])})" if len(cell["values"]) > 1 else ""
        return _number(cell["median"]) + spread
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else _number(cell)


def _number(value: float) -> str:
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
