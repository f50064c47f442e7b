"""A training is asked to end by the keyboard or by the system: its exit code tells, and what is left is said."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from .conftest import BackendServer
from .fork_server import killed_after
from .test_kills import LAST

pytestmark = pytest.mark.slow
MORE = ("--batch-size", "32", "--set", "validation_fraction=0")


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "Terminated."), (signal.SIGINT, 130, "Interrupted.")]
)
def test_says_what_is_kept_and_goes_on(
    number: int, code: int, word: str, backend_server: BackendServer, scan_file: Path, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    asked = killed_after(1.0, checkpoints / LAST[backend_server.backend], number)
    train = ("--epochs", "5000", *MORE)
    found, said = backend_server.train(scan_file, tmp_path, *train, meanwhile=asked)
    assert found == code
    kept = re.fullmatch(
        rf"{re.escape(word)} (\d+) of 5000 epochs are kept in '{re.escape(str(checkpoints))}'\. The same command with "
        r"--resume goes on from there\.",
        said[-1],
    )
    assert kept, said
    assert not (tmp_path / "wts.h5.zip").exists()
    assert (tmp_path / "run.yaml").is_file()
    # An epoch is kept before it is reported: one more than said may be there.
    further = ("--epochs", str(int(kept[1]) + 2), *MORE, "--resume")
    assert backend_server.train(scan_file, tmp_path, *further) == (0, [])


def test_a_request_before_the_first_epoch(backend_server: BackendServer, scan_file: Path, tmp_path: Path) -> None:
    asked = killed_after(0.0, tmp_path / "checkpoints", signal.SIGTERM)
    more = ("--epochs", "5000", *MORE, "--set", "enable_checkpointing=false")
    code, said = backend_server.train(scan_file, tmp_path, *more, meanwhile=asked)
    assert (code, said[-1]) == (143, "Terminated. No epoch is kept.")


def test_an_earlier_model_beside_newer_checkpoints(
    backend_server: BackendServer, scan_file: Path, tmp_path: Path
) -> None:
    assert backend_server.train(scan_file, tmp_path, "--epochs", "1", *MORE) == (0, [])
    an_hour_ago = time.time() - 3600
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.utime(path, (an_hour_ago, an_hour_ago))
    infer = ["infer", str(tmp_path), str(scan_file), "-o", str(tmp_path / "result"), "--polish", "0", "--quiet"]
    assert backend_server.command(infer) == (0, [])
    last = tmp_path / "checkpoints" / LAST[backend_server.backend]
    last.unlink()
    asked = killed_after(0.0, last)
    code, _ = backend_server.train(scan_file, tmp_path, "--epochs", "5000", *MORE, meanwhile=asked)
    assert code == -signal.SIGKILL
    code, said = backend_server.command(infer)
    assert code == 0
    assert len(said) == 1
    assert "are newer than the model" in said[0]
    assert said[0].endswith("The earlier model is used. Resume that training, or delete the checkpoints.")


def test_without_resuming_the_kept_epochs_are_moved_aside_and_named(
    backend_server: BackendServer, scan_file: Path, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    asked = killed_after(0.5, checkpoints / LAST[backend_server.backend], signal.SIGINT)
    assert backend_server.train(scan_file, tmp_path, "--epochs", "5000", *MORE, meanwhile=asked)[0] == 130
    code, said = backend_server.train(scan_file, tmp_path, "--epochs", "1", *MORE)
    assert code == 0
    words = (
        rf"Warning: '{re.escape(str(checkpoints))}' holds \d+ of 5000 epochs of a training that was interrupted\. .*"
    )
    assert re.fullmatch(words, said[-1]), said
    assert (checkpoints / "earlier" / LAST[backend_server.backend]).is_file()


@pytest.mark.parametrize(
    ("words", "begun"), [(["demo"], "scan.npz"), (["demo", "--sparse"], "scan_400.npz"), (["parity-report"], "")]
)
def test_a_command_that_cannot_go_on_says_so(
    words: list[str], begun: str, backend_server: BackendServer, tmp_path: Path
) -> None:
    options = [] if words == ["parity-report"] else ["--backend", backend_server.backend]
    output = tmp_path / "out"
    # Not in the first step, which a framework traces and compiles.
    asked = killed_after(3.0, output / begun, signal.SIGINT)
    command = [*words, "-o", str(output), "--epochs", "5000", "--quiet", *options]
    code, said = backend_server.command(command, meanwhile=asked)
    assert (code, said[-1]) == (130, "Interrupted. Nothing is kept to go on from; run the command again.")
