"""Live inference: rates beside the bare prediction, lag, memory, counts, kills.

`python -m benchmarks --only live` measures rates and lags. The long runs are `python -m benchmarks.live --minutes 10`
(memory at full rate), `--frames 1000000` (no count is lost) and `--kills 50` (sender and receiver are killed and
started again).
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measuring import interleaved
from benchmarks.prepared import untrained
from benchmarks.scenes import scan_of
from benchmarks.tables import Table
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.live.counters import Counters
from ptychopinn_backend.live.live_stream import LiveStream, StreamOptions
from ptychopinn_backend.live.messages import Frame, Position
from ptychopinn_backend.live.replaying import detector_counts
from ptychopinn_backend.runs.trained_model import TrainedModel

MAIN = "from ptychopinn_backend.cli.main import main; import sys; sys.exit(main())"
PREFIX = "bench"
SEARCH_PORT = "15976"
SIZES = (64, 128)
NETWORKS = ("small", "fast")


def measure(quick: bool) -> list[Table]:
    """Measure rates, and lags at half and at 90 % of them."""
    rates = Table(
        "Stream",
        ("network", "N", "patterns", "bare patterns/s", "stream patterns/s", "share"),
        "Two threads. Bare: the prediction alone, in batches of 8. Stream: frames and positions handed in one by one, "
        "paired, predicted, phases aligned, added to a growing object. Target of the share: 0.8.",
    )
    lags = Table(
        "Lag",
        ("network", "N", "frames/s sent", "of the rate", "median ms", "99 % ms", "dropped", "used"),
        "`replay` into `live` through PVAccess on the loopback interface, both on the same "
        "cores; from the arrival of a frame until it is in the object. Targets: 100 ms in the median, 500 ms for 99 %.",
    )
    for network in NETWORKS[:1] if quick else NETWORKS:
        for N in SIZES[:1] if quick else SIZES:
            patterns = 64 if quick else 1000 if N == 64 else 400
            model, scan = untrained(network, N), scan_of(N, patterns)
            runs = {"bare": partial(_bare, model, scan), "stream": partial(_stream, model, scan, detector_counts(scan))}
            times = interleaved(runs, 1 if quick else 5)
            bare, stream = (times[name].rate(patterns) for name in ("bare", "stream"))
            rates.add(network, N, patterns, bare, stream, times["bare"].relative_to(times["stream"]))
            for part in (0.5,) if quick else (0.5, 0.9):
                rate = max(1.0, part * stream.median)
                with TemporaryDirectory(prefix="bench-") as folder:
                    told = replayed(Path(folder), model, scan, rate, int(rate * (2 if quick else 20)))
                row = (told["lag_ms"], told["lag_ms_p99"], told.get("dropped", 0), told.get("used", 0))
                lags.add(network, N, round(rate, 1), part, *row)
    return [rates, lags]


def _bare(model: TrainedModel, scan: RawData) -> None:
    source = PtychoDataContainer.from_raw_data(scan, model.model, neighbor_count=4)
    for _ in model.backend.predict(source, 8):
        pass


def _stream(model: TrainedModel, scan: RawData, counts: AnyArray) -> Counters:
    options = StreamOptions(start_frames=1, start_wait_s=0, probe=scan.probeGuess, photons=scan.mean_photons)
    stream = LiveStream(model, options)
    for number, (image, xy) in enumerate(zip(counts, scan.positions_xy.tolist(), strict=True)):
        # As if it came just now: an older frame would not wait for its batch to be complete.
        stream.take_frame(Frame(number, image, number * 1e-3, arrived_s=time.monotonic()))
        stream.take_position(Position(number, *xy, number * 1e-3))
        stream.work()
    stream.end()
    return stream.counters


class Running:
    """`replay` and `live` in processes of their own."""

    def __init__(self, folder: Path, model: TrainedModel, scan: RawData) -> None:
        self.folder = folder
        self._archive, self._scan = model.save(folder / "model.zip"), folder / "scan.npz"
        scan.to_file(self._scan)

    def sender(self, *words: str) -> subprocess.Popen[str]:
        return self._run("replay", str(self._scan), "--prefix", PREFIX, *words)

    def receiver(self, *words: str) -> subprocess.Popen[str]:
        channels = ("--frames", f"pva://{PREFIX}:frames", "--positions", f"pva://{PREFIX}:positions")
        fixed = ("--stop", f"pva://{PREFIX}:done", "--probe-from", str(self._scan), "--accelerator", "cpu")
        return self._run("live", str(self._archive), *channels, *fixed, "-o", str(self.folder / "out"), *words)

    def _run(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MAIN, *words, "--search-port", SEARCH_PORT]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told_by(receiver: subprocess.Popen[str]) -> dict[str, float]:
    """Wait for the end of `live` and return its counters."""
    out, errors = receiver.communicate()
    if receiver.returncode != 0:
        raise RuntimeError(f"live ended with {receiver.returncode}:\n{errors}")
    line = next(line for line in out.splitlines() if line.startswith("Ended"))
    return {name: float(value) for name, value in re.findall(r"(\w+) ([\d.e+]+)(?:,|$)", line.partition(". ")[2])}


def replayed(folder: Path, model: TrainedModel, scan: RawData, rate: float, frames: int) -> dict[str, float]:
    """Replay a scan into `live` and return the counters of both; 'sent_frames' is what was sent."""
    running = Running(folder, model, scan)
    sender = running.sender("--rate", f"{rate:.2f}", "--frames", str(frames))
    receiver = running.receiver("--no-frames")
    told = told_by(receiver)
    sent = re.search(r"Sent (\d+) frames", sender.communicate()[0])
    return {**told, "sent_frames": float(sent[1]) if sent else np.nan}


def memory(minutes: float) -> dict[str, float]:
    """Stream into the core as fast as it takes frames; return MiB of memory after a tenth, half and all of the time."""
    model, scan = untrained("small", 64), scan_of(64, 1000)
    counts, places = detector_counts(scan), scan.positions_xy.tolist()
    stream = LiveStream(model, StreamOptions(probe=scan.probeGuess, start_frames=8))
    begin, number, found = time.monotonic(), 0, {}
    marks = {0.1: "MiB after a tenth", 0.5: "MiB after half", 1.0: "MiB at the end"}
    while marks:
        for _ in range(8):
            row = number % len(counts)
            stream.take_frame(Frame(number, counts[row], number * 1e-3, arrived_s=time.monotonic()))
            stream.take_position(Position(number, *places[row], number * 1e-3))
            number += 1
        stream.work()
        spent = (time.monotonic() - begin) / (60 * minutes)
        for mark in [mark for mark in marks if spent >= mark]:
            found[marks.pop(mark)] = _resident_mib()
    return {**found, "frames": float(number), "frames per second": number / (60 * minutes)}


def _resident_mib() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in status)["VmRSS"].split()[0]) / 1024


def balance(frames: int) -> dict[str, float]:
    """Send so many frames faster than they are predicted; every one must be accounted for."""
    with TemporaryDirectory(prefix="bench-") as folder:
        told = replayed(Path(folder), untrained("small", 64), scan_of(64, 1000), 4000.0, frames)
    kinds = ("used", "repeated", "late", "refused", "unpaired", "dropped", "waiting")
    told["unaccounted"] = told["sent_frames"] - sum(told.get(kind, 0) for kind in kinds) - told.get("missing", 0)
    return told


def kills(count: int) -> dict[str, int]:
    """Kill sender and receiver by turns while a scan is sent; afterwards a whole scan must come through."""
    model, scan = untrained("small", 64), scan_of(64, 200)
    rng = np.random.default_rng(0)
    with TemporaryDirectory(prefix="bench-") as name:
        running = Running(Path(name), model, scan)
        send = ("--rate", "100", "--frames", "100000")
        sender, receiver = running.sender(*send), running.receiver("--idle", "600")
        for turn in range(count):
            time.sleep(rng.uniform(0.2, 4))
            victim = sender if turn % 2 else receiver
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
            if turn % 2:
                sender = running.sender(*send)
            else:
                receiver = running.receiver("--idle", "600")
        sender.kill()
        sender.communicate()
        time.sleep(2)
        last = running.sender("--rate", "100")
        told = told_by(receiver)
        last.communicate()
    return {"kills": count, "scans": int(told["scans"]), "used": int(told["used"])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--minutes", type=float, help="memory over this time at full rate")
    parser.add_argument("--frames", type=int, help="frames that must all be accounted for")
    parser.add_argument("--kills", type=int, help="kills and restarts of sender and receiver")
    arguments = parser.parse_args()
    if arguments.minutes:
        print(json.dumps(memory(arguments.minutes)), flush=True)
    if arguments.frames:
        print(json.dumps(balance(arguments.frames)), flush=True)
    if arguments.kills:
        print(json.dumps(kills(arguments.kills)), flush=True)


if __name__ == "__main__":
    main()
