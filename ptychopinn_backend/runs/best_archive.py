"""An archive of the best weights so far, kept during a training."""

from __future__ import annotations

from pathlib import Path

from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.interface import EpochCallback, EpochReport
from ptychopinn_backend.seam.training_run import BestEpoch


class BestArchive:
    """Epoch callback that keeps an archive of the best weights so far, so that a killed process leaves a model."""

    def __init__(self, model: TrainedModel, path: Path, best: BestEpoch, on_epoch: EpochCallback | None = None) -> None:
        """Keep what is written.

        Args:
            model: the model in training; its history is filled here.
            path: the archive.
            best: decides which epoch is the best.
            on_epoch: called afterwards with the same report; its answer is passed on.
        """
        self._model, self._path, self._best = model, path, best
        self._on_epoch = on_epoch

    def __call__(self, report: EpochReport) -> bool | None:
        """Write the archive when the epoch was the best so far.

        Args:
            report: the epoch just ended.

        Returns:
            What `on_epoch` returns: True stops training.
        """
        if self._best.epoch is None:
            # What an earlier part of the training has written must not yield to a worse epoch of this one.
            for epoch in range(1, report.epoch):
                row = {name: values[epoch - 1] for name, values in report.history.items()}
                self._best.observe(epoch, row)
        self._model.history = {name: list(values) for name, values in report.history.items()}
        if self._best.observe(report.epoch, report.losses):
            self._model.save(self._path)
        return self._on_epoch(report) if self._on_epoch is not None else None
