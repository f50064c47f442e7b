"""Simulations that option files of existing installations ask for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.runs.simulation_plan import read_plan
from ptychopinn_backend.torch_configs import DataConfig, DatagenConfig, to_simulation_plan

from .option_fields import written


def test_what_is_simulated() -> None:
    plan = to_simulation_plan(
        DataConfig(N=32, nphotons=1e4),
        DatagenConfig(
            objects_per_probe=2, diff_per_object=16, image_size=(64, 96), probe_paths=["p.npz"], beamstop_diameter=3
        ),
    )
    assert plan == {
        "size": 32,
        "photons": 1e4,
        "patterns": 16,
        "object": "dead_leaves",
        "step_px": pytest.approx((32 * 64 / 16) ** 0.5),
        "beam_stop_px": 3,
        "scans": [{"name": "probe_000", "probe": "file", "probe_file": "p.npz", "repeat": 2}],
    }
    with pytest.raises(ConfigError, match=r"image_size = \(32, 96\) leaves a scan no room for patches of 32 x 32"):
        to_simulation_plan(DataConfig(N=32), DatagenConfig(image_size=(32, 96)))


SIMULATIONS: list[tuple[dict[str, Any], str]] = [
    (
        {
            "data": {"N": 32, "nphotons": 1e4},
            "datagen": {"diff_per_object": 8, "image_size": [64, 64], "objects_per_probe": 2},
        },
        "scan_000_001.npz",
    ),
    (
        {
            "N": 32,
            "seed": 3,
            "object": {
                "kind": "dead_leaves",
                "diffractions_per_object": 8,
                "image_size": [64, 64],
                "objects_per_probe": 1,
            },
            "probe": {"source": "ideal", "mask_diameter": 12},
            "scan": {"kind": "grid", "offset": 6, "grid_size": [1, 1]},
            "detector": {"photons_per_pattern": 1e4, "beamstop_diameter": None},
        },
        "scan_000.npz",
    ),
]


@pytest.mark.parametrize(("content", "name"), SIMULATIONS)
def test_simulations_of_existing_configurations(content: dict[str, Any], name: str, tmp_path: Path) -> None:
    file = written(tmp_path, content)
    assert main(["simulate", "-o", str(tmp_path / "scans"), "--config", str(file)]) == 0
    with np.load(tmp_path / "scans" / name) as scan:
        assert scan["diff3d"].shape == (8, 32, 32)
    spec = read_plan(file, {})[0][0].spec
    assert (spec.photons, spec.beam_stop_px) == (1e4, 4.0 if "datagen" in content else 0.0)
    if "scan" in content:
        assert (spec.scan, spec.step_px, spec.probe_diameter_px) == ("raster", 6, 12)
        # set_phi is False, as it is by default: an object without a phase.
        assert (spec.phase_min_rad, spec.phase_max_rad) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"object": {"kind": "natural_patch"}}, "object.kind = 'natural_patch' is not one of 'lines'"),
        ({"object": {"kind": "lines", "size": 3}}, "'size' is not an option of SyntheticObjectConfig"),
        ({"probe": {"transform_pipeline": "smooth"}}, "probe.transform_pipeline = 'smooth' is not offered"),
        ({"scan": {"test_groups": 3}}, "scan.test_groups = 3 is not offered: a scan for training and one for testing"),
        ({"scan": {}, "N": "64"}, "N = '64' must be a whole number above 0"),
        ({"object": {"image_size": 64}}, "image_size = 64 must be two numbers"),
        ({"object": {"diffractions_per_object": []}}, "diffractions_per_object = [] must be a whole number"),
        ({"scan": {}, "photons": 3}, "'photons' is not an option of SimulationConfig"),
    ],
)
def test_refused_simulations(content: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_plan(written(tmp_path, content), {})
