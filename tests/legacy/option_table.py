"""The table of options in docs/migration.md, made from their fates; `python -m tests.legacy.option_table` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ptychopinn_backend.legacy.option_fates import CORE, TORCH, Fate

from .option_fields import SECTIONS, known_fields

PAGE: Final = Path(__file__).parents[2] / "docs" / "migration.md"
BEGIN: Final = "<!-- options: begin -->\n"
END: Final = "<!-- options: end -->"


def fate_of(kind: str, name: str, option: str) -> Fate:
    """Return the fate of an option of a class."""
    return (TORCH[SECTIONS[name]] if kind == "torch" else CORE[name])[option]


def table() -> str:
    """Return the table of all options."""
    lines = []
    for kind, classes in known_fields().items():
        for name, options in classes.items():
            title = f"{name} of PyTorch, section `{SECTIONS[name]}`" if kind == "torch" else name
            lines += ["", f"### {title}", "", "| option | here |", "|---|---|"]
            lines += [f"| `{option}` | {fate_of(kind, name, option).described()} |" for option in options]
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}{table()}{END}{tail}", encoding="utf-8")
