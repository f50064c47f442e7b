"""The computing process decides by the evidence, as the command line does: probe, positions, polish; and judges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ptychodus.api.probe_positions import ProbePositionSequence
from ptychodus.api.reconstruct import ReconstructInput
from ptychodus.api.settings import SettingsRegistry

from ptychodus_plugin.child import run_reconstruct, run_train
from ptychodus_plugin.configuration import reconstruct_payload, train_payload
from ptychodus_plugin.messages import Judged, in_words
from ptychodus_plugin.product import raw_data_of, scan_positions_px
from ptychodus_plugin.settings import LibrarySettings
from tests.ptychodus.link import Link
from tests.ptychodus.scenes import PIXEL_M, make_input

ERROR_PX = 1.5


def settings_with(**values: Any) -> LibrarySettings:
    settings = LibrarySettings(SettingsRegistry())
    quick = {"Backend": "pytorch", "Accelerator": "cpu", "NumFiltersScale": 1, "Preset": "custom", "NumEpochs": 1}
    quick |= {"Architecture": "backprojection_unet", "NumNearestNeighbors": 4}
    for key, value in {**quick, **values}.items():
        for table in settings.tables:
            if key in table.group.parameters():
                table.parameter(key).set_value(value)
    return settings


@pytest.fixture(scope="module")
def exact() -> ReconstructInput:
    return make_input(step_px=5.0, photons=1e6)[0]


@pytest.fixture(scope="module")
def displaced(exact: ReconstructInput) -> ReconstructInput:
    """Positions that the patterns contradict."""
    errors = np.random.default_rng(0).normal(0, ERROR_PX * PIXEL_M, (len(exact.diffraction_patterns), 2))
    moved = [
        replace(place, x_m=place.x_m + x, y_m=place.y_m + y)
        for place, (x, y) in zip(exact.product.probe_positions, errors, strict=True)
    ]
    return replace(exact, product=replace(exact.product, probe_positions=ProbePositionSequence(moved)))


@pytest.fixture(scope="module")
def model(displaced: ReconstructInput, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on the product itself, in an empty folder."""
    folder = tmp_path_factory.mktemp("trained")
    link = Link(train_payload(settings_with(), "pinn", folder, folder, parameters=displaced))
    run_train(link)
    archive = link.messages[-1].archive
    assert isinstance(archive, Path)
    return archive


def reconstructed(parameters: ReconstructInput, model: Path, **values: Any) -> list[Any]:
    link = Link(reconstruct_payload(settings_with(**values), "pinn", parameters, model))
    run_reconstruct(link)
    return link.messages


def position_error_px(parameters: ReconstructInput, product: Any) -> float:
    apart = np.subtract(scan_positions_px(product), scan_positions_px(parameters.product))
    return float(np.std(apart - apart.mean(axis=1, keepdims=True)))


def test_refined_probe_and_positions_come_into_the_product(
    exact: ReconstructInput, displaced: ReconstructInput, model: Path
) -> None:
    (kept,) = model.parent.glob("calibration-*.npz")
    *_, output, judged, last = reconstructed(displaced, model)
    assert position_error_px(exact, output.product) < 0.6 * ERROR_PX
    with np.load(kept) as found:
        np.testing.assert_allclose(output.product.probes.get_array()[0], found["probe"], rtol=1e-5)
        scan = raw_data_of(replace(displaced, product=output.product))
        np.testing.assert_allclose(scan.positions_xy, found["positions_xy"], atol=1e-6)
    assert isinstance(judged, Judged)
    assert judged.refined
    assert last.resolution_px is not None
    assert judged == last._replace(resolution_px=None)


def test_without_calibration_the_product_keeps_its_positions(displaced: ReconstructInput, model: Path) -> None:
    options = {"Calibrate": "never", "PolishSteps": 3, "HalvesResolution": False}
    *_, output, judged = reconstructed(displaced, model, **options)
    assert output.product.probe_positions is displaced.product.probe_positions
    assert (judged.refined, judged.polish_steps, judged.r_free) == (False, 3, None)


def test_held_out_patterns_decide_on_the_polish(exact: ReconstructInput, model: Path) -> None:
    *_, judged = reconstructed(exact, model, HalvesResolution=False)
    assert judged.polish_steps > 0
    assert judged.noise_r_factor < judged.r_factor < 0.5
    assert judged.r_free is not None
    assert judged.noise_deviance is not None
    assert judged.deviance is not None
    assert judged.noise_deviance < judged.deviance
    assert judged.free_deviance is not None


def test_what_is_told_of_a_result_names_all_figures() -> None:
    judged = Judged(0.1234, 0.05, 0.13, 2.5, 8, True, 8.0, 1.5, 1.25, 1.002, 1.3)
    assert in_words(judged) == (
        "R 0.1234, of photon noise 0.0500, of held-out patterns 0.1300; deviance per pixel 1.25, of photon noise "
        "1.002, of held-out patterns 1.3; even and odd patterns agree to 1.50 px = 12 nm; 2.5 s, 8 steps of polish; "
        "with refined probe and positions."
    )
    plain = judged._replace(r_free=None, free_deviance=None, resolution_px=None, refined=False)
    assert in_words(plain) == (
        "R 0.1234, of photon noise 0.0500; deviance per pixel 1.25, of photon noise 1.002; 2.5 s, 8 steps of polish."
    )
