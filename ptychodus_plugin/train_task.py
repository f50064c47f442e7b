"""The host's task of a training, which hands over the chosen product as well: the host prepares it and drops it."""

from __future__ import annotations

from ptychodus.model.processing.monitor import TrainBackgroundTask

from ptychodus_plugin.reconstructor import PtychoPINNReconstructor


class TrainTask(TrainBackgroundTask):
    """Replaces the host's task of the same purpose; other reconstructors see no difference."""

    def __call__(self) -> None:
        """Train."""
        if isinstance(self.trainer, PtychoPINNReconstructor):
            self.trainer.offer(self.reconstruct_input)
        super().__call__()
