"""How far a polish goes: held-out patterns decide, and say how well the object explains them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychopinn_backend.data.held_out import held_out_rows
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.evaluation.free_fit import free_fit
from ptychopinn_backend.model_api import PtychoModel
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.runs.polishing import JUDGED_STEPS, law_of, polished
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel


@pytest.fixture(scope="module")
def bright() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=64, photons=1e6, probe="zone_plate"), seed=4)


@pytest.fixture(scope="module")
def model(bright: RawData) -> TrainedModel:
    trained = PtychoModel(N=32, gridsize=1, architecture="backprojection_unet", n_filters_scale=1, backend="pytorch")
    trained.train(bright, nepochs=4, learning_rate=1e-3)
    return trained.trained


def thinned(scan: RawData, photons: float) -> RawData:
    part = photons / scan.mean_photons
    counts = np.random.default_rng(0).binomial(np.rint(scan.diff3d.astype(np.float64) ** 2).astype(int), part)
    assert scan.probeGuess is not None
    return replace(
        scan, diff3d=np.sqrt(counts).astype(np.float32), probeGuess=scan.probeGuess * np.float32(np.sqrt(part))
    )


def test_bright_patterns_ask_for_a_long_polish(model: TrainedModel, bright: RawData) -> None:
    plain = reconstruct(model, bright, polish_steps=0, held_out=True)
    made = reconstruct(model, bright, polish_steps=None)
    assert made.info["polish_steps"] >= 8
    assert made.info["r_free"] < plain.info["r_free"]
    assert made.info["held_out"] == held_out_rows(bright.positions_xy).tolist()


def test_no_number_of_steps_explains_them_better(model: TrainedModel, bright: RawData) -> None:
    rows = held_out_rows(bright.positions_xy)

    def misfit(steps: int | None) -> float:
        fit = free_fit(reconstruct(model, bright, polish_steps=steps, held_out=True), bright, rows)
        assert fit is not None
        return fit.misfit

    best = misfit(None)
    for steps in (0, 1, 4):
        assert best <= misfit(steps)


def test_a_photon_in_the_dark_decides_little(model: TrainedModel, bright: RawData) -> None:
    """A single count where none is expected outweighs a pattern in the deviance, and not in the misfit."""
    rows = held_out_rows(bright.positions_xy)
    made = reconstruct(model, bright, polish_steps=8, held_out=True)
    before = free_fit(made, bright, rows)
    predicted = scan_intensities(made.object, made.origin_rc, made.probe, bright.positions_xy[rows])
    stray = replace(bright, diff3d=bright.diff3d.copy())
    for row, intensity in zip(rows, predicted, strict=True):
        stray.diff3d[row][intensity <= np.sort(intensity, axis=None)[4]] += 3.0
    after = free_fit(made, stray, rows)
    assert before is not None
    assert after is not None
    assert after.deviance - before.deviance > 3 * (after.misfit - before.misfit) > 0


def test_few_counts_are_judged_by_their_deviance(model: TrainedModel, bright: RawData) -> None:
    dim = thinned(bright, 300.0)
    fit = free_fit(reconstruct(model, dim, polish_steps=0), dim, held_out_rows(dim.positions_xy))
    assert fit is not None
    assert fit.misfit == fit.deviance


def test_few_photons_ask_for_a_short_one(bright: RawData) -> None:
    """From the true object every step only adds noise, and the held-out patterns notice."""
    dim = thinned(bright, 300.0)
    rows = held_out_rows(dim.positions_xy)
    kept = dim.select(np.setdiff1d(np.arange(dim.n_patterns), rows))
    trained = PtychoModel(N=32, gridsize=1, architecture="backprojection_unet", n_filters_scale=1, backend="pytorch")
    trained.train(bright, nepochs=1)
    start = reconstruct(trained.trained, bright, polish_steps=32)
    assert dim.probeGuess is not None
    start = replace(start, probe=np.asarray(dim.probeGuess).reshape(start.probe.shape))
    found = polished(start, dim, kept, rows, None, None)
    assert found.steps <= 1
    assert found.fit is not None
    long = polished(start, dim, kept, rows, JUDGED_STEPS[-1], None)
    assert long.fit is not None
    assert found.fit.deviance < long.fit.deviance


def test_held_out_patterns_take_no_part(model: TrainedModel, bright: RawData) -> None:
    rows = held_out_rows(bright.positions_xy)
    spoilt = replace(bright, diff3d=bright.diff3d.copy())
    spoilt.diff3d[rows] = spoilt.diff3d[rows][:, ::-1]
    made, again = (reconstruct(model, scan, polish_steps=4, held_out=True) for scan in (bright, spoilt))
    np.testing.assert_array_equal(made.object, again.object)
    assert again.info["r_free"] > made.info["r_free"]


def test_the_law_follows_the_counts(bright: RawData) -> None:
    assert law_of(bright).name == "amplitude"
    assert law_of(thinned(bright, 300.0)).name == "poisson"


def test_a_pattern_without_light_on_the_object_cannot_judge(model: TrainedModel, bright: RawData) -> None:
    made = reconstruct(model, bright, polish_steps=0)
    assert free_fit(replace(made, object=np.zeros_like(made.object)), bright, np.arange(4)) is None


def test_a_last_pass_takes_all_patterns(model: TrainedModel, bright: RawData) -> None:
    judged = reconstruct(model, bright, polish_steps=None)
    made = reconstruct(model, bright, polish_steps=None, last_pass=True)
    everything = reconstruct(model, bright, polish_steps=judged.info["polish_steps"])
    np.testing.assert_array_equal(made.object, everything.object)
    assert made.info["r_free"] == judged.info["r_free"]
    assert "held_out" not in made.info
