"""What the checks that every run makes take of a training and of a reconstruction: processor time, in one run."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.reading import NothingFound, seconds_to_read
from ptychopinn_backend.cli import main as run_command
from ptychopinn_backend.config.presets import AUTO, fitted_preset
from ptychopinn_backend.data import scan_arrays
from ptychopinn_backend.data.findings.scan import ScanExaminer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.runs.half_turn import warn_of_half_turns

PATTERNS: Final = 300
LIMIT: Final = 0.05
"""Part of a training, or of a reconstruction, that the checks may take."""


def processor_seconds(run: Callable[[], object]) -> float:
    """Return how long a processor is busy with a call, whatever else the machine does."""
    started = time.process_time()
    run()
    return time.process_time() - started


def checks_s(path: Path, rounds: int) -> float:
    """Return what the examination adds to the reading of a scan, and the look for a half turn: the best of rounds."""
    examined = min(seconds_to_read(path, ScanExaminer) for _ in range(rounds))
    bare = min(seconds_to_read(path, NothingFound) for _ in range(rounds))
    scan_arrays.ScanExaminer = ScanExaminer  # type: ignore[misc]
    raw = RawData.from_file(path)
    turn = min(processor_seconds(lambda: warn_of_half_turns([raw])) for _ in range(rounds))
    print(f"examination {examined - bare:.4f} s (reading alone {bare:.4f} s), half turn {turn:.4f} s", flush=True)
    return max(0.0, examined - bare) + turn


def main() -> int:
    """Measure all three; return 1 where the checks take more than they may."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patterns", type=int, default=PATTERNS)
    parser.add_argument("--backend", default="pytorch")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan, model, result = (Path(folder) / name for name in ("scan.npz", "model", "result"))
        raw = simulate_scan(SimulationConfig(size=64, patterns=asked.patterns, photons=1e5), 0)
        raw.to_file(scan)
        checked = checks_s(scan, asked.rounds)
        train = ["train", str(scan), "-o", str(model), "--backend", asked.backend, "--calibrate", "never", "--quiet"]
        run_command([*train, "--epochs", "1"])
        # The framework is loaded by now: what the longer run takes more is an epoch.
        short, long = (
            processor_seconds(lambda count=count: run_command([*train, "--epochs", count])) for count in ("1", "2")
        )
        epochs = fitted_preset(AUTO, [raw]).options["nepochs"]
        training = max(long - short, 0.0) * epochs
        infer = ["infer", str(model), str(scan), "-o", str(result), "--quiet"]
        reconstruction = min(processor_seconds(lambda: run_command(infer)) for _ in range(2))
    shares = checked / training, checked / reconstruction
    print(
        f"checks {checked:.3f} s; training of {epochs} epochs {training:.0f} s, {shares[0]:.2%}; reconstruction "
        f"{reconstruction:.2f} s, {shares[1]:.1%} (at most {LIMIT:.0%})"
    )
    return int(max(shares) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
