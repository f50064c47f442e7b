"""The archive kept during training, for whoever ends the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.runs.best_archive import BestArchive
from ptychopinn_backend.runs.trained_model import TrainedModel
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


class Told:
    """Tells a callback of epochs as a training does, each with the history so far."""

    def __init__(self, keeper: BestArchive, **history: list[float]) -> None:
        self._keeper, self._history = keeper, history

    def __call__(self, **losses: float) -> bool | None:
        for name, value in losses.items():
            self._history.setdefault(name, []).append(value)
        history = {name: list(values) for name, values in self._history.items()}
        return self._keeper(EpochReport(len(history["loss"]), 9, losses, 1e-3, 0.0, history))


def best(*keys: str, training: TrainingConfig | None = None, **options: Any) -> BestEpoch:
    return BestEpoch(training or TrainingConfig(), ExecutionConfig(**options), keys)


def test_archive_is_written_when_the_monitored_loss_improves(tmp_path: Path) -> None:
    model, seen = Recorder(), []
    keeper = BestArchive(
        model, tmp_path / "best.zip", best("loss", "val_loss"), lambda report: seen.append(report.epoch)
    )
    tell = Told(keeper)
    for epoch, value in enumerate((3.0, 2.0, 2.5, 1.0), start=1):
        assert tell(loss=-epoch, val_loss=value) is None
    assert model.written == [1, 2, 4]
    assert seen == [1, 2, 3, 4]


def test_training_loss_decides_without_validation_and_stopping_is_passed_on(tmp_path: Path) -> None:
    model = Recorder()
    keeper = BestArchive(model, tmp_path / "best.zip", best("loss"), lambda report: True)
    tell = Told(keeper)
    assert tell(loss=1.0) is True
    assert tell(loss=2.0) is True
    assert model.written == [1]
    assert model.history == {"loss": [1.0, 2.0]}


def test_largest_value_is_best_in_mode_max(tmp_path: Path) -> None:
    model = Recorder()
    keeper = BestArchive(model, tmp_path / "best.zip", best("loss", "val_loss", checkpoint_mode="max"))
    tell = Told(keeper)
    for value in (1.0, 3.0, 2.0):
        tell(loss=0.0, val_loss=value)
    assert model.written == [1, 2]


def test_a_stage_with_another_loss_starts_anew(tmp_path: Path) -> None:
    model = Recorder()
    staged = TrainingConfig(stage_1_epochs=2, stage_3_epochs=2)
    keeper = BestArchive(model, tmp_path / "best.zip", best("loss", training=staged))
    tell = Told(keeper)
    for value in (1.0, 2.0, 30.0, 20.0):
        tell(loss=value)
    assert model.written == [1, 3, 4]


def test_a_resumed_training_does_not_replace_a_better_model_by_a_worse_one(tmp_path: Path) -> None:
    model = Recorder()
    keeper = BestArchive(model, tmp_path / "best.zip", best("loss"))
    tell = Told(keeper, loss=[3.0, 1.0], learning_rate=[1e-3, 1e-3])
    for value in (2.0, 0.5):
        tell(loss=value, learning_rate=1e-3)
    assert model.written == [4]
    assert model.history["loss"] == [3.0, 1.0, 2.0, 0.5]
