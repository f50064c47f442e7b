"""The settings tables of the documentation are those of the code, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

from ptychodus_plugin.inference_options import INFERENCE_OPTIONS
from ptychodus_plugin.model_options import MODEL_OPTIONS
from ptychodus_plugin.training_options import TRAINING_OPTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_settings_tables_list_every_option_in_order() -> None:
    text = (DOCS / "ptychodus.md").read_text()
    written = re.findall(r"^\| `\w+` \|.*$", text, flags=re.MULTILINE)
    expected = [
        f"| `{option.key}` | {option.default} | {option.label.rstrip(':')} | {option.help} |"
        for option in (*MODEL_OPTIONS, *TRAINING_OPTIONS, *INFERENCE_OPTIONS)
    ]
    assert written == expected


def test_pictures_are_there() -> None:
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", (DOCS / "ptychodus.md").read_text()):
        assert (DOCS / name).stat().st_size > 10_000
