"""A scan without faults gives notes alone, whatever its object, probe, dose and detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.checking.check import ScanCheck, check_scan_file
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate
from tests.data.findings.test_no_false_alarm import SPECS

NOT_WRONG = ("no-probe",)
STEP_TOO_LARGE = {"step_px": 22.0}


def odd(check: ScanCheck) -> list[str]:
    return [str(item) for item in check.findings if item.severity != "note" and item.name not in NOT_WRONG]


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "step_px" not in spec], ids=str)
def test_simulated_scans(spec: dict[str, Any], tmp_path: Path) -> None:
    scan = simulate(SimulationConfig(**{"size": 32, "patterns": 60, **spec}), 3)
    members = {"diffraction": scan.counts, "xcoords": scan.positions_xy[:, 0], "ycoords": scan.positions_xy[:, 1]}
    members["objectGuess"] = scan.object
    if scan.bad_pixels is not None:
        members["bad_pixels"] = scan.bad_pixels
    for probe in ({"probeGuess": scan.probe}, {}):
        np.savez(tmp_path / "scan.npz", **members, **probe)
        check = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE, with_orientation=bool(probe))
        assert odd(check) == []
        assert check.changes == ()


@pytest.mark.parametrize("name", ["rotavirus", "siemens_star"])
def test_measured_scans(shared_folder: Path, name: str) -> None:
    check = check_scan_file(shared_folder / "data" / f"{name}.npz", ASK_THE_FILE)
    assert odd(check) == []
    assert check.exit_code == 0
    assert check.changes == ()


@pytest.mark.parametrize("with_probe", [True, False])
def test_a_plane_wave_without_a_sample(tmp_path: Path, with_probe: bool) -> None:
    """All light on one pixel of the detector is what a plane wave gives, and no hot pixel."""
    rng, N = np.random.default_rng(0), 32
    light = np.full((N, N), 1e-3)
    light[N // 2, N // 2] = 1e5
    x, y = np.divmod(np.arange(64), 8)
    members = {"diffraction": rng.poisson(light, (64, N, N)), "xcoords": 2.0 * x + 16, "ycoords": 2.0 * y + 16}
    if with_probe:
        members["probeGuess"] = np.full((N, N), np.sqrt(1e5) / N, np.complex64)
    np.savez(tmp_path / "scan.npz", **members)
    check = check_scan_file(tmp_path / "scan.npz", Reading(measurement="counts"))
    assert odd(check) == []
    assert check.mended is not None
    assert check.mended.raw.bad_pixels is None
