"""What may be wrong with a scan as a whole, the words it is told in, and what --mend makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate
from tests.data.findings.planted import POINTS, N

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


def in_parts(scan: Members) -> None:
    scan["xcoords"][50:] += 100


def far_apart(scan: Members) -> None:
    middle = scan["xcoords"].mean()
    scan["xcoords"], scan["ycoords"] = (middle + 30 * (scan[axis] - middle) for axis in ("xcoords", "ycoords"))


def dense_along_rows(scan: Members) -> None:
    """Steps of 2 px along rows that lie 30 px apart, under a probe of about 13 px."""
    x, y = np.meshgrid(np.arange(25) * 2.0, np.arange(4) * 30.0)
    scan["xcoords"], scan["ycoords"] = x.ravel() + 16, y.ravel() + 16
    scan["objectGuess"] = None


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
        "ptychopinn convert --measurement amplitudes --nphotons",
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
    Fault("overlap", "warning", "2 px apart, 30 px in the worse direction,", dense_along_rows),
    Fault("parts", "warning", "falls into 2 parts whose patterns do not overlap", in_parts),
    Fault("jump", "warning", "The positions jump from 49 to 50 by", in_parts),
    Fault("position-scale", "warning", "so that nothing overlaps", far_apart),
    Fault(
        "unusable-object",
        "warning",
        "one object plane",
        put("objectGuess", lambda scan: np.ones((2, 40, 40))),
        "It is left out",
    ),
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
