"""Training on simulated objects with the instrument of a real scan.

The first image of the real scan then takes only a single pass of the network.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.checks import require_positive_integer
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.counted_scan import CountedScan, mean_photons
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation.groups import SimulatedGroups
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.runs.calibrating import NEVER
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.training_data import TrainingData
from ptychopinn_backend.seam.interface import EpochCallback

logger = logging.getLogger(__name__)

DEFAULT_OBJECTS: Final = 64
"""Default number of simulated objects for each scan."""
_HELD_OUT_OBJECTS: Final = 8
_HELD_OUT_GROUPS: Final = 4


class Instruments:
    """Scans whose probes, positions, doses and bad pixels a training uses, but not their patterns; a `ScanInput`."""

    dataset = None
    calibrate = NEVER

    def __init__(self, scans: Sequence[RawData], n_objects: int | None = None) -> None:
        """Count the photons of the patterns, which give the dose.

        Args:
            scans: scans of the instruments to learn; all patterns have one size.
            n_objects: number of objects for each scan; None takes `DEFAULT_OBJECTS`.

        Raises:
            ConfigError: `n_objects` is not a positive integer.
            DataError: `scans` is empty.
        """
        self._n_objects = DEFAULT_OBJECTS if n_objects is None else n_objects
        require_positive_integer("n_objects", self._n_objects)
        if not scans:
            raise DataError("No scan was given to take the probe from. Give at least one.")
        self.sizes = [CountedScan.of(scan) for scan in scans]
        self.fixed: dict[str, int] = {}

    def group(self, config: TrainingConfig, seed: int, *, every_point: bool = True) -> TrainingData:
        """Simulate objects and return their groups.

        Args:
            config: gives the network and the number of neighbours of a group.
            seed: seed of the run.
            every_point: has no effect; every scan point always gives one group for each object.

        Returns:
            The groups to train on and to validate on.

        Raises:
            DataError: a scan has no probe, or the patterns have different sizes.
        """
        logger.info("Simulating %d objects for each of %d scan(s).", self._n_objects, len(self.sizes))
        scans = [scan.raw for scan in self.sizes]
        model, neighbours = config.model, config.neighbor_count
        dose = [scan.mean_photons for scan in self.sizes]
        return TrainingData(
            SimulatedGroups(scans, model, self._n_objects, neighbours, seed, mean_photons=dose),
            # Every epoch shows other patterns, so only a separate set can tell which weights are the best.
            SimulatedGroups(scans, model, _HELD_OUT_OBJECTS, neighbours, seed + 1, _HELD_OUT_GROUPS, mean_photons=dose),
            mean_photons(self.sizes),
        )


def pretrain(
    scans: Sequence[RawData],
    config: TrainingConfig,
    execution: ExecutionConfig | None = None,
    *,
    n_objects: int = DEFAULT_OBJECTS,
    backend: str | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint_folder: Path | None = None,
    resume: bool = False,
) -> TrainedModel:
    """Train a model on simulated objects with the instruments of real scans.

    The training uses the probe, positions, dose and bad pixels of the scans, but not their patterns.

    Args:
        scans: scans of the instruments to learn; all patterns have one size.
        config: training options; every epoch simulates `groups_per_epoch` new patterns.
        execution: run-time options; None takes the defaults.
        n_objects: number of objects for each scan.
        backend: 'tensorflow' or 'pytorch'; None follows `PTYCHOPINN_BACKEND`, then `config.backend`.
        on_epoch: called after every epoch; True stops the training.
        checkpoint_folder: folder for the best and the last state; None writes no state.
        resume: True continues from the last state in that folder.

    Returns:
        The trained model.

    Raises:
        ConfigError: an option does not apply.
        DataError: there is no scan, a scan has no probe, or the patterns have different sizes.
    """
    execution = execution or ExecutionConfig()
    data = Instruments(scans, n_objects).group(config, execution.seed)
    return train_source(
        data.training,
        config,
        execution,
        validation=data.validation,
        backend=backend,
        on_epoch=on_epoch,
        checkpoint_folder=checkpoint_folder,
        resume=resume,
    )
