"""A writer that dies or finds the disk full leaves the earlier archive whole."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import ArchiveContent, read_archive, write_archive
from ptychopinn_backend.errors import OutputError

KILLED_WRITER = """
import os, signal, sys
sys.path.insert(0, {root!r})
from dataclasses import replace
import ptychopinn_backend.archive.model_archive as archive
import atomicwrites, numpy as np
content = archive.read_archive({path!r})
larger = replace(content, weights={{"w": np.ones(10**6, np.float32)}})
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
atomicwrites.{victim} = die
archive.write_archive({path!r}, larger)
"""


@pytest.mark.parametrize("victim", ["_proper_fsync", "replace_atomic"])
def test_a_killed_writer_leaves_the_old_archive(archive: Path, content: ArchiveContent, victim: str) -> None:
    before = archive.read_bytes()
    root = str(Path(__file__).resolve().parents[2])
    script = KILLED_WRITER.format(root=root, path=str(archive), victim=victim)
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert archive.read_bytes() == before
    assert read_archive(archive).model == content.model
    left = [file.name for file in archive.parent.iterdir() if file != archive]
    assert all(name.startswith(".wts.h5.zip.") and name.endswith(".tmp") for name in left)


def test_a_refusing_disk_is_explained_and_leaves_no_temporary_file(
    archive: Path, content: ArchiveContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = archive.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("atomicwrites._proper_fsync", full)
    with pytest.raises(OutputError, match=r"could not be written: No space left on device\. Free space"):
        write_archive(archive, replace(content, weights={"w": np.ones(5)}))
    assert archive.read_bytes() == before
    assert [file.name for file in archive.parent.iterdir()] == [archive.name]


def test_a_new_archive_replaces_the_old_one_and_makes_folders(content: ArchiveContent, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "wts.h5.zip"
    write_archive(path, content)
    write_archive(path, replace(content, intensity_scale=2.0))
    assert read_archive(path).intensity_scale == 2.0
    assert [file.name for file in path.parent.iterdir()] == [path.name]
