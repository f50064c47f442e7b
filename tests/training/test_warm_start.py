"""Training that starts from an archive of either backend."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ArchiveNotFoundError, ConfigError
from ptychopinn_backend.model_api import PtychoModel
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.warm_start import StartArchive
from tests.contract.builders import split_options

BACKENDS = ("pytorch", "tensorflow")


@pytest.fixture(scope="module")
def scan() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=20, photons=1e4), seed=1)


def trained(scan: RawData, backend: str = "pytorch", init: Path | None = None, **options: Any) -> TrainedModel:
    defaults = {"batch_size": 8, "nphotons": 1e4, "n_groups": 16, "nepochs": 1, "validation_fraction": 0.0}
    _, training, execution = split_options({**defaults, **options})
    return train_scans([scan], training, execution, backend=backend, init=init)


@pytest.fixture(scope="module")
def archives(scan: RawData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("archives")
    return {name: trained(scan, name, nepochs=3).save(folder / f"{name}.zip") for name in BACKENDS}


def network(weights: dict[str, AnyArray]) -> dict[str, AnyArray]:
    return {name: array for name, array in weights.items() if not name.startswith("physics/")}


@pytest.mark.parametrize("there", BACKENDS)
@pytest.mark.parametrize("here", BACKENDS)
def test_training_goes_on_from_the_weights_of_an_archive(
    there: str, here: str, archives: dict[str, Path], scan: RawData
) -> None:
    # With a vanishing learning rate the model ends where it started.
    model = trained(scan, here, archives[there], learning_rate=1e-30)
    expected = read_archive(archives[there]).weights
    found = model.backend.dump_weights()
    for name, array in network(found).items():
        np.testing.assert_array_equal(array, expected[name])
    assert found[LOG_SCALE] == pytest.approx(expected[LOG_SCALE], rel=1e-6)
    better = trained(scan, here, archives[there])
    assert better.history["loss"][0] < trained(scan, here).history["loss"][0]


def test_of_the_intensity_scale_its_refinement_is_taken_over(archives: dict[str, Path], scan: RawData) -> None:
    content = read_archive(archives["pytorch"])
    refinement = float(content.weights[LOG_SCALE]) - math.log(content.intensity_scale)
    assert abs(refinement) > 1e-4
    model = trained(scan, init=archives["pytorch"], learning_rate=1e-30, nphotons=4e4)
    assert model.intensity_scale == pytest.approx(2 * content.intensity_scale)
    found = float(model.backend.dump_weights()[LOG_SCALE]) - math.log(model.intensity_scale)
    assert found == pytest.approx(refinement, abs=1e-6)


def test_a_trainable_probe_starts_from_the_new_scan(scan: RawData, tmp_path: Path) -> None:
    archive = trained(scan, probe_trainable=True, nepochs=3).save(tmp_path / "wts.h5.zip")
    stored = read_archive(archive).weights[PROBE]
    model = trained(scan, init=archive, probe_trainable=True, learning_rate=1e-30)
    np.testing.assert_allclose(model.backend.dump_weights()[PROBE], model.backend.setup.probes, atol=1e-7)
    assert np.abs(stored - model.backend.setup.probes).max() > 1e-5
    assert PROBE not in trained(scan, init=archive).backend.dump_weights()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "backprojection_unet"}, r"architecture is 'cnn' there and 'backprojection_unet' here"),
        ({"n_filters_scale": 2}, r"n_filters_scale is 1 there and 2 here"),
        ({"gridsize": 2}, r"gridsize is 1 there and 2 here"),
    ],
)
def test_another_network_is_refused(
    options: dict[str, Any], words: str, archives: dict[str, Path], scan: RawData
) -> None:
    with pytest.raises(ConfigError, match=rf"'.*pytorch.zip' does not fit this network: {words}.*Train with the netw"):
        trained(scan, init=archives["pytorch"], **options)


def test_weights_that_fit_another_network_are_told_of(
    archives: dict[str, Path], scan: RawData, caplog: pytest.LogCaptureFixture
) -> None:
    trained(scan, init=archives["pytorch"], amp_activation="swish")
    assert "amp_activation is 'sigmoid' there and 'swish' here" in caplog.text


def test_an_archive_that_is_not_there_is_named(scan: RawData, tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFoundError, match="absent"):
        trained(scan, init=tmp_path / "absent")


def test_the_network_of_the_archive_is_the_default(archives: dict[str, Path], scan: RawData) -> None:
    options = StartArchive.read(archives["tensorflow"]).options
    assert options["n_filters_scale"] == 1
    assert "N" not in options
    model = PtychoModel(N=32, backend="pytorch", preset="fast")
    model.train(scan, init=archives["tensorflow"], nepochs=1, accelerator="cpu")
    assert (model.config.architecture, model.config.n_filters_scale, model.config.gridsize) == ("cnn", 1, 1)
    with pytest.raises(ConfigError, match="n_filters_scale is 1 there and 2 here"):
        PtychoModel(N=32, n_filters_scale=2, backend="pytorch").train(scan, init=archives["tensorflow"], nepochs=1)


def test_a_resumed_state_wins(archives: dict[str, Path], scan: RawData, tmp_path: Path) -> None:
    def run(nepochs: int, resume: bool, init: Path | None) -> TrainedModel:
        options = {"batch_size": 8, "nphotons": 1e4, "n_groups": 16, "nepochs": nepochs}
        _, training, execution = split_options(options)
        return train_scans(
            [scan],
            training,
            execution,
            backend="pytorch",
            checkpoint_folder=tmp_path / "run" if nepochs < 3 or resume else None,
            resume=resume,
            init=init,
        )

    run(1, resume=False, init=archives["pytorch"])
    words = r"The weights of '.*' \(init\) are not used: training goes on from the checkpoint in"
    with pytest.warns(UserWarning, match=words):
        resumed = run(3, resume=True, init=archives["tensorflow"])
    assert resumed.history == run(3, resume=False, init=archives["pytorch"]).history
