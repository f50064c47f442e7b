"""Help texts as a person sees them: at 80 columns, with examples on lines of their own."""

from __future__ import annotations

import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.cli.main import COMMANDS


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)])
def test_a_help_text_fits_and_shows_no_codes(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    lines = printed(capsys, *words)
    assert max(map(len, lines)) <= 80
    assert not any("\\" in line or "\b" in line for line in lines)


def test_the_first_four_commands_stand_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.strip() for line in printed(capsys)]
    shown = [line for line in lines if line.startswith("ptychopinn ")]
    assert shown == [
        "ptychopinn simulate -o scan.npz",
        "ptychopinn train scan.npz -o model",
        "ptychopinn infer model scan.npz -o result",
        "ptychopinn evaluate result/reconstruction.npz scan.npz --truth scan.npz",
    ]


@pytest.mark.parametrize("command", ["simulate", "convert"])
def test_every_example_is_one_line(capsys: pytest.CaptureFixture[str], command: str) -> None:
    examples = [line for line in printed(capsys, command) if line.startswith(f"    ptychopinn {command} ")]
    assert len(examples) >= 2
    assert all(line.count("ptychopinn") == 1 for line in examples)


def test_train_names_no_default_that_the_preset_decides(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(" ".join(printed(capsys, "train")).split())
    for option in ("--gridsize", "--epochs", "--batch-size", "--learning-rate", "--architecture", "--filters-scale"):
        assert "[by the preset]" in text.partition(f"{option} ")[2].partition(" --")[0]
