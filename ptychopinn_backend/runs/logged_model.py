"""Options and model of a training, written into the MLflow run of its losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ptychopinn_backend.archive import package_version
from ptychopinn_backend.config import ARCHIVE_NAME, ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.yaml_file import yaml_text
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.epoch_log import MlflowLog
from ptychopinn_backend.seam.interface import EpochCallback, EpochReport
from ptychopinn_backend.seam.process_rank import is_first_process


class LoggedModel:
    """Epoch callback that writes the options after the first epoch; `keep_model` writes the model after the last."""

    def __init__(self, model: TrainedModel, folder: Path | None, on_epoch: EpochCallback | None) -> None:
        """Find the MLflow run. If this process does not log the training to MLflow, nothing is written.

        Args:
            model: the model in training.
            folder: folder of the run, or None.
            on_epoch: called afterwards with the same report; the callback passes on its answer.
        """
        execution = model.backend.setup.execution
        is_logged = folder is not None and execution.logger_backend == "mlflow" and is_first_process(execution)
        self._log = MlflowLog(folder) if folder is not None and is_logged else None
        self._model, self._on_epoch = model, on_epoch
        self._is_written = False

    def __call__(self, report: EpochReport) -> bool | None:
        """Write the options after the first epoch.

        Args:
            report: the epoch that has just ended; its losses are logged already.

        Returns:
            The value that `on_epoch` returned; True stops the training.
        """
        if self._log is not None and not self._is_written:
            setup = self._model.backend.setup
            sections = {
                "model": dict(_told(setup.model)),
                "training": dict(_told(setup.training)),
                "execution": dict(_told(setup.execution)),
            }
            options = {name: value for section in sections.values() for name, value in section.items()}
            options["package_version"] = package_version()
            self._log.configuration(options, yaml_text(sections))
            self._is_written = True
        return self._on_epoch(report) if self._on_epoch is not None else None

    def keep_model(self) -> None:
        """Write the archive of the trained model into the run, if an epoch was logged."""
        if self._log is not None and self._is_written:
            with TemporaryDirectory() as folder:
                self._log.model(self._model.save(Path(folder) / ARCHIVE_NAME))


def _told(config: ModelConfig | TrainingConfig | ExecutionConfig) -> Iterator[tuple[str, Any]]:
    """Yield the options of a configuration without paths, since paths describe the machine."""
    for item in fields(config):
        value = getattr(config, item.name)
        if item.name not in ("model", "n_images") and not isinstance(value, Path):
            yield item.name, list(value) if isinstance(value, tuple) else value
