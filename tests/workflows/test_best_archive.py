"""The archive kept during training, for whoever ends the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.runs.trained_model import BestArchive, TrainedModel
from ptychopinn_backend.seam.interface import EpochReport
from ptychopinn_backend.seam.training_run import BestEpoch


class Recorder(TrainedModel):
    """A model that notes what would be written."""

    def __init__(self) -> None:
        self.history = {}
        self.written: list[int] = []

    def save(self, path: str | Path) -> Path:
        self.written.append(len(self.history["loss"]))
        return Path(path)


def report(epoch: int, **losses: float) -> EpochReport:
    return EpochReport(epoch, 9, losses, 1e-3, 0.0)


def best(*keys: str, training: TrainingConfig | None = None, **options: Any) -> BestEpoch:
    return BestEpoch(training or TrainingConfig(), ExecutionConfig(**options), keys)


def test_archive_is_written_when_the_monitored_loss_improves(tmp_path: Path) -> None:
    model, seen = Recorder(), []
    keeper = BestArchive(
        model, tmp_path / "best.zip", best("loss", "val_loss"), lambda report: seen.append(report.epoch)
    )
    for epoch, value in enumerate((3.0, 2.0, 2.5, 1.0), start=1):
        assert keeper(report(epoch, loss=-epoch, val_loss=value)) is None
    assert model.written == [1, 2, 4]
    assert seen == [1, 2, 3, 4]


def test_training_loss_decides_without_validation_and_stopping_is_passed_on(tmp_path: Path) -> None:
    model = Recorder()
    keeper = BestArchive(model, tmp_path / "best.zip", best("loss"), lambda report: True)
    assert keeper(report(1, loss=1.0)) is True
    assert keeper(report(2, loss=2.0)) is True
    assert model.written == [1]
    assert model.history == {"loss": [1.0, 2.0]}


def test_largest_value_is_best_in_mode_max(tmp_path: Path) -> None:
    model = Recorder()
    keeper = BestArchive(model, tmp_path / "best.zip", best("loss", "val_loss", checkpoint_mode="max"))
    for epoch, value in enumerate((1.0, 3.0, 2.0), start=1):
        keeper(report(epoch, loss=0.0, val_loss=value))
    assert model.written == [1, 2]


def test_a_stage_with_another_loss_starts_anew(tmp_path: Path) -> None:
    model = Recorder()
    staged = TrainingConfig(stage_1_epochs=2, stage_3_epochs=2)
    keeper = BestArchive(model, tmp_path / "best.zip", best("loss", training=staged))
    for epoch, value in enumerate((1.0, 2.0, 30.0, 20.0), start=1):
        keeper(report(epoch, loss=value))
    assert model.written == [1, 3, 4]
