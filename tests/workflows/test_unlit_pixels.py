"""Pixels that hardly a photon reached are zero, whatever the network put there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.results import save_reconstruction
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.stitching.assembly import ObjectFrame, light_on, lit_pixels


@pytest.mark.parametrize("options", [{"polish_steps": 0}, {"polish_steps": 2, "assembly": "central"}])
def test_unlit_pixels_are_zero_in_object_and_files(options: dict[str, object], scan: RawData, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    thin = rng.binomial(np.rint(scan.diff3d.astype(float) ** 2).astype(int), 0.002)
    assert scan.probeGuess is not None
    dim = replace(scan, diff3d=np.sqrt(thin).astype(np.float32), probeGuess=scan.probeGuess * np.float32(0.002**0.5))
    model = ModelConfig(N=32, architecture="backprojection_unet", n_filters_scale=1)
    config = TrainingConfig(model=model, nepochs=1, batch_size=8, nphotons=200)
    trained = train_scans([dim], config, ExecutionConfig(accelerator="cpu"), backend="pytorch", every_point=True)
    found = reconstruct(trained, dim, **options)  # type: ignore[arg-type]
    frame = ObjectFrame((found.object.shape[0], found.object.shape[1]), found.origin_rc)
    light = light_on(frame, found.probe, dim.positions_xy, dim.mean_photons)
    unlit = ~lit_pixels(light)
    assert light[~unlit].min() < 4
    assert 0.1 < unlit.mean() < 0.9
    assert not found.object[unlit].any()
    assert np.mean(found.object[~unlit] != 0) > 0.9
    # The scale of a probe says nothing about light.
    scaled = replace(dim, probeGuess=1e-3 * dim.probeGuess)  # type: ignore[operator]
    again = reconstruct(trained, scaled, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.object != 0, found.object != 0)
    save_reconstruction(found, tmp_path)
    with h5py.File(tmp_path / "reconstruction.h5") as product:
        assert not product["object"][0][unlit].any()


def test_bright_scans_need_four_photons_and_dim_ones_a_tenth_of_their_light() -> None:
    across = np.geomspace(1, 1e-6, 200, dtype=np.float32)
    light = np.minimum(across[:, np.newaxis] * 100, 1) * np.ones((1, 200), np.float32)
    bright, dim = 1e4 * light, 0.5 * light
    np.testing.assert_array_equal(lit_pixels(bright), bright >= 4)
    found = lit_pixels(dim)
    assert found[dim >= 0.25].all()
    assert not found[dim < 0.02].any()
    assert not lit_pixels(np.zeros((4, 4), np.float32)).any()
