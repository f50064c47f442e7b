"""What the examination of a scan adds to its reading: 100,000 patterns of 64 x 64, with and without, in turns."""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.data import scan_arrays
from ptychopinn_backend.data.findings.repair import PatternRepair, Pieces
from ptychopinn_backend.data.findings.scan import ScanExaminer, Verdict
from ptychopinn_backend.data.findings.survey import PatternSurvey
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate

PATTERNS: Final = 100_000
LIMIT: Final = 0.05
"""Part of the reading that the examination may take."""


def write_scan(path: Path, count: int) -> None:
    """Write a scan of counts: 1,000 simulated patterns again and again, over a wide raster."""
    made = simulate(SimulationConfig(size=64, patterns=1000, photons=1e5), 0)
    side = int(np.ceil(np.sqrt(count)))
    row, column = np.divmod(np.arange(count), side)
    np.savez(
        path,
        diffraction=np.resize(made.counts.astype(np.uint16), (count, 64, 64)),
        xcoords=4.0 * column,
        ycoords=4.0 * row,
        probeGuess=made.probe,
        _metadata=np.array('{"measurement": "counts"}'),
    )


class NothingFound(ScanExaminer):
    """Stands in for the examination: it looks at nothing."""

    def __init__(self, facts: Mapping[str, Any], n_patterns: int, N: int) -> None:
        """Take what is needed to answer."""
        self.good = np.ones((N, N), np.bool_)
        self.survey = PatternSurvey(1, N)
        self.survey.look = lambda piece, first: None  # type: ignore[method-assign]
        self._count = n_patterns

    def impossible_values(self, name: str, pieces: Pieces) -> PatternRepair:
        """Find nothing."""
        return PatternRepair.nothing(len(self.good))

    def verdict(self, values: PatternRepair, pieces: Pieces, *, are_amplitudes: bool, are_counted: bool) -> Verdict:
        """Find nothing."""
        return Verdict(values, np.arange(self._count), None, ())


def seconds_to_read(path: Path, examiner: type[ScanExaminer]) -> float:
    """Return how long a processor is busy reading a scan with an examination, whatever else the machine does."""
    scan_arrays.ScanExaminer = examiner  # type: ignore[misc]
    gc.collect()
    started = time.process_time()
    RawData.from_file(path)
    return time.process_time() - started


def main() -> int:
    """Read a scan in turns with and without its examination; return 1 where this takes more than it may."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patterns", type=int, default=PATTERNS)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    examined, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.npz"
        write_scan(path, asked.patterns)
        seconds_to_read(path, ScanExaminer)
        for turn in range(asked.rounds):
            # Who comes first takes turns as well: the second finds the file nearer.
            for examiner in (ScanExaminer, NothingFound)[:: 1 if turn % 2 else -1]:
                (examined if examiner is ScanExaminer else bare).append(seconds_to_read(path, examiner))
            print(f"examined {examined[-1]:.3f} s, bare {bare[-1]:.3f} s", flush=True)
    share = min(examined) / min(bare) - 1
    print(f"best: {min(examined):.3f} s against {min(bare):.3f} s, {share:+.1%} (at most {LIMIT:.0%})")
    return int(share > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
