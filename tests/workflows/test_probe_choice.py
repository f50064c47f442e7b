"""Which probe a reconstruction uses, and that it says so."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import scan_r_factors
from ptychopinn_backend.runs.probe_choice import probe_agreement
from ptychopinn_backend.runs.reconstruct import predict, reconstruct
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

EXECUTION = ExecutionConfig(accelerator="cpu", learning_rate=3e-3, seed=7)
TWO_MODES = SimulationConfig(size=32, patterns=48, photons=1e5, modes=2)


@pytest.fixture(scope="module")
def scan() -> RawData:
    return simulate_scan(TWO_MODES, seed=3)


@pytest.fixture(scope="module")
def other_instrument() -> RawData:
    return simulate_scan(replace(TWO_MODES, probe="zone_plate"), seed=4)


def trained(*scans: RawData, **options: object) -> TrainedModel:
    model = ModelConfig(N=32, architecture="backprojection_unet", n_filters_scale=1)
    config = TrainingConfig(model=model, nepochs=3, batch_size=8, nphotons=1e5, **options)  # type: ignore[arg-type]
    return train_scans(scans, config, EXECUTION, backend="pytorch", every_point=True)


@pytest.fixture(scope="module")
def refining(scan: RawData) -> TrainedModel:
    """A model whose probe was refined in training, far enough to be told from the scan's own."""
    model = trained(scan, probe_trainable=True)
    assert model.trained_probes is not None
    assert model.given_probes is not None
    assert probe_agreement(model.trained_probes[0], model.given_probes[0]) < 0.99999
    return model


def quality(model: TrainedModel, scan: RawData, **options: object) -> tuple[float, Reconstruction]:
    found = reconstruct(model, scan, **options)  # type: ignore[arg-type]
    return scan_r_factors(found, scan)[0], found


def test_agreement_knows_neither_scale_nor_phase_nor_mixing(scan: RawData, other_instrument: RawData) -> None:
    probe = scan.probeGuess
    assert probe is not None
    c, s = np.cos(0.7), np.sin(0.7) * np.exp(0.4j)
    mixed = np.stack([c * probe[0] + s * probe[1], -np.conj(s) * probe[0] + c * probe[1]])
    assert probe_agreement(probe, (3 * np.exp(2j) * mixed).astype(np.complex64)) == pytest.approx(1, abs=1e-5)
    assert probe_agreement(probe, np.pad(probe, ((0, 2), (0, 0), (0, 0)))) == pytest.approx(1, abs=1e-6)
    assert other_instrument.probeGuess is not None
    assert probe_agreement(probe, other_instrument.probeGuess) < 0.8


def test_the_probe_of_another_instrument_is_not_replaced(refining: TrainedModel, other_instrument: RawData) -> None:
    with pytest.warns(
        UserWarning, match=r"belongs to another instrument: .* agrees with it to \d+\.\d %, and at least 98"
    ):
        r_factor, found = quality(refining, other_instrument)
    np.testing.assert_array_equal(found.probe, other_instrument.probeGuess)
    assert found.info["probe"] == "of the scan"
    assert found.info["probe_agreement"] < 0.8
    floor = scan_r_factors(found, other_instrument)[1]
    assert r_factor < 2 * floor


