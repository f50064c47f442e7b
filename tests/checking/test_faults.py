"""Every fault is named with its severity, and a mended scan has it no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.checking.check import ScanCheck, check_scan_file
from ptychopinn_backend.cli import main
from ptychopinn_backend.config.reading import ASK_THE_FILE
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate
from tests.data.findings.planted import POINTS, N, members, simulated

from .faults import FAULTS, Fault, Members, at, members_of, put, turned


def checked(tmp_path: Path, plant: Callable[[Members], object], *, with_orientation: bool = False) -> ScanCheck:
    scan = {name: np.array(values) for name, values in members().items()}
    plant(scan)
    np.savez(tmp_path / "scan.npz", **{name: values for name, values in scan.items() if values is not None})
    return check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE, with_orientation=with_orientation)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.name}: {fault.words}")
def test_a_fault_is_named_and_mended(fault: Fault, tmp_path: Path) -> None:
    check = checked(tmp_path, fault.plant, with_orientation=fault.with_orientation)
    found = [item for item in check.findings if item.name == fault.name]
    assert [item.severity for item in found] == [fault.severity], [str(item) for item in check.findings]
    assert fault.words in str(found[0])
    assert check.exit_code == {"error": 2, "warning": 1}[fault.severity]
    assert (fault.change == "") or any(fault.change in line for line in check.changes), check.changes
    assert check.mended is not None
    check.mended.raw.to_file(tmp_path / "mended.npz")
    again = check_scan_file(tmp_path / "mended.npz", ASK_THE_FILE, with_orientation=fault.with_orientation)
    left = {item.name for item in again.findings if item.severity != "note"}
    if fault.change:
        assert left <= {"no-probe"}, [str(item) for item in again.findings]
        assert again.changes == ()
    else:
        assert fault.name in left
        assert check.changes == ()


def test_the_scan_itself_is_clean(tmp_path: Path) -> None:
    check = checked(tmp_path, lambda scan: None, with_orientation=True)
    assert [str(item) for item in check.findings if item.severity != "note"] == []
    assert check.exit_code == 0
    assert check.changes == ()


def test_a_place_measured_again_is_a_note(tmp_path: Path) -> None:
    """Two exposures at one place differ by their noise alone."""

    def plant(scan: Members) -> None:
        clean = np.repeat(scan["diffraction"][:50], 2, axis=0)
        scan["diffraction"] = np.random.default_rng(0).poisson(clean)
        scan["xcoords"], scan["ycoords"] = (np.repeat(scan[axis][:50], 2) for axis in ("xcoords", "ycoords"))

    check = checked(tmp_path, plant)
    found = [item for item in check.findings if item.name == "duplicate-positions"]
    assert [item.severity for item in found] == ["note"]
    assert "50 places in all); their patterns agree" in found[0].evidence


def test_several_faults_are_told_at_once_and_mended_together(tmp_path: Path) -> None:
    def plant(scan: Members) -> None:
        scan["diffraction"] = scan["diffraction"].astype(np.int64)
        scan["diffraction"][:, 10, 13] = 0
        scan["diffraction"][60] *= 100
        scan["ycoords"][5] = np.nan
        scan["probeGuess"] = np.fft.fftshift(scan["probeGuess"], axes=(-2, -1))

    check = checked(tmp_path, plant)
    names = [item.name for item in check.findings if item.severity != "note"]
    assert sorted(names) == ["dead-pixels", "hot-patterns", "nan-positions", "wrapped-probe"]
    assert check.findings[0].severity == check.findings[1].severity == "error"
    assert check.mended is not None
    raw = check.mended.raw
    np.testing.assert_array_equal(check.mended.rows, np.delete(np.arange(POINTS), [5, 60]))
    np.testing.assert_allclose(raw.positions_xy, np.delete(simulated().positions_xy, [5, 60], axis=0))
    assert raw.bad_pixels is not None
    assert np.argwhere(raw.bad_pixels).tolist() == [[10, 13]]
    assert raw.probeGuess is not None
    np.testing.assert_allclose(raw.probeGuess, np.reshape(simulated().probe, raw.probeGuess.shape), rtol=1e-6)


def test_the_effect_of_a_mask_is_told(tmp_path: Path) -> None:
    check = checked(tmp_path, at("diffraction", (slice(None), slice(19, 21)), 0))
    assert check.mask is not None
    assert check.mask.hidden == 2 / N
    assert check.mask.r_after < check.mask.r_before
    told = next(item for item in check.findings if item.name == "mask")
    assert told.severity == "note"
    assert "The proposed mask hides 6.25% of the pixels more than the file does" in told.evidence
    assert checked(tmp_path, lambda scan: None).mask is None


def test_a_cube_that_does_not_say_which_axis_counts_its_patterns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(8) * 4.0, np.arange(4) * 4.0)
    np.savez(
        tmp_path / "scan.npz", diffraction=rng.poisson(50, (N, N, N)), xcoords=x.ravel() + 16, ycoords=y.ravel() + 16
    )
    check = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE)
    found = [item for item in check.findings if item.name == "pattern-axis"]
    assert [item.severity for item in found] == ["warning"]
    assert "the first is taken" in found[0].evidence
    assert check.exit_code == 1


def test_without_a_probe_overlap_and_orientation_are_not_known(tmp_path: Path) -> None:
    check = checked(tmp_path, put("probeGuess", lambda scan: None), with_orientation=True)
    told = {item.name: item for item in check.findings}
    assert (told["overlap"].severity, told["orientation"].severity) == ("note", "note")
    assert "is not known without a probe" in told["overlap"].evidence
    assert "cannot be told without a probe" in told["orientation"].evidence
    assert "calibrate" in told["orientation"].remedy


def test_what_the_rotation_of_a_scan_needs_is_said(tmp_path: Path) -> None:
    told = {}
    for kind in ("spiral", "raster"):
        scan = members_of(SimulationConfig(size=N, patterns=64, scan=kind, photons=1e5))
        np.savez(tmp_path / "scan.npz", **{name: values for name, values in scan.items() if values is not None})
        findings = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE).findings
        told[kind] = next(item.evidence for item in findings if item.name == "orientation")
    assert "turned by an angle was not tried: the scan has no rows" in told["spiral"]
    assert "not tried" not in told["raster"]


def test_a_stated_pixel_settles_what_contradicts_itself(tmp_path: Path) -> None:
    from ptychopinn_backend.config.reading import Reading

    fault = next(item for item in FAULTS if item.name == "pixel-size")
    before = checked(tmp_path, fault.plant)
    after = check_scan_file(tmp_path / "scan.npz", Reading(pixel_size_m=129.16e-9), with_orientation=False)
    assert after.exit_code == 0
    assert before.mended is not None
    assert after.mended is not None
    np.testing.assert_array_equal(after.mended.raw.positions_xy, before.mended.raw.positions_xy)


def test_stated_photons_settle_the_unit_of_amplitudes(tmp_path: Path) -> None:
    fault = next(item for item in FAULTS if "nphotons" in item.words)
    check = checked(tmp_path, fault.plant)
    remedy = next(item.remedy for item in check.findings if item.name == "gain")
    options = re.search(r"convert (.*?)'", remedy)
    assert options is not None
    written = ["convert", str(tmp_path / "scan.npz"), "-o", str(tmp_path / "new.npz"), "-q", *options[1].split()]
    assert main(written) == 0
    assert check_scan_file(tmp_path / "new.npz", ASK_THE_FILE, with_orientation=False).exit_code == 0


@pytest.mark.parametrize(("size", "off"), [(32, 2), (128, 3), (256, 7)])
def test_a_centre_is_held_to_pixels_however_large_the_patterns(size: int, off: int, tmp_path: Path) -> None:
    found = simulate(SimulationConfig(size=size, patterns=16, photons=1e5), 1)
    x, y = found.positions_xy.T
    for roll, words in ((0, []), (off, ["off-centre"])):
        counts = np.roll(found.counts, roll, axis=1)
        np.savez(tmp_path / "scan.npz", diffraction=counts, xcoords=x, ycoords=y, probeGuess=found.probe)
        check = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE, with_orientation=False)
        assert [item.name for item in check.findings if item.severity != "note"] == words


def test_what_cannot_be_read_is_one_finding(tmp_path: Path) -> None:
    (tmp_path / "scan.npz").write_text("no scan")
    check = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE)
    assert [(item.name, item.severity) for item in check.findings] == [("unusable", "error")]
    assert check.exit_code == 2
    assert check.mended is None


def test_the_sign_of_the_rotation_of_a_scan(tmp_path: Path) -> None:
    """Rows of a raster that run at 12 degrees to the axes, and are written as if they ran at -12."""
    true = members_of(SimulationConfig(size=N, patterns=81, scan="raster", photons=1e6), 4)
    # A raster turned by 12 degrees against the patterns, which a simulation along the axes gives by turning both.
    found = simulated_turned(12.0, true)
    np.savez(tmp_path / "scan.npz", **{name: values for name, values in found.items() if values is not None})
    right = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE)
    assert right.search is not None
    assert len(right.search.by_pattern) == 16
    assert str(right.search.best) == "as given"
    turned(-24.0)(found)
    np.savez(tmp_path / "scan.npz", **{name: values for name, values in found.items() if values is not None})
    wrong = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE)
    finding = next(item for item in wrong.findings if item.name == "orientation")
    assert finding.severity == "warning"
    assert "--rotate 24" in finding.remedy
    from ptychopinn_backend.config.reading import Reading

    again = check_scan_file(tmp_path / "scan.npz", Reading(rotate_deg=24.0))
    assert again.search is not None
    assert str(again.search.best) == "as given"


def simulated_turned(angle_deg: float, scan: Members) -> Members:
    """Return a scan at turned positions, with patterns made there."""
    from ptychopinn_backend.physics.scan_model import scan_intensities

    config = SimulationConfig(size=N, patterns=81, scan="raster", photons=1e6)
    made = simulate(config, 4)
    there = (scan["xcoords"] + 1j * scan["ycoords"]) * np.exp(1j * np.deg2rad(angle_deg))
    x, y = there.real - there.real.min() + N, there.imag - there.imag.min() + N
    obj = np.pad(made.object, N, mode="wrap").astype(np.complex64)
    probe = np.reshape(made.probe, (-1, N, N)).astype(np.complex64)
    positions = np.stack([x, y], axis=1)
    rates = scan_intensities(obj, (0.0, 0.0), probe, positions, "bilinear")
    return {**scan, "xcoords": x, "ycoords": y, "diffraction": np.random.default_rng(0).poisson(rates)}


@pytest.mark.parametrize("kind", ["jittered", "spiral", "random"])
def test_a_scan_that_is_the_same_in_all_directions_has_one_step(kind: str, tmp_path: Path) -> None:
    scan = members_of(SimulationConfig(size=N, patterns=200, scan=kind, photons=1e5))
    np.savez(tmp_path / "scan.npz", **{name: values for name, values in scan.items() if values is not None})
    check = check_scan_file(tmp_path / "scan.npz", ASK_THE_FILE, with_orientation=False)
    told = next(item for item in check.findings if item.name == "overlap")
    assert told.severity == "note"
    assert "worse direction" not in told.evidence
