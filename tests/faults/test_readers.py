"""Ten processes read an archive, a neighbour cache or a data set while another one replaces it again and again.

`FAULT_KILLS=200 python -m pytest tests/faults` is the nightly run.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import victims
from .fork_server import ForkServer, killed_after
from .test_kills import KILLS

READERS = 10
WRITING_S = KILLS / 20
"""From the first file on."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ForkServer, ForkServer]]:
    """One that writes and one that reads."""
    logs = tmp_path_factory.mktemp("servers")
    with (
        ForkServer([victims.__name__], logs / "writer.log") as writing,
        ForkServer([victims.__name__], logs / "readers.log") as reading,
    ):
        yield writing, reading


@pytest.mark.parametrize(
    ("writer", "check", "name", "first"),
    [
        ("save_archives", "check_archive", "wts.h5.zip", ""),
        ("keep_neighbours", "check_neighbours", "scan.g2k4.groups_cache.npz", ""),
        ("build_datasets", "check_dataset_or_notice", "dataset", "dataset.json"),
    ],
)
def test_readers_see_what_is_whole(
    servers: tuple[ForkServer, ForkServer],
    writer: str,
    check: str,
    name: str,
    first: str,
    scan_file: Path,
    tmp_path: Path,
) -> None:
    writing, reading = servers
    path, ended = tmp_path / name, tmp_path / "ended"
    sources = [str(scan_file)] if writer == "build_datasets" else []
    kill = killed_after(WRITING_S, path / first)

    def write_meanwhile(_: int) -> None:
        code = writing.run(f"{victims.__name__}:{writer}", *sources, str(path), meanwhile=kill)
        assert code == -signal.SIGKILL, writing.said()
        # What was written last stands still now; every reader looks at it once more.
        ended.touch()

    arguments = (READERS, check, str(path), str(ended))
    wrong = reading.run(f"{victims.__name__}:read_in_processes", *arguments, meanwhile=write_meanwhile)
    assert wrong == 0, reading.said()
