"""`replay` into `live` through p4p on the loopback interface, in two processes as users run them."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction
from tests.factory.interpreters import environment_without
from tests.factory.interpreters import run as run_without

pytest.importorskip("p4p")

FRAMEWORKS = ("torch", "lightning", "pytorch_lightning", "functorch", "tensorflow", "keras")
FOLLOW = ("--frames", "pva://t:frames", "--positions", "pva://t:positions", "--stop", "pva://t:done")


@contextmanager
def running(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process of its own; it is killed where a test fails."""
    command = [sys.executable, "-m", "ptychopinn_backend.cli.main", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def told(child: subprocess.Popen[str]) -> dict[str, float]:
    """Wait for the end of `live`, and return its counters."""
    out, errors = child.communicate(timeout=240)
    assert child.returncode == 0, errors
    line = next(line for line in out.splitlines() if line.startswith("Ended"))
    return {name: float(value) for name, value in re.findall(r"(\w+) ([\d.e+]+)(?:,|$)", line.partition(". ")[2])}


def test_a_replayed_scan_becomes_what_infer_makes_of_it(
    archive: Path, scan_file: Path, scan: RawData, tmp_path: Path, port: int
) -> None:
    network = ("--search-port", str(port))
    disturbed = ("--jitter", "20", "--swap", "0.1", "--lose", "0.1", "--repeat", "0.1")
    words = ["live", archive, *FOLLOW, "-o", tmp_path / "live", "--backend", "pytorch", "--accelerator", "cpu"]
    with (
        running("replay", scan_file, "--rate", "200", *disturbed, "--prefix", "t", *network) as sender,
        running(*words, "--probe-from", scan_file, "--publish", "t:live", *network) as receiver,
    ):
        counts = told(receiver)
        sent = re.search(r"Sent (\d+) frames and (\d+) positions", sender.communicate(timeout=60)[0])
    assert sent is not None
    assert counts["frames"] == int(sent[1])
    assert counts["positions"] == int(sent[2])
    assert counts["used"] + counts["repeated"] + counts.get("unpaired", 0) == counts["frames"]
    kept = RawData.from_file(tmp_path / "live" / "frames.npz")
    assert kept.n_patterns == counts["used"]
    rows = [int(np.flatnonzero((scan.positions_xy == xy).all(axis=1))[0]) for xy in kept.positions_xy]
    assert rows == sorted(rows)
    np.testing.assert_allclose(kept.diff3d, scan.diff3d[rows], atol=1e-3)
    infer = ["infer", str(archive), str(tmp_path / "live" / "frames.npz"), "-o", str(tmp_path / "offline")]
    fixed = ["--backend", "pytorch", "--accelerator", "cpu", "--polish", "0", "--calibrate", "never", "--quiet"]
    assert main([*infer, *fixed]) == 0
    found, expected = (Reconstruction.load_npz(tmp_path / name / "reconstruction.npz") for name in ("live", "offline"))
    np.testing.assert_array_equal(found.object, expected.object)
    assert found.origin_rc == expected.origin_rc
    assert sorted(path.name for path in (tmp_path / "live").iterdir()) == sorted(
        ["frames.npz", *(path.name for path in (tmp_path / "offline").iterdir())]
    )


def test_paired_by_time_with_a_fast_encoder_and_ended_by_silence(
    archive: Path, scan_file: Path, scan: RawData, tmp_path: Path, port: int
) -> None:
    network = ("--search-port", str(port))
    words = ["live", archive, *FOLLOW[:4], "-o", tmp_path / "live", "--backend", "pytorch", "--accelerator", "cpu"]
    with (
        running("replay", scan_file, "--rate", "200", "--encoder-rate", "1000", "--prefix", "t", *network),
        running(*words, "--pair-by", "time", "--no-frames", "--no-publish", "--idle", "3", *network) as receiver,
    ):
        counts = told(receiver)
    assert counts["used"] == counts["frames"] == scan.n_patterns
    found = Reconstruction.load_npz(tmp_path / "live" / "reconstruction.npz")
    assert found.positions_xy is not None
    np.testing.assert_allclose(found.positions_xy, scan.positions_xy, atol=1e-3)
    assert not (tmp_path / "live" / "frames.npz").exists()


def test_ctrl_c_ends_in_order(archive: Path, tmp_path: Path, port: int) -> None:
    words = ["live", archive, *FOLLOW, "-o", tmp_path / "live", "--backend", "pytorch", "--search-port", str(port)]
    with running(*words) as receiver:
        assert receiver.stderr is not None
        while "Waiting" not in receiver.stderr.readline():
            assert receiver.poll() is None
        receiver.send_signal(signal.SIGINT)
        out, _ = receiver.communicate(timeout=60)
    assert receiver.returncode == 0
    assert "Ended: asked to" in out
    assert "nothing, no frame was used" in out


def test_two_scans_end_in_two_folders(archive: Path, scan_file: Path, tmp_path: Path, port: int) -> None:
    network = ("--search-port", str(port))
    words = ["live", archive, *FOLLOW, "-o", tmp_path / "live", "--backend", "pytorch", "--accelerator", "cpu"]
    with (
        running("replay", scan_file, "--rate", "200", "--scans", "2", "--prefix", "t", *network),
        running(*words, "--probe-from", scan_file, "--no-publish", *network) as receiver,
    ):
        counts = told(receiver)
    assert (counts["used"], counts["scans"]) == (128, 2)
    names = {"frames.npz", "reconstruction.npz", "reconstruction.h5", "reconstruction.png"}
    first, second = tmp_path / "live", tmp_path / "live" / "scan_2"
    assert {path.name for path in first.iterdir()} == names | {"scan_2"}
    assert {path.name for path in second.iterdir()} == names
    found, expected = (Reconstruction.load_npz(folder / "reconstruction.npz") for folder in (first, second))
    np.testing.assert_array_equal(found.object, expected.object)


def test_the_page_shows_the_object_grow_and_ctrl_c_keeps_it(
    archive: Path, scan_file: Path, tmp_path: Path, port: int
) -> None:
    pytest.importorskip("uvicorn")
    network = ("--search-port", str(port))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        page = free.getsockname()[1]
    words = ["live", archive, *FOLLOW, "-o", tmp_path / "live", "--backend", "pytorch", "--accelerator", "cpu"]
    endless = ("--rate", "100", "--frames", "100000", "--prefix", "t", *network)
    with (
        running("replay", scan_file, *endless) as sender,
        running(*words, "--probe-from", scan_file, "--no-publish", "--page", str(page), *network) as receiver,
    ):
        seen: list[dict] = []
        while len(seen) < 3:
            assert receiver.poll() is None
            state = state_of(page)
            if state.get("shape") and (not seen or state["version"] > seen[-1]["version"]):
                seen.append(state)
            time.sleep(0.05)
        receiver.send_signal(signal.SIGINT)
        counts = told(receiver)
        sender.send_signal(signal.SIGINT)
        sender.communicate(timeout=60)
    assert [state["used"] for state in seen] == sorted({state["used"] for state in seen})
    assert seen[-1]["shape"] >= seen[0]["shape"]
    assert counts["used"] == counts["frames"] - counts.get("unpaired", 0) - counts.get("dropped", 0)
    kept = RawData.from_file(tmp_path / "live" / "frames.npz")
    found = Reconstruction.load_npz(tmp_path / "live" / "reconstruction.npz")
    assert kept.n_patterns == found.info["n_patterns"] == counts["used"]


def state_of(page: int) -> dict:
    try:
        with urlopen(f"http://127.0.0.1:{page}/state.json", timeout=5) as answer:
            found: dict = json.load(answer)
            return found
    except URLError:
        return {}


@pytest.mark.slow
def test_a_kilohertz_without_a_framework_is_what_pytorch_makes_of_it(
    archive: Path, scan_file: Path, tmp_path: Path, port: int
) -> None:
    """An instrument's computer: ONNX Runtime alone, and a detector of 1000 frames per second."""
    pytest.importorskip("onnxruntime")
    (tmp_path / "packages").mkdir()
    paths = environment_without(tmp_path / "packages", *FRAMEWORKS)
    words = ["live", str(archive), *FOLLOW, "-o", str(tmp_path / "live"), "--queue", "100000", "--no-publish"]
    words += ["--probe-from", str(scan_file), "--search-port", str(port)]
    program = f"""
from ptychopinn_backend.cli import main
code = main({words!r})
print(json.dumps([code, loaded("torch", "tensorflow"), loaded("onnxruntime")]))
"""
    with running(
        "replay", scan_file, "--rate", "1000", "--frames", "1000", "--prefix", "t", "--search-port", port
    ) as sender:
        assert run_without(program, paths) == [0, [], ["onnxruntime"]]
        assert "Sent 1000 frames" in sender.communicate(timeout=60)[0]
    kept = tmp_path / "live" / "frames.npz"
    fixed = ["--backend", "pytorch", "--accelerator", "cpu", "--polish", "0", "--calibrate", "never", "--quiet"]
    assert main(["infer", str(archive), str(kept), "-o", str(tmp_path / "offline"), *fixed]) == 0
    found, expected = (Reconstruction.load_npz(tmp_path / name / "reconstruction.npz") for name in ("live", "offline"))
    assert (found.backend, expected.backend) == ("onnx", "pytorch")
    assert found.positions_xy is not None
    assert len(found.positions_xy) == 1000
    # Patches of the two agree to 1e-6 of the largest value, and phases are found from them.
    np.testing.assert_allclose(found.object, expected.object, atol=2e-5 * np.abs(expected.object).max())
