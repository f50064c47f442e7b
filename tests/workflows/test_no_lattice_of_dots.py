"""Few photons print no lattice of dots, one at each scan position, through the amplitude.

Such dots were seen with squared amplitudes of few counts and a fixed number of steps of polish; likelihood and polish
follow the counts now.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.model_api import PtychoModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

STEP_PX = 4.0
BESIDE = ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.25))
"""Parts of a step from a position."""


def depth_of_dots(made: Reconstruction, positions_xy: np.ndarray) -> float:
    """Return how much darker the amplitude is at the positions than beside them, in standard errors of its mean."""
    amplitude = np.abs(made.object)
    fine = amplitude - gaussian_filter(amplitude, STEP_PX)
    apart = np.abs(positions_xy - positions_xy.mean(axis=0))
    inner = positions_xy[(apart < 0.4 * np.ptp(positions_xy, axis=0)).all(axis=1)]

    def mean_at(right: float, down: float) -> float:
        rows = inner[:, 1] + made.origin_rc[0] + down * STEP_PX
        columns = inner[:, 0] + made.origin_rc[1] + right * STEP_PX
        return float(map_coordinates(fine, [rows, columns], order=1).mean())

    low, high = (np.rint(edge(inner, axis=0)[::-1] + made.origin_rc).astype(int) for edge in (np.min, np.max))
    spread = fine[low[0] : high[0] + 1, low[1] : high[1] + 1].std()
    depth = np.mean([mean_at(*place) for place in BESIDE]) - mean_at(0, 0)
    return float(depth / (spread / np.sqrt(len(inner))))


@pytest.fixture(scope="module")
def dim() -> RawData:
    spec = SimulationConfig(size=32, patterns=144, photons=300.0, probe="zone_plate", scan="raster", step_px=STEP_PX)
    return simulate_scan(spec, seed=5)


@pytest.fixture(scope="module")
def made(dim: RawData) -> Reconstruction:
    model = PtychoModel(N=32, preset="auto", backend="pytorch", n_filters_scale=1)
    model.train(dim, nepochs=6, seed=0, accelerator="cpu")
    assert model.trained.training.nll_weight == 1.0
    return model.infer(dim, polish_steps=None)


def test_the_positions_are_no_darker_than_what_lies_beside_them(made: Reconstruction, dim: RawData) -> None:
    depth = depth_of_dots(made, dim.positions_xy)
    assert depth < 3.0


def test_dots_of_some_per_cent_would_be_seen(made: Reconstruction, dim: RawData) -> None:
    rows, columns = np.indices(made.object.shape)
    dots = np.zeros(made.object.shape)
    for x, y in dim.positions_xy + np.array(made.origin_rc)[::-1]:
        dots = np.maximum(dots, np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2)))
    printed = replace(made, object=np.asarray(made.object * (1 - 0.1 * dots), np.complex64))
    depths = [depth_of_dots(one, dim.positions_xy) for one in (made, printed)]
    assert depths[1] > depths[0] + 3.0
