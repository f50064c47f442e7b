"""What a scan leaves where the disk is full or the folder holds results already."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import OutputError
from ptychopinn_backend.live.endings import ScanWriter
from ptychopinn_backend.live.kept_frames import KeptFrames
from ptychopinn_backend.live.live_stream import LiveStream
from ptychopinn_backend.live.messages import Frame
from ptychopinn_backend.runs.trained_model import TrainedModel
from tests.faults.conftest import DiskMaker, small_disk

from .conftest import N
from .streams import AT_ONCE, frames_of, interleaved, positions_of

__all__ = ["small_disk"]


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Let no file grow further, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def follow(model: TrainedModel, scan: RawData, writer: ScanWriter, names: tuple[str, ...] = ("",)) -> LiveStream:
    options = replace(AT_ONCE, probe=scan.probeGuess)
    stream = LiveStream(model, options, on_end=writer.write, folder_of=writer.folder, clock=lambda: 0.0)
    for name in names:
        for entry in interleaved(frames_of(scan, name), positions_of(scan, name)):
            stream.take_frame(entry) if isinstance(entry, Frame) else stream.take_position(entry)
            stream.work()
    stream.end()
    return stream


def test_a_full_disk_ends_the_keeping_without_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = KeptFrames(tmp_path)
    with largest_file(100):
        for _ in range(20):
            kept.add(np.zeros((1, N, N), np.uint16))
        kept.discard()
    assert not kept.is_complete
    assert caplog.text.count("Frames are not kept any more (File too large)") == 1
    assert list(tmp_path.iterdir()) == []


def test_frames_that_cannot_be_kept_to_the_end_leave_the_object_that_grew(
    model: TrainedModel, scan: RawData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = ScanWriter(model, tmp_path / "new", "counts", 0)
    (tmp_path / "new" / "frames.npz" / "in the way").mkdir(parents=True)
    follow(model, scan, writer)
    writer.finish(once_more=True)
    assert "Scan 1 stays as it grew with the stream, without its frames" in caplog.text
    assert sorted(path.name for path in writer.written) == [f"reconstruction.{end}" for end in ("h5", "npz", "png")]
    assert not (tmp_path / "new" / ".frames.growing").exists()


def test_frames_make_room_for_the_object(
    model: TrainedModel, scan: RawData, tmp_path: Path, small_disk: DiskMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk holds the object, but not the frames beside it."""
    roomy = ScanWriter(model, tmp_path, "counts", 0)
    follow(model, scan, roomy)
    roomy.finish()
    pages = {path.name: -(-path.stat().st_size // 4096) * 4096 for path in roomy.written}
    disk = small_disk(sum(pages.values()) - pages["frames.npz"] + 8192)
    writer = ScanWriter(model, disk, "counts", 0)
    follow(model, scan, writer)
    writer.finish(once_more=True)
    assert "The frames of scan 1 are removed to make room for its object." in caplog.text
    assert {path.name for path in disk.iterdir()} == {path.name for path in writer.written}
    assert (disk / "reconstruction.npz").exists()


def test_a_scan_that_cannot_be_written_does_not_take_the_next_one_with_it(
    model: TrainedModel, scan: RawData, tmp_path: Path
) -> None:
    (tmp_path / "reconstruction.h5" / "in the way").mkdir(parents=True)
    writer = ScanWriter(model, tmp_path, "counts", 0)
    follow(model, scan, writer, ("one", "two"))
    with pytest.raises(OutputError, match=r"reconstruction\.h5"):
        writer.finish(once_more=True)
    assert (tmp_path / "scan_2" / "reconstruction.npz").exists()
    assert (tmp_path / "scan_2" / "frames.npz").exists()


def test_a_second_session_leaves_the_results_of_the_first(model: TrainedModel, scan: RawData, tmp_path: Path) -> None:
    for expected in (tmp_path, tmp_path / "scan_2"):
        writer = ScanWriter(model, tmp_path, "counts", 0)
        follow(model, scan, writer)
        writer.finish()
        assert {path.parent for path in writer.written} == {expected}
