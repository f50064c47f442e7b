"""Processes that measure in turn never compute at the same time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.turns import run_in_turns

ROOT = Path(__file__).parents[2]
THREE_TURNS = """
import sys
from time import sleep
from benchmarks.turns import join, pass_on

name, log = sys.argv[1:]
join()
for turn in range(3):
    with open(log, "a") as file:
        print(name, "begins", file=file, flush=True)
        sleep(0.05)
        print(name, "ends", file=file, flush=True)
    print(f"output {turn}")
    pass_on()
print(name, "has finished")
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_processes_alternate(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {name: [sys.executable, "-c", THREE_TURNS, name, str(log)] for name in ("first", "second")}
    outcomes = run_in_turns(commands, ENVIRONMENT)
    turns = [f"{name} {what}" for _ in range(3) for name in commands for what in ("begins", "ends")]
    assert log.read_text().splitlines() == turns
    assert [outcome.lines[-1] for outcome in outcomes.values()] == ["first has finished\n", "second has finished\n"]
    assert all(outcome.seconds > 0.15 and outcome.status == 0 for outcome in outcomes.values())


def test_a_process_that_fails_does_not_hold_the_others_up(tmp_path: Path) -> None:
    working = [sys.executable, "-c", THREE_TURNS, "working", str(tmp_path / "log")]
    outcomes = run_in_turns({"failing": [sys.executable, "-c", "raise SystemExit(3)"], "working": working}, ENVIRONMENT)
    assert outcomes["failing"].status == 3
    assert outcomes["working"].lines[-1] == "working has finished\n"
