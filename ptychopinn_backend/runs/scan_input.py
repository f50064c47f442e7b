"""The scans that a model trains on, in memory or on disk.

Scans stay on disk if they are large, or if the user asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.config.scan_traits import DescribedScan
from ptychopinn_backend.data.counted_scan import CountedScan
from ptychopinn_backend.data.dataset import ScanDataset, open_dataset
from ptychopinn_backend.data.dataset.scan_files import stored_scans
from ptychopinn_backend.data.dataset.sources import (
    DESCRIPTION_NAME,
    exceeds_memory_part,
    list_sources,
    read_scan_file,
)
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError, warnings_about
from ptychopinn_backend.runs.calibrating import ALWAYS, NEVER, calibrated_for_training
from ptychopinn_backend.runs.half_turn import middles_of, warn_of_half_turns
from ptychopinn_backend.runs.held_out_groups import without_held_out
from ptychopinn_backend.runs.training_data import TrainingData, group_scans, group_scans_on_disk

logger = logging.getLogger(__name__)

DATASET_NAME: Final = "dataset"

AnyScan = RawData | str | Path
Scans = AnyScan | Sequence[AnyScan] | ScanDataset
"""One scan or several, as arrays, files or folders of files; or a data set, opened or given by its folder."""


class ScanInput(Protocol):
    """Scans that are not grouped yet."""

    @property
    def sizes(self) -> Sequence[DescribedScan]:
        """Sizes that a preset needs, one for each scan or one for all."""

    @property
    def fixed(self) -> Mapping[str, int]:
        """Options that the groups of a data set have fixed."""

    @property
    def dataset(self) -> Path | None:
        """Folder of the data set on disk; None for scans in memory."""

    @property
    def calibrate(self) -> str:
        """When probe and positions are refined: 'auto', 'always' or 'never'."""

    def group(self, config: TrainingConfig, seed: int, *, every_point: bool) -> TrainingData:
        """Group the scans.

        Args:
            config: training options.
            seed: seed of the run.
            every_point: True takes one group for each point of every scan, whatever `config.n_groups` says.

        Returns:
            The groups.
        """


def scan_input(
    scans: Scans,
    *,
    validation: Scans | None = None,
    dataset: Path | None = None,
    place: Path | None = None,
    reading: Reading = ASK_THE_FILE,
    calibrate: str = NEVER,
) -> ScanInput:
    """Decide whether scans are held in memory or on disk.

    Args:
        scans: scans, or a data set; an empty list takes the data set in `dataset` as it is.
        validation: scans to validate on, or None.
        dataset: folder of a data set that is made from the scans, or None.
        place: folder of the results. If the scans are large and `dataset` is None, a data set is made in it. None keeps
            the scans in memory.
        reading: what the user states about the files.
        calibrate: 'auto', 'always' or 'never': whether probes and positions of scans in memory are refined first, see
            `calibrating.calibrated_for_training`. The results are kept in `place`.

    Returns:
        The scans.

    Raises:
        DataError: there is nothing to train on, or a file or the data set cannot be used.
        ConfigError: `calibrate` is 'always', and the scans are on disk.
    """
    held = _held(scans, validation, dataset, place, reading, calibrate)
    if calibrate == ALWAYS and held.calibrate == NEVER:
        raise ConfigError(
            "calibrate = 'always' needs scans in memory, and these are trained on from a data set on disk. Write "
            "calibrated ones with 'ptychopinn calibrate SCAN -o OTHER' and train on those."
        )
    return held


def _held(
    scans: Scans,
    validation: Scans | None,
    dataset: Path | None,
    place: Path | None,
    reading: Reading,
    calibrate: str,
) -> ScanInput:
    if isinstance(scans, ScanDataset):
        return _WholeDataset(scans, validation, reading)
    items = listed(scans)
    paths = [Path(item) for item in items if not isinstance(item, RawData)]
    if not items:
        if dataset is None:
            raise DataError("No scan was given to train on. Name scan files or folders, or a data set.")
        return _WholeDataset(open_dataset(dataset), validation, reading)
    if len(paths) == len(items) == 1 and (paths[0] / DESCRIPTION_NAME).is_file():
        return _WholeDataset(open_dataset(paths[0]), validation, reading)
    if len(paths) < len(items):
        if dataset is not None:
            raise DataError("A data set is made from files, and a RawData is given. Write it with to_file first.")
    elif dataset is not None:
        return _OnDisk(paths, validation, dataset, reading)
    elif exceeds_memory_part(paths, reading):
        if place is not None:
            return _OnDisk(paths, validation, place / DATASET_NAME, reading)
        logger.warning("The scans need much of the machine's memory. Name a folder for a data set on disk.")
    return _InMemory(items, validation, reading, calibrate, place)


class _InMemory:
    dataset = None

    def __init__(
        self,
        scans: Sequence[AnyScan],
        validation: Scans | None,
        reading: Reading,
        calibrate: str,
        place: Path | None,
    ) -> None:
        read = read_all(scans, reading)
        warn_of_half_turns(read)
        self.sizes = [CountedScan.of(calibrated_for_training(scan, calibrate, place)) for scan in read]
        self.fixed: dict[str, int] = {}
        self.calibrate = calibrate
        self._validation, self._reading = validation, reading

    def group(self, config: TrainingConfig, seed: int, *, every_point: bool) -> TrainingData:
        held_out = read_all(self._validation, self._reading)
        return group_scans(self.sizes, held_out, config, seed, every_point=every_point)


class _OnDisk:
    calibrate = NEVER

    def __init__(self, scans: Sequence[Path], validation: Scans | None, folder: Path, reading: Reading) -> None:
        self.sizes = [read_scan_file(path, reading) for path in list_sources(scans, reading)]
        self.fixed: dict[str, int] = {}
        self.dataset = folder
        self._validation, self._reading = _paths_of(validation), reading

    def group(self, config: TrainingConfig, seed: int, *, every_point: bool) -> TrainingData:
        data = group_scans_on_disk(
            [scan.path for scan in self.sizes],
            self.dataset,
            config,
            seed,
            validation=self._validation,
            every_point=every_point,
            reading=self._reading,
        )
        warn_of_half_turns(middles_of(stored_scans(self.dataset)))
        return data


class _WholeDataset:
    calibrate = NEVER

    def __init__(self, dataset: ScanDataset, validation: Scans | None, reading: Reading) -> None:
        warn_of_half_turns(middles_of(dataset.stored))
        self.sizes = [dataset]
        self.fixed = {"N": dataset.N, "gridsize": round(dataset.channels**0.5)}
        self.dataset = dataset.folder
        self._validation, self._reading = validation, reading

    def group(self, config: TrainingConfig, seed: int, *, every_point: bool) -> TrainingData:
        photons = self.sizes[0].mean_photons
        dataset, judges = without_held_out(self.sizes[0], config.held_out_fraction)
        if self._validation is None:
            return TrainingData(*dataset.split(config.validation_fraction, seed), photons, judges)
        held_out = read_all(self._validation, self._reading)
        whole = replace(config, validation_fraction=0.0)
        grouped = group_scans(held_out, [], whole, seed + 1, every_point=every_point)
        return TrainingData(dataset, grouped.training, photons, judges)


def listed(scans: Scans) -> list[AnyScan]:
    """Return scans as a list.

    Args:
        scans: one scan or several.

    Returns:
        List of arrays and paths; a folder stays one path.

    Raises:
        DataError: `scans` is an opened data set.
    """
    if isinstance(scans, ScanDataset):
        raise DataError("A data set is given to validate on; scan files or RawData are read here. Name its scans.")
    return [scans] if isinstance(scans, RawData | str | Path) else list(scans)


def read_all(scans: Scans | None, reading: Reading = ASK_THE_FILE) -> list[RawData]:
    """Read scans into memory.

    Args:
        scans: arrays, files and folders; None gives an empty list.
        reading: what the user states about the files.

    Returns:
        The scans in the order given.

    Raises:
        DataError: a file cannot be used.
    """
    read: list[RawData] = []
    for item in [] if scans is None else listed(scans):
        if isinstance(item, RawData):
            read.append(item)
        else:
            for path in list_sources(item, reading):
                with warnings_about(path):
                    read.append(RawData.from_file(path, reading=reading))
    return read


def _paths_of(scans: Scans | None) -> list[Path]:
    items = [] if scans is None else listed(scans)
    if any(isinstance(item, RawData) for item in items):
        raise DataError("A data set is made from files, and a RawData is given. Write it with to_file first.")
    return [Path(item) for item in items if not isinstance(item, RawData)]
