"""A watched folder: finished files only, each once, also after a restart."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.live.folder_watch import FolderWatch, Ledger
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction
from tests.data.readers.writers import make_scan, write_ptychodus_pair

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


def test_the_halves_of_a_scan_are_one_also_when_one_comes_later(tmp_path: Path) -> None:
    folder, clock = tmp_path / "in", Clock()
    folder.mkdir()
    write_ptychodus_pair(make_scan(), folder)
    product = (folder / "product.h5").rename(tmp_path / "product.h5")
    ledger = Ledger(tmp_path / "out")
    watch = FolderWatch(folder, ledger, 1.0, clock)

    def names_after(seconds: float) -> list[str]:
        clock.now_s += seconds
        return [name for name, _ in watch.finished()]

    assert names_after(0.0) == names_after(1.0) == []
    assert watch.lone_halves == ["diffraction.h5"]
    product.rename(folder / "product.h5")
    assert names_after(0.0) == []
    assert names_after(1.0) == ["diffraction.h5"]
    assert watch.lone_halves == []
    ((name, seen),) = watch.finished()
    ledger.note(name, seen, "")
    watch = FolderWatch(folder, Ledger(tmp_path / "out"), 1.0, clock)
    assert names_after(0.0) == names_after(1.0) == []
    os.utime(folder / "product.h5", ns=(10**18, 10**18))
    assert names_after(0.0) == []
    assert names_after(1.0) == ["diffraction.h5"]


def test_a_full_disk_or_a_lone_half_is_told_by_the_exit_code(
    archive: Path, scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    shutil.copy(scan_file, folder / "scan.npz")
    (out / "scan.npz" / "reconstruction.npz" / "in the way").mkdir(parents=True)
    words = ["watch", str(folder), str(archive), "-o", str(out), "--once", "--settle", "0.1", *FIXED]
    assert main(words) == 1
    assert "It is tried again." in capsys.readouterr().err
    (folder / "scan.npz").unlink()
    write_ptychodus_pair(make_scan(), folder)
    (folder / "product.h5").unlink()
    assert main(words) == 2
    assert "diffraction.h5 holds one half of a scan and waits for the other" in capsys.readouterr().err


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
    assert main(words) == 2
    assert "broken.npz" in capsys.readouterr().err
    assert main(["infer", str(archive), str(scan_file), "-o", str(tmp_path / "offline"), *FIXED, "--quiet"]) == 0
    found, expected = (
        Reconstruction.load_npz(place / "reconstruction.npz") for place in (out / "scan.npz", tmp_path / "offline")
    )
    np.testing.assert_array_equal(found.object, expected.object)
    assert set(json.loads((out / "watched.json").read_text())) == {"scan.npz", "broken.npz"}
    assert main(words) == 0
    assert "Reconstructed 0 of 0 files" in capsys.readouterr().out