@pytest.mark.parametrize("change", ["none", "scale and phase", "modes"])
def test_the_refined_probe_is_used_for_its_own_instrument(
    change: str, refining: TrainedModel, scan: RawData, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ptychopinn_backend")
    assert scan.probeGuess is not None
    assert refining.trained_probes is not None
    probes = {
        "none": scan.probeGuess,
        "scale and phase": 5 * np.exp(1j) * scan.probeGuess,
        "modes": np.stack([scan.probeGuess[0] + scan.probeGuess[1], scan.probeGuess[0] - scan.probeGuess[1]]) / 2**0.5,
    }
    given = replace(scan, probeGuess=probes[change].astype(np.complex64))
    expected = quality(refining, scan, polish_steps=0)[0]
    r_factor, found = quality(refining, given, polish_steps=0)
    assert found.info["probe"] == "refined in training"
    assert probe_agreement(found.probe, refining.trained_probes[0]) == pytest.approx(1, abs=1e-5)
    assert np.sum(np.abs(found.probe) ** 2) == pytest.approx(np.sum(np.abs(given.probeGuess) ** 2), rel=0.1)
    assert r_factor == pytest.approx(expected, rel=1e-3)
    assert any("The probe that training refined is used" in message for message in caplog.messages)


@pytest.mark.parametrize("refines", [True, False])
def test_a_scan_without_a_probe_takes_that_of_the_archive(refines: bool, scan: RawData, tmp_path: Path) -> None:
    model = trained(scan, probe_trainable=refines)
    opened = TrainedModel.load(model.save(tmp_path / "wts.h5.zip"))
    bare = replace(scan, probeGuess=None)
    with pytest.warns(UserWarning, match=r"no probe \(probeGuess\); that of the archive is used, brought to the mean"):
        r_factor, found = quality(opened, bare)
    assert found.info["probe"] == "of the archive"
    assert r_factor == pytest.approx(quality(opened, scan)[0], rel=0.02)
    with pytest.warns(UserWarning, match="that of the archive is used"):
        assert predict(opened, bare).patches.shape == (48, 32, 32, 1)


def test_each_scan_finds_its_own_among_the_refined_probes(scan: RawData, other_instrument: RawData) -> None:
    model = trained(scan, other_instrument, probe_trainable=True)
    assert model.trained_probes is not None
    for index, given in enumerate((scan, other_instrument)):
        found = quality(model, given, polish_steps=0)[1]
        assert found.info["probe"] == "refined in training"
        assert probe_agreement(found.probe, model.trained_probes[index]) == pytest.approx(1, abs=1e-5)
    with pytest.raises(
        DataError, match=r"has no probe \(probeGuess\), and the archive holds 2, which differ\. Add the"
    ):
        reconstruct(model, replace(scan, probeGuess=None))


def test_archives_without_the_first_probe_are_compared_with_the_refined_one(
    refining: TrainedModel, scan: RawData, other_instrument: RawData
) -> None:
    old = replace(refining, given_probes=None)
    assert quality(old, scan)[1].info["probe"] == "refined in training"
    with pytest.warns(UserWarning, match="belongs to another instrument"):
        assert quality(old, other_instrument)[1].info["probe"] == "of the scan"
    older = replace(trained(scan), given_probes=None)
    with pytest.raises(DataError, match=r"the archive holds none that could stand in for it\. Add one"):
        reconstruct(older, replace(scan, probeGuess=None))


def test_nothing_is_said_where_there_is_no_choice(scan: RawData, other_instrument: RawData) -> None:
    model = trained(scan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (scan, other_instrument):
            found = reconstruct(model, given)
            assert found.info["probe"] == "of the scan"
            assert "probe_agreement" not in found.info


@pytest.mark.filterwarnings("default")
def test_the_command_line_says_which_probe(
    refining: TrainedModel, scan: RawData, other_instrument: RawData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refining.save(tmp_path / "wts.h5.zip")
    said = {}
    for name, given in (("own", scan), ("other", other_instrument)):
        given.to_file(tmp_path / f"{name}.npz")
        assert main(["infer", str(tmp_path), f"{tmp_path}/{name}.npz", "-o", f"{tmp_path}/{name}"]) == 0
        said[name] = capsys.readouterr()
        assert main(["evaluate", f"{tmp_path}/{name}/reconstruction.npz", f"{tmp_path}/{name}.npz"]) == 0
        said[f"evaluate {name}"] = capsys.readouterr()
    assert "pytorch, with the probe refined in training: " in said["own"].out
    assert said["own"].err == ""
    assert "with the probe refined in training" in said["evaluate own"].out
    assert "with the probe" not in said["other"].out
    warned = f"Warning: {tmp_path}/other.npz: The probe that training refined belongs to another instrument"
    assert said["other"].err.startswith(warned)
