"""An epoch callback that writes an archive of the best weights during a training."""

from __future__ import annotations

from pathlib import Path

from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.interface import EpochCallback, EpochReport
from ptychopinn_backend.seam.training_run import BestEpoch


class BestArchive:
    """Epoch callback that keeps an archive of the best weights so far.

    If the process is killed during the training, this archive is a usable model.
    """

    def __init__(self, model: TrainedModel, path: Path, best: BestEpoch, on_epoch: EpochCallback | None = None) -> None:
        """Set the model, the archive and the rule for the best epoch.

        Args:
            model: the model in training; the callback copies the history into it.
            path: file of the archive.
            best: decides which epoch is the best.
            on_epoch: called afterwards with the same report; the callback passes on its answer.
        """
        self._model, self._path, self._best = model, path, best
        self._on_epoch = on_epoch

    def __call__(self, report: EpochReport) -> bool | None:
        """Write the archive if this epoch is the best so far.

        Args:
            report: the epoch that has just ended.

        Returns:
            The value that `on_epoch` returned; True stops the training.
        """
        if self._best.epoch is None:
            # An epoch of a resumed training must not replace a better archive from the earlier part of the training.
            for epoch in range(1, report.epoch):
                row = {name: values[epoch - 1] for name, values in report.history.items()}
                self._best.observe(epoch, row)
        self._model.history = {name: list(values) for name, values in report.history.items()}
        if self._best.observe(report.epoch, report.losses):
            self._model.save(self._path)
        return self._on_epoch(report) if self._on_epoch is not None else None
