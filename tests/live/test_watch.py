"""A watched folder: finished files only, each once, also after a restart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.live.folder_watch import FolderWatch, Ledger
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

FIXED = ("--backend", "pytorch", "--accelerator", "cpu", "--polish", "0", "--calibrate", "never")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_file_is_finished_when_it_did_not_change_for_some_time(tmp_path: Path) -> None:
    folder, clock = tmp_path / "in", Clock()
    (folder / "below").mkdir(parents=True)
    watch = FolderWatch(folder, Ledger(folder / "out"), 2.0, clock)
    growing, hidden = folder / "below" / "a.npz", folder / ".b.npz"
    for path in (growing, hidden, folder / "notes.txt", folder / "out" / "reconstruction.npz"):
        path.write_bytes(b"1")
    assert list(watch.finished()) == []
    clock.now_s = 1.5
    growing.write_bytes(b"12")
    assert list(watch.finished()) == []
    clock.now_s = 3.0
    assert list(watch.finished()) == []
    clock.now_s = 3.6
    assert [name for name, _ in watch.finished()] == ["below/a.npz"]


def test_each_once_also_after_a_restart_and_again_when_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.npz").write_bytes(b"1")
    ledger = Ledger(tmp_path / "out")
    ((name, seen),) = FolderWatch(folder, ledger, 0.0).finished()
    ledger.note(name, seen, "")
    assert list(FolderWatch(folder, Ledger(tmp_path / "out"), 0.0).finished()) == []
    (folder / "a.npz").write_bytes(b"123")
    assert [name for name, _ in FolderWatch(folder, Ledger(tmp_path / "out"), 0.0).finished()] == ["a.npz"]


def test_what_is_tried_later_settles_again(tmp_path: Path) -> None:
    folder, clock = tmp_path / "in", Clock()
    folder.mkdir()
    (folder / "a.npz").write_bytes(b"1")
    watch = FolderWatch(folder, Ledger(tmp_path / "out"), 1.0, clock)
    assert list(watch.finished()) == []
    clock.now_s = 1.0
    assert len(list(watch.finished())) == 1
    watch.put_off("a.npz")
    assert list(watch.finished()) == []


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"a": 3}'])
def test_a_ledger_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "watched.json").write_text(text)
    with pytest.raises(ConfigError, match="Move it away"):
        Ledger(tmp_path)


def test_watch_does_what_infer_does(
    archive: Path, scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    shutil.copy(scan_file, folder / "scan.npz")
    (folder / "broken.npz").write_bytes(scan_file.read_bytes()[:1000])
    words = ["watch", str(folder), str(archive), "-o", str(out), "--once", "--settle", "0.1", *FIXED]
    assert main(words) == 0
    assert "broken.npz" in capsys.readouterr().err
    assert main(["infer", str(archive), str(scan_file), "-o", str(tmp_path / "offline"), *FIXED, "--quiet"]) == 0
    found, expected = (
        Reconstruction.load_npz(place / "reconstruction.npz") for place in (out / "scan.npz", tmp_path / "offline")
    )
    np.testing.assert_array_equal(found.object, expected.object)
    assert set(json.loads((out / "watched.json").read_text())) == {"scan.npz", "broken.npz"}
    assert main(words) == 0
    assert "Reconstructed 0 of 0 files" in capsys.readouterr().out
