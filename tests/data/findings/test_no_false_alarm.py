"""A scan without faults gives no warning, whatever its object, probe, dose and detector."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate

SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"photons": 30.0},
    {"photons": 1e3, "object": "siemens", "probe": "zone_plate"},
    {"photons": 1e9, "object": "random_field"},
    {"probe_curvature_rad": 0.0},
    {"probe": "gaussian", "probe_curvature_rad": 0.0, "object": "lines"},
    {
        "probe": "gaussian",
        "probe_curvature_rad": 0.0,
        "phase_min_rad": 0.0,
        "phase_max_rad": 0.01,
        "amplitude_min": 0.99,
    },
    {"probe": "zone_plate", "modes": 3, "position_error_px": 1.0},
    {"beam_stop_px": 5.0},
    {"beam_stop_px": 5.0, "probe": "zone_plate", "photons": 1e4},
    {"bad_pixel_fraction": 0.05},
    {"scan": "raster", "step_px": 22.0, "object": "siemens"},
    {"scan": "spiral", "amplitude_min": 0.0, "phase_min_rad": -3.0, "phase_max_rad": 3.0},
    {"probe_diameter_px": 5.0, "scan": "random"},
    {"probe_diameter_px": 30.0, "amplitude_min": 0.02},
    {"size": 64, "patterns": 100, "object": "random_field", "probe": "zone_plate"},
)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_simulated_scans_give_no_warning(spec: dict[str, Any]) -> None:
    scan = simulate(SimulationConfig(**{"size": 32, "patterns": 60, **spec}), 3)
    x, y = scan.positions_xy.T
    roots = np.sqrt(scan.counts).astype(np.float32)
    given = {"object_guess": scan.object, "bad_pixels": scan.bad_pixels}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for patterns, measurement in ((scan.counts, "counts"), (roots, "amplitudes"), (roots * 0.013, "amplitudes")):
            for probe in (scan.probe, None):
                raw = RawData.from_arrays(x, y, patterns, probe, measurement=measurement, **given)
                assert raw.findings == ()
                assert raw.n_patterns == len(scan.counts)


@pytest.mark.parametrize("name", ["rotavirus", "siemens_star"])
def test_measured_scans_give_no_warning(shared_folder: Path, name: str) -> None:
    path = shared_folder / "data" / f"{name}.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RawData.from_file(path).findings == ()
    with np.load(path) as members:
        shape = members["diff3d"].shape
    assert RawData.from_file(path).diff3d.shape == shape


def test_a_sharp_diffraction_disc_is_no_fault() -> None:
    # Electrons through a thin specimen: a bright disc with an edge of one pixel, next to nothing outside of it.
    rng = np.random.default_rng(0)
    rows, columns = np.indices((64, 64)) - 32
    disc = np.hypot(rows, columns) < 7
    probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(disc * np.exp(0.05j * (rows**2 + columns**2)))))
    patterns = rng.poisson(np.where(disc, 400.0, 0.02) * rng.uniform(0.8, 1.2, (50, 64, 64)))
    x, y = np.divmod(np.arange(50), 7)
    probe = probe * np.sqrt(patterns.sum() / 50 / np.sum(np.abs(probe) ** 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (probe, None):
            RawData.from_arrays(3.0 * x, 3.0 * y, patterns, given, measurement="counts")


def test_one_bright_opening_in_an_opaque_object_is_no_fault() -> None:
    # The beam comes free step by step, so that there are patterns between dark and bright ones.
    scan = simulate(SimulationConfig(size=32, patterns=100, scan="raster"), 0)
    x, y = scan.positions_xy.T
    distance = np.hypot(x - x.mean(), y - y.mean())
    dimmed = np.random.default_rng(0).binomial(
        scan.counts.astype(np.int64), 0.005 + 0.995 * (distance < 8)[:, None, None]
    )
    soft = np.random.default_rng(0).binomial(
        scan.counts.astype(np.int64), np.exp(-((distance / 9) ** 2))[:, None, None] * 0.99 + 0.005
    )
    assert dimmed.sum(axis=(1, 2)).max() > 50 * np.median(dimmed.sum(axis=(1, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = RawData.from_arrays(x, y, soft, scan.probe, measurement="counts")
    assert raw.n_patterns == 100


def bright_field(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what falls on a detector (64, 64), and where it can be seen: sharp edges, and next to nothing outside."""
    rows, columns = np.indices((64, 64)) - 32
    radius = np.hypot(rows, columns)
    seen = np.ones((64, 64), bool)
    light = radius < 12
    if kind == "ring":
        light &= radius > 5
    if kind == "off the centre":
        light = np.hypot(rows - 3, columns + 2) < 9
    if kind == "beam":
        light = radius < 2.5
    if kind == "two orders":
        light = np.hypot(rows, np.abs(columns) - 18) < 4
    if kind == "corner":
        light = np.fft.fftshift(light)
    if kind in ("stop", "stop on an arm"):
        seen &= radius > 6
    if kind == "stop on an arm":
        seen &= (np.abs(columns) > 1) | (rows > 0)
    return np.where(light, 2000.0, 0.02), seen


@pytest.mark.parametrize(
    "kind", ["disc", "ring", "off the centre", "beam", "two orders", "corner", "stop", "stop on an arm"]
)
@pytest.mark.parametrize("marked", [False, True])
def test_light_with_sharp_edges_is_no_hot_block(kind: str, marked: bool) -> None:
    rng = np.random.default_rng(0)
    light, seen = bright_field(kind)
    patterns = rng.poisson(light * rng.uniform(0.8, 1.2, (49, 64, 64))) * seen
    x, y = np.divmod(np.arange(49), 7)
    pupil = (light > 1) * np.exp(0.05j * (np.indices((64, 64))[0] - 32) ** 2)
    probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(pupil)))
    probe = probe * np.sqrt(light.sum() / np.sum(np.abs(probe) ** 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (probe, None):
            raw = RawData.from_arrays(
                3.0 * x, 3.0 * y, patterns, given, measurement="counts", bad_pixels=~seen if marked else None
            )
            assert raw.n_patterns == 49


@pytest.mark.parametrize("photons", [300.0, 1e4, 1e6])
def test_shadows_of_an_opaque_object_are_not_unwritten(photons: float) -> None:
    """A curved probe throws the object's shadow on the detector."""
    for seed in range(3):
        spec = SimulationConfig(
            size=32, patterns=144, photons=photons, probe_curvature_rad=20.0, amplitude_min=0.0, object="siemens"
        )
        scan = simulate(spec, seed)
        x, y = scan.positions_xy.T
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            raw = RawData.from_arrays(x, y, scan.counts, scan.probe, measurement="counts")
        assert raw.n_patterns == 144


def test_an_opening_in_an_opaque_screen_is_no_level_of_brightness() -> None:
    scan = simulate(SimulationConfig(size=32, patterns=225, scan="raster"), 0)
    x, y = scan.positions_xy.T
    inside = 14 - np.hypot(x - x.mean(), y - y.mean())
    # The probe is as wide as four steps, and comes free over its width.
    passed = 0.002 + 0.998 / (1 + np.exp(-inside / 1.5))
    patterns = np.random.default_rng(0).binomial(scan.counts.astype(np.int64), passed[:, None, None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = RawData.from_arrays(x, y, patterns, scan.probe, measurement="counts")
    assert raw.n_patterns == 225
