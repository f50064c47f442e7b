"""Pictures of a model in training: which groups, when, and that looking changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.runs.reconstruction_log import ReconstructionLog, chosen_groups, spread
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.interface import EpochReport
from tests.contract.array_source import ArraySource
from tests.contract.builders import backend_for, source_for, split_options

BACKENDS = ("pytorch", "tensorflow")
PNG_START = b"\x89PNG\r\n"


class Pictures:
    """A log that keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []

    def record(self, history: Any) -> None:
        raise AssertionError("the backend records the numbers")

    def picture(self, name: str, epoch: int, png: bytes) -> None:
        assert png.startswith(PNG_START)
        self.taken.append((name, epoch))


@pytest.fixture(scope="module")
def scan() -> Any:
    return simulate_scan(SimulationConfig(size=32, patterns=24, photons=1e4), seed=1)


def trained(scan: Any, backend: str, folder: Path | None = None, **options: Any) -> TrainedModel:
    options = {"nepochs": 4, "batch_size": 8, "nphotons": 1e4, "n_groups": 20, "learning_rate": 1e-3, **options}
    _, training, execution = split_options(options)
    return train_scans([scan], training, execution, backend=backend, checkpoint_folder=folder)


def test_groups_are_spread_evenly_or_named() -> None:
    assert spread(10, 4).tolist() == [0, 3, 6, 9]
    assert spread(3, 4).tolist() == [0, 1, 2]
    assert spread(3, None).tolist() == [0, 1, 2]
    assert spread(9, 1).tolist() == [0]
    assert chosen_groups(ExecutionConfig(recon_log_num_patches=2), 10).tolist() == [0, 9]
    named = ExecutionConfig(recon_log_fixed_indices=(7, 2), recon_log_num_patches=1)
    assert chosen_groups(named, 10).tolist() == [7, 2]
    with pytest.raises(ConfigError, match=r"= \[7, 2\] names group 7, and the training has 5. Use indices up to 4"):
        chosen_groups(named, 5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_are_taken_every_so_many_epochs(backend: str, scan: Any, tmp_path: Path) -> None:
    trained(scan, backend, tmp_path, recon_log_every_n_epochs=2, recon_log_stitch=True)
    folder = tmp_path / "reconstructions"
    assert {path.name for path in folder.iterdir()} == {
        f"{name}-epoch000{epoch}.png" for name in ("patches", "object") for epoch in (2, 4)
    }
    assert (folder / "object-epoch0002.png").read_bytes() != (folder / "object-epoch0004.png").read_bytes()


def test_a_picture_that_fails_does_not_end_the_training() -> None:
    class FullDisk(Pictures):
        def picture(self, name: str, epoch: int, png: bytes) -> None:
            raise OSError(28, "No space left on device")

    source = source_for({}, n_groups=8)
    backend = backend_for("pytorch", source, recon_log_every_n_epochs=1)
    log = ReconstructionLog(backend, source, FullDisk(), on_epoch=lambda report: True)
    with pytest.warns(UserWarning, match=r"'patches' of epoch 1 was not drawn \(OSError: .*No space left"):
        assert log(EpochReport(1, 5, {"loss": 1.0}, 1e-3, 0.1)) is True


@pytest.mark.parametrize("backend", BACKENDS)
def test_looking_changes_nothing(backend: str, scan: Any, tmp_path: Path) -> None:
    plain = trained(scan, backend)
    watched = trained(scan, backend, tmp_path, recon_log_every_n_epochs=1, logger_backend="tensorboard")
    assert watched.history == plain.history
    weights = plain.backend.dump_weights()
    for name, array in watched.backend.dump_weights().items():
        np.testing.assert_array_equal(array, weights[name])
    assert list((tmp_path / "tensorboard").iterdir())


def test_nothing_is_pictured_unless_asked_for(scan: Any, tmp_path: Path) -> None:
    trained(scan, "pytorch", tmp_path, nepochs=1)
    assert not (tmp_path / "reconstructions").exists()


class Watched(ArraySource):
    """Notes which groups are asked for."""

    asked: list[int]

    def batch(self, indices: IntArray) -> Any:
        self.asked += [int(index) for index in indices]
        return super().batch(indices)


def test_only_the_named_groups_are_predicted() -> None:
    options = {"recon_log_every_n_epochs": 1, "recon_log_fixed_indices": (5, 1), "gridsize": 2}
    source = Watched(**vars(source_for({"gridsize": 2}, n_groups=8)))
    source.asked = []
    pictures = Pictures()
    backend = backend_for("pytorch", source, **options)
    log = ReconstructionLog(backend, source, pictures)
    assert log(EpochReport(3, 5, {"loss": 1.0}, 1e-3, 0.1)) is None
    assert source.asked == [5, 1]
    assert pictures.taken == [("patches", 3)]


@pytest.mark.parametrize(("limit", "expected"), [(None, 12), (5, 5)])
def test_the_object_is_put_together_from_so_many_groups_of_the_first_scan(
    limit: int | None, expected: int, scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"recon_log_every_n_epochs": 1, "recon_log_stitch": True, "recon_log_max_stitch_samples": limit}
    model = split_options(options)[0]
    one = PtychoDataContainer.from_raw_data(scan, model, n_groups=12, seed=0)
    source = PtychoDataContainer.concatenate([one, one])
    backend = backend_for("pytorch", source, **options)  # type: ignore[arg-type]
    predicted: list[int] = []
    predict = backend.predict

    def counted(groups: Any, batch_size: int) -> Any:
        for patches in predict(groups, batch_size):
            predicted.append(len(patches))
            yield patches

    monkeypatch.setattr(backend, "predict", counted)
    pictures = Pictures()
    ReconstructionLog(backend, source, pictures)(EpochReport(1, 1, {}, 1e-3, 0.1))
    assert pictures.taken == [("patches", 1), ("object", 1)]
    assert sum(predicted) == 4 + expected


def test_groups_without_positions_cannot_be_put_together() -> None:
    source = source_for({})
    backend = backend_for("pytorch", source, recon_log_every_n_epochs=1, recon_log_stitch=True)
    with pytest.raises(ConfigError, match=r"recon_log_stitch = True needs groups that know their positions.*False"):
        ReconstructionLog(backend, source, Pictures())


@pytest.mark.parametrize(("logger", "words"), [("none", "logger_backend is 'none'"), ("csv", "no checkpoint_folder")])
def test_pictures_need_a_log(logger: str, words: str, scan: Any, tmp_path: Path) -> None:
    folder = tmp_path if logger == "none" else None
    with pytest.raises(ConfigError, match=rf"recon_log_every_n_epochs = 2 asks for pictures.*{words}.*to None"):
        trained(scan, "pytorch", folder, recon_log_every_n_epochs=2, logger_backend=logger)
