"""Ten processes read an archive, a neighbour cache or a data set while another one replaces it again and again."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from . import victims
from .fork_server import ForkServer, killed_after

READERS = 10
WRITING_S = 2.0


@pytest.mark.parametrize(
    ("writer", "check", "name"),
    [
        ("save_archives", "check_archive", "wts.h5.zip"),
        ("keep_neighbours", "check_neighbours", "scan.g2k4.groups_cache.npz"),
        ("build_datasets", "check_dataset_or_notice", "dataset"),
    ],
)
def test_readers_see_what_is_whole(writer: str, check: str, name: str, scan_file: Path, tmp_path: Path) -> None:
    path, ended = tmp_path / name, tmp_path / "ended"
    sources = [str(scan_file)] if writer == "build_datasets" else []
    with (
        ForkServer([victims.__name__], tmp_path / "writer.log") as writing,
        ForkServer([victims.__name__], tmp_path / "readers.log") as reading,
    ):

        def write_meanwhile(_: int) -> None:
            arguments = (*sources, str(path))
            code = writing.run(f"{victims.__name__}:{writer}", *arguments, meanwhile=killed_after(WRITING_S))
            assert code == -signal.SIGKILL, writing.said()
            # What was written last stands still now, so that slow readers find it too.
            time.sleep(WRITING_S / 2)
            ended.touch()

        arguments = (READERS, check, str(path), str(ended))
        wrong = reading.run(f"{victims.__name__}:read_in_processes", *arguments, meanwhile=write_meanwhile)
        assert wrong == 0, reading.said()
