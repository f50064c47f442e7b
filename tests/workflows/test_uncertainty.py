"""An uncertainty is right where as much of the error lies within it as it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ptychopinn_backend.data.held_out import held_out_rows
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.evaluation import evaluate
from ptychopinn_backend.model_api import PtychoModel
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.runs.half_object import HalfObject, HalfObjectMaker, every_second
from ptychopinn_backend.runs.polishing import law_of, polished
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.results import save_reconstruction
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.uncertainty import UNJUDGED_FACTOR, UNKNOWN_PHASE_RAD, with_uncertainty
from ptychopinn_backend.stitching.assembly import (
    ObjectAssembler,
    ObjectFrame,
    counts_scale,
    light_on,
    lit_pixels,
    probe_weight,
)
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

N = 64
RATES = {"one": 0.683, "two": 0.954}
"""Of a normal error."""
WITHIN = 0.10


def predicted(scan: RawData, seed: int) -> np.ndarray:
    """Return patches as a network with a few epochs of training gives them: blurred, wrong by some per cent, noisier in
    the dark, each with a phase of its own."""
    rng = np.random.default_rng(seed)
    truth = scan.objectGuess
    blurred = gaussian_filter(truth.real, 0.8) + 1j * gaussian_filter(truth.imag, 0.8)
    patches = extract_patches(blurred.astype(np.complex64), (0, 0), scan.positions_xy, N)
    photons = scan.mean_photons / (np.pi * (N / 4) ** 2)
    noise = rng.normal(size=(2, *patches.shape))
    smooth = gaussian_filter(noise, (0, 0, 1.3, 1.3))
    smooth *= np.sqrt(0.06**2 + 0.08 / photons) / smooth.std()
    turned = np.exp(2j * np.pi * rng.random((len(patches), 1, 1)))
    return np.asarray(patches * (1 + smooth[0] + 1j * smooth[1]) * turned, np.complex64)


def reconstructed(scan: RawData, seed: int) -> Reconstruction:
    """Return the object that `reconstruct` makes of such patches."""
    rows = held_out_rows(scan.positions_xy)
    kept = scan.select(np.setdiff1d(np.arange(scan.n_patterns), rows))
    assert scan.probeGuess is not None
    probe = np.asarray(scan.probeGuess, np.complex64).reshape(-1, N, N)
    frame = ObjectFrame.covering(scan.positions_xy, N)
    patches = predicted(kept, seed)
    whole = ObjectAssembler(frame, N, probe_weight(probe))
    half = HalfObjectMaker(frame, N, probe_weight(probe), kept)
    whole.add(patches, kept.positions_xy)
    half.add(patches, kept.positions_xy, np.arange(kept.n_patterns))
    stitched = whole.result()
    scale = np.float32(counts_scale(stitched.object, frame, probe, kept.positions_xy, kept.diff3d))
    made = Reconstruction(stitched.object * scale, frame.origin_rc, probe, stitched.weight, "none", scan.positions_xy)
    found = polished(made, scan, kept, rows, None, None)
    light = light_on(frame, probe, kept.positions_xy, kept.mean_photons)
    made = replace(made, object=np.where(lit_pixels(light), found.object, 0).astype(np.complex64))
    return with_uncertainty(made, half.result(probe, found.steps, None, law_of(scan)), light, scan, rows)


def require_right_rates(made: Reconstruction, scan: RawData) -> None:
    assert scan.objectGuess is not None
    report = evaluate(made, scan, truth=(scan.objectGuess, (0.0, 0.0)))
    for what in ("amplitude", "phase"):
        for word, rate in RATES.items():
            assert report[f"{what}_within_{word}"] == pytest.approx(rate, abs=WITHIN), (what, word)


@pytest.mark.parametrize(
    ("options", "seed"),
    [
        ({"photons": 1e6, "object": "dead_leaves", "step_px": 6.0}, 31),
        ({"photons": 3e5, "object": "dead_leaves", "probe": "gaussian"}, 35),
        ({"photons": 1e5, "object": "dead_leaves"}, 21),
        ({"photons": 1e5, "object": "siemens"}, 5),
        ({"photons": 1e4, "object": "dead_leaves"}, 3),
    ],
)
def test_errors_lie_within_it_at_the_expected_rates(options: dict[str, object], seed: int) -> None:
    scan = simulate_scan(SimulationConfig(size=N, patterns=150, **options), seed)  # type: ignore[arg-type]
    require_right_rates(reconstructed(scan, seed=5), scan)


@pytest.fixture(scope="module")
def small() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=64, photons=1e5), seed=4)


@pytest.fixture(scope="module")
def model(small: RawData) -> TrainedModel:
    trained = PtychoModel(N=32, gridsize=1, architecture="backprojection_unet", n_filters_scale=1, backend="pytorch")
    trained.train(small, nepochs=4, learning_rate=1e-3)
    return trained.trained


def test_it_is_part_of_a_reconstruction_and_changes_nothing_else(model: TrainedModel, small: RawData) -> None:
    made = reconstruct(model, small, polish_steps=None)
    plain = reconstruct(model, small, polish_steps=None, uncertainty=False)
    np.testing.assert_array_equal(made.object, plain.object)
    assert plain.amplitude_uncertainty is None
    assert plain.phase_uncertainty is None
    assert made.amplitude_uncertainty is not None
    assert made.phase_uncertainty is not None
    known = made.object != 0
    assert 0 < known.mean() < 1
    assert (made.amplitude_uncertainty > 0).all()
    assert (made.phase_uncertainty > 0).all()
    assert made.phase_uncertainty.max() <= np.float32(UNKNOWN_PHASE_RAD)
    np.testing.assert_array_equal(made.phase_uncertainty[~known], np.float32(UNKNOWN_PHASE_RAD))
    assert made.info["uncertainty_factor"] > 0


def test_a_last_pass_keeps_what_held_out_patterns_said(model: TrainedModel, small: RawData) -> None:
    judged = reconstruct(model, small, polish_steps=None)
    made = reconstruct(model, small, polish_steps=None, last_pass=True)
    assert made.phase_uncertainty is not None
    assert made.info["uncertainty_factor"] == judged.info["uncertainty_factor"]
    assert reconstruct(model, small, polish_steps=2).info["uncertainty_factor"] == UNJUDGED_FACTOR


def test_files_hold_it(model: TrainedModel, small: RawData, tmp_path: Path) -> None:
    made = reconstruct(model, small, polish_steps=2)
    save_reconstruction(made, tmp_path)
    loaded = Reconstruction.load_npz(tmp_path / "reconstruction.npz")
    for name in ("amplitude_uncertainty", "phase_uncertainty"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(made, name))
        cut = getattr(loaded.without_edge(3), name)
        np.testing.assert_array_equal(cut, getattr(made, name)[3:-3, 3:-3])
        with h5py.File(tmp_path / "reconstruction.h5") as product:
            np.testing.assert_array_equal(product[f"object_{name}"][0], getattr(made, name))


def test_too_few_patterns_have_none(model: TrainedModel, small: RawData) -> None:
    assert reconstruct(model, small.select(np.arange(6)), polish_steps=0).phase_uncertainty is None


def test_neighbours_part_ways() -> None:
    y, x = np.mgrid[:10, :12]
    positions = np.stack([x.ravel(), y.ravel()], axis=1) * 5.0
    positions += np.random.default_rng(0).uniform(-1, 1, positions.shape)
    half = every_second(positions)
    assert len(half) == 60
    others = np.setdiff1d(np.arange(120), half)
    for one, other in ((half, others), (others, half)):
        apart = np.linalg.norm(positions[one][:, None] - positions[other], axis=2).min(axis=1)
        assert apart.max() < 12.5


def test_halves_that_share_no_pixel_tell_nothing() -> None:
    obj = np.ones((20, 20), np.complex64)
    made = Reconstruction(obj, (0.0, 0.0), np.ones((1, 8, 8), np.complex64))
    scan = simulate_scan(SimulationConfig(size=16, patterns=9, photons=1e3), seed=0)
    half = HalfObject(np.zeros_like(obj), np.zeros((20, 20), np.float32))
    light = np.ones((20, 20), np.float32)
    assert with_uncertainty(made, half, light, scan, np.zeros(0, np.intp)).phase_uncertainty is None
