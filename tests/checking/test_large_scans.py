"""A scan that needs more memory than a check may take is looked at in part, and that is said."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.checking.check import check_scan_file
from ptychopinn_backend.checking.reading import read_to_check
from ptychopinn_backend.cli.check import _mended
from ptychopinn_backend.config.reading import ASK_THE_FILE
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate

POINTS, N = 150, 32
BYTES_A_PATTERN = N**2 * (2 + 4 * 4)


@pytest.fixture(scope="module", params=["first", "last"])
def scan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = simulate(SimulationConfig(size=N, patterns=POINTS, photons=1e5), 0)
    counts = made.counts.astype(np.uint16)
    path = tmp_path_factory.mktemp("large") / "scan.npz"
    np.savez(
        path,
        diffraction=counts if request.param == "first" else np.moveaxis(counts, 0, 2),
        xcoords=made.positions_xy[:, 0],
        ycoords=made.positions_xy[:, 1],
        probeGuess=made.probe,
    )
    return path


def test_the_first_patterns_are_looked_at_and_nothing_is_mended(scan: Path, tmp_path: Path) -> None:
    found = check_scan_file(scan, ASK_THE_FILE, with_orientation=False, memory_bytes=120 * BYTES_A_PATTERN)
    whole = check_scan_file(scan, ASK_THE_FILE, with_orientation=False)
    part = next(item for item in found.findings if item.name == "part")
    assert part.evidence.startswith("The first 120 of 150 patterns were looked at")
    assert found.exit_code == whole.exit_code == 0
    assert found.mended is not None
    assert found.mended.raw.n_patterns == 120
    assert _mended(found, tmp_path / "mended.npz")[0].startswith("Nothing was written")
    assert not (tmp_path / "mended.npz").exists()
    assert "part" not in {item.name for item in whole.findings}
    assert found.plan is not None
    assert whole.plan is not None
    assert math.isclose(found.plan.scan_gib, whole.plan.scan_gib)


def test_positions_that_lack_patterns_are_told_beside_it(scan: Path) -> None:
    with np.load(scan) as arrays:
        members = dict(arrays)
    for name in ("xcoords", "ycoords"):
        members[name] = np.append(members[name], 0.0)
    if members["diffraction"].shape[0] != POINTS:
        pytest.skip("where the last axis counts the patterns their number must be that of the positions")
    path = scan.with_name("unequal.npz")
    np.savez(path, **members)
    found = read_to_check(path, ASK_THE_FILE, 120 * BYTES_A_PATTERN)
    assert {"part", "unequal-numbers"} <= {item.name for item in found.findings}
    assert math.isclose(found.share, 120 / 150)
