"""Every fault is named with its severity, and a mended scan has it no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.checking.check import ScanCheck, check_scan_file
from ptychopinn_backend.config.reading import ASK_THE_FILE
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate
from tests.data.findings.planted import POINTS, N, members, simulated

Members = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """Something wrong with a scan."""

    name: str
    """Of the finding."""
    severity: str
    """Of the finding."""
    words: str
    """In its evidence or remedy."""
    plant: Callable[[Members], object]
    """Changes the arrays of a good scan."""
    change: str = ""
    """What --mend says; '' where it changes nothing."""
    with_orientation: bool = False
    """The finding is that of the orientations."""


def at(key: str, place: Any, value: Any) -> Callable[[Members], None]:
    def plant(scan: Members) -> None:
        scan[key][place] = value

    return plant


def put(key: str, made: Callable[[Members], Any]) -> Callable[[Members], None]:
    def plant(scan: Members) -> None:
        scan[key] = made(scan)

    return plant


def turned(angle_deg: float) -> Callable[[Members], None]:
    def plant(scan: Members) -> None:
        middle = [(scan[axis].min() + scan[axis].max()) / 2 for axis in ("xcoords", "ycoords")]
        there = (scan["xcoords"] - middle[0] + 1j * (scan["ycoords"] - middle[1])) * np.exp(1j * np.deg2rad(angle_deg))
        scan["xcoords"], scan["ycoords"] = there.real + middle[0], there.imag + middle[1]

    return plant


def scattered(factor: float) -> Callable[[Members], Any]:
    """Return counts whose variance is so many times their mean."""

    def made(_: Members) -> Any:
        rates = simulate(SimulationConfig(size=N, patterns=POINTS, photons=3e7), 1).counts / 100
        if factor < 1:
            return np.rint(rates).astype(np.int64)
        return np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(rates / (factor - 1) + 1e-9, factor - 1))

    return made


def stood_still(scan: Members) -> None:
    scan["xcoords"][40:60], scan["ycoords"][40:60] = scan["xcoords"][40], scan["ycoords"][40]


def at_one_place(scan: Members) -> None:
    scan["xcoords"][:], scan["ycoords"][:] = 3, 3


def jumped(scan: Members) -> None:
    scan["xcoords"][55:] += 30


def sparse(scan: Members) -> None:
    scan.update(members_of(SimulationConfig(size=N, patterns=64, scan="raster", step_px=22.0)))


def members_of(config: SimulationConfig, seed: int = 1) -> Members:
    found = simulate(config, seed)
    x, y = found.positions_xy.T
    return {"diffraction": found.counts, "xcoords": x, "ycoords": y, "probeGuess": found.probe, "objectGuess": None}


PIXELS = {"photon_energy_eV": 8000.0, "detector_object_distance_m": 2.0, "detector_pixel_width_m": 75e-6}
FAULTS = (
    Fault(
        "dead-pixels",
        "warning",
        "1 detector pixel (row 10, column 13) never counts",
        at("diffraction", (slice(None), 10, 13), 0),
        "1 pixel that never counts was marked as bad",
    ),
    Fault(
        "dead-pixels",
        "warning",
        "gap between modules",
        at("diffraction", (slice(None), slice(19, 21)), 0),
        "never count were marked as bad",
    ),
    Fault(
        "beam-stop",
        "warning",
        "25 pixels in the middle of the patterns never count, as behind a beam stop 5 pixels wide",
        at("diffraction", (slice(None), slice(14, 19), slice(14, 19)), 0),
        "25 pixels that never count were marked as bad",
    ),
    Fault(
        "hot-lines",
        "warning",
        "32 detector pixels (rows 0 to 31, column 3) hold more than their neighbours along a whole row or column",
        put("diffraction", lambda scan: with_line(scan["diffraction"], 3)),
        "32 detector pixels",
    ),
    Fault(
        "corner",
        "error",
        "of the light lies in the four corners",
        put("diffraction", lambda scan: np.fft.fftshift(scan["diffraction"], axes=(1, 2))),
        "moved from the corner to the middle",
    ),
    Fault(
        "off-centre",
        "warning",
        "lies +3.0 rows and -2.0 columns from that of the probe's far field",
        put("diffraction", lambda scan: np.roll(scan["diffraction"], (3, -2), axis=(1, 2))),
        "moved by -3 rows and +2 columns",
    ),
    Fault(
        "saturation",
        "warning",
        "they are saturated",
        put("diffraction", lambda scan: np.minimum(scan["diffraction"], int(np.quantile(scan["diffraction"], 0.999)))),
        "pixels that saturate now and then were marked as bad",
    ),
    Fault(
        "gain",
        "warning",
        "whole multiples of 37: one photon counts 37 times",
        put("diffraction", lambda scan: scan["diffraction"].astype(np.int64) * 37),
        "Counts were divided by 37.",
    ),
    Fault(
        "gain",
        "warning",
        "Give --nphotons",
        put("diffraction", lambda scan: np.sqrt(scan["diffraction"] * 0.01).astype(np.float32)),
        "Counts were divided by 0.01",
    ),
    Fault("dispersion", "warning", "averaged, smoothed or divided", put("diffraction", scattered(0.1))),
    Fault("dispersion", "warning", "one photon counts several times", put("diffraction", scattered(6.0))),
    Fault(
        "negative-counts",
        "error",
        "scattered as a subtracted background leaves them",
        put("diffraction", lambda scan: scan["diffraction"] + np.random.default_rng(0).normal(0, 2, (POINTS, N, N))),
        "Counts below 0 were set to 0.",
    ),
    Fault(
        "empty-patterns",
        "warning",
        "Patterns 3 and 4 are without a photon; they are left out.",
        at("diffraction", [3, 4], 0),
        "Patterns 3 and 4 are without a photon",
    ),
    Fault(
        "repeated-patterns",
        "warning",
        "Pattern 41 is the same as an earlier one, value by value",
        put(
            "diffraction", lambda scan: np.insert(np.delete(scan["diffraction"], 41, 0), 41, scan["diffraction"][40], 0)
        ),
        "Pattern 41 was left out as repeated.",
    ),
    Fault(
        "unequal-numbers",
        "error",
        "There are 100 patterns and 97 positions: 3 patterns have no position.",
        lambda scan: scan.update({axis: scan[axis][:97] for axis in ("xcoords", "ycoords")}),
        "The first 97 patterns were paired with the first 97 positions.",
    ),
    Fault(
        "unequal-numbers",
        "error",
        "There are 96 patterns and 100 positions: 4 positions have no pattern.",
        put("diffraction", lambda scan: scan["diffraction"][:96]),
        "The first 96 patterns were paired",
    ),
    Fault(
        "nan-positions",
        "error",
        "Position 12 is NaN or infinite.",
        at("xcoords", 12, np.nan),
        "Pattern 12 was left out: no position.",
    ),
    Fault("duplicate-positions", "warning", "the positions stood still in the file", stood_still),
    Fault("collinear", "warning", "All positions lie on a line", put("ycoords", lambda scan: scan["ycoords"] * 0 + 30)),
    Fault(
        "position-scale", "warning", "all are the same", lambda scan: (scan["xcoords"].fill(3), scan["ycoords"].fill(3))
    ),
    Fault("overlap", "warning", "too little for the patterns to agree on one object", sparse),
    Fault("jump", "warning", "The positions jump from 54 to 55 by", jumped),
    Fault(
        "far-positions", "warning", "Position 41 lies far from the rest", at("xcoords", 41, 1e4), "Position 41 lies far"
    ),
    Fault(
        "beyond-object",
        "warning",
        "patterns reach beyond it",
        put("objectGuess", lambda scan: scan["objectGuess"][:40, :40]),
    ),
    Fault("no-probe", "warning", "The scan has no probe", put("probeGuess", lambda scan: None)),
    Fault("no-light-in-probe", "error", "is zero everywhere", at("probeGuess", ..., 0), "The probe was left out."),
    Fault("no-light-in-probe", "error", "holds NaN or infinity", at("probeGuess", (0, 0), np.nan), "left out"),
    Fault(
        "wrapped-probe",
        "error",
        "it is wrapped",
        put("probeGuess", lambda scan: np.fft.fftshift(scan["probeGuess"], axes=(-2, -1))),
        "The probe was moved from the corner",
    ),
    Fault(
        "cut-probe",
        "warning",
        "it does not fit",
        put("probeGuess", lambda scan: np.roll(scan["probeGuess"], 9, axis=-1)),
    ),
    Fault("probe-scale", "warning", "Multiply the probe by", put("probeGuess", lambda scan: scan["probeGuess"] * 1e3)),
    Fault(
        "pixel-size",
        "warning",
        "wavelength, distance and detector pixel give 129.2 nm",
        put("_metadata", lambda scan: json.dumps({**PIXELS, "object_pixel_width_m": 50e-9})),
    ),
    Fault(
        "orientation",
        "warning",
        "Give --negate-x --negate-y to every command. A probe whose curvature has the wrong sign looks the same.",
        turned(180),
        "Positions were turned as --negate-x --negate-y does.",
        with_orientation=True,
    ),
    Fault(
        "orientation",
        "warning",
        "Give --swap-xy to every command.",
        lambda scan: scan.update(xcoords=scan["ycoords"], ycoords=scan["xcoords"]),
        "Positions were turned as --swap-xy does.",
        with_orientation=True,
    ),
)


def with_line(counts: Any, column: int) -> Any:
    hot = counts.astype(np.int64)
    hot[:, :, column] += np.random.default_rng(0).poisson(60, hot.shape[:2])
    return hot


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
