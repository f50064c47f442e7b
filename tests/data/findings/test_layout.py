"""Which axis of a cube counts the patterns."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.findings.layout import pattern_axis
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate

SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"photons": 100.0},
    {"probe": "zone_plate", "object": "siemens"},
    {"probe": "gaussian", "object": "random_field", "amplitude_min": 0.0},
    {"probe_diameter_px": 5.0},
    {"beam_stop_px": 6.0},
    {"bad_pixel_fraction": 0.02},
)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_light_tells(spec: dict[str, Any]) -> None:
    counts = simulate(SimulationConfig(**{"size": 32, "patterns": 32, **spec}), 2).counts
    assert pattern_axis(counts) == 0
    assert pattern_axis(np.moveaxis(counts, 0, 2)) == 2
    assert pattern_axis(np.sqrt(np.moveaxis(counts, 0, 2))) == 2


def test_faults_do_not_mislead() -> None:
    counts = simulate(SimulationConfig(size=32, patterns=32), 2).counts.astype(np.float64)
    counts[5] *= 1e4
    counts[9] = 0
    counts[:, 3] = 2**32 - 1
    counts[7, 8, 9] = np.nan
    assert pattern_axis(counts) == 0
    assert pattern_axis(np.moveaxis(counts, 0, 2)) == 2


@pytest.mark.parametrize("empty", [slice(3, 9), slice(0, 20), [0, 7, 14, 21, 28]], ids=str)
@pytest.mark.parametrize("left", [0.0, 1e-6])
def test_patterns_without_light_do_not_mislead(empty: Any, left: float) -> None:
    counts = simulate(SimulationConfig(size=32, patterns=32), 2).counts.astype(np.float64)
    counts[empty] *= left
    assert pattern_axis(counts) == 0
    assert pattern_axis(np.moveaxis(counts, 0, 2)) == 2


def test_noise_does_not_tell() -> None:
    assert pattern_axis(np.random.default_rng(0).poisson(5.0, (32, 32, 32))) is None


@pytest.mark.parametrize("last", [False, True])
def test_a_file_and_a_data_set_are_read_along_the_right_axis(tmp_path: Path, last: bool) -> None:
    scan = simulate(SimulationConfig(size=32, patterns=32), 2)
    patterns = np.ascontiguousarray(np.moveaxis(scan.counts, 0, 2)) if last else scan.counts
    x, y = scan.positions_xy.T
    path = tmp_path / "scan.npz"
    np.savez(path, diff3d=patterns, xcoords=x, ycoords=y, probeGuess=scan.probe)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = RawData.from_file(path)
        dataset = create_dataset(path, tmp_path / "set", ModelConfig(N=32))
    np.testing.assert_allclose(raw.diff3d**2, scan.counts, rtol=1e-5)
    np.testing.assert_allclose(dataset.scans[0].patterns[np.arange(32)] ** 2, scan.counts, rtol=1e-5)
    raw.to_file(tmp_path / "again.npz")
    np.testing.assert_array_equal(RawData.from_file(tmp_path / "again.npz").diff3d, raw.diff3d)
