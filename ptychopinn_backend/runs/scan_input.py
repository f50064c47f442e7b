"""The scans a model trains on: in memory, or on disk where they are large or the user says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.data.dataset import ScanDataset, open_dataset
from ptychopinn_backend.data.dataset.sources import (
    DESCRIPTION_NAME,
    ScanFile,
    exceeds_memory_part,
    list_sources,
    read_scan_file,
)
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.runs.train import fit_to_scans
from ptychopinn_backend.runs.training_data import (
    TrainingData,
    fit_to_data,
    fit_to_dataset,
    group_scans,
    group_scans_on_disk,
)

logger = logging.getLogger(__name__)

DATASET_NAME: Final = "dataset"

Scan = RawData | str | Path
Scans = Scan | Sequence[Scan] | ScanDataset
"""One scan or several, as arrays, files or folders of files; or a data set, opened or by its folder."""


class ScanInput(Protocol):
    """Scans before they are grouped."""

    @property
    def sizes(self) -> Sequence[RawData | ScanFile | ScanDataset]:
        """What tells the number of patterns, one a scan or one for all."""

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Options that are decided already."""

    def prepare(
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Scans | None
    ) -> tuple[TrainingConfig, TrainingData]:
        """Fit a configuration to the scans and group them.

        Args:
            config: the configuration.
            seed: of the run.
            given: names of the options the user gave.
            validation: scans to validate on, or None.

        Returns:
            The configuration to train with, and the groups.
        """


def scan_input(
    scans: Scans, *, dataset: Path | None = None, place: Path | None = None, measurement: str | None = None
) -> ScanInput:
    """Decide how scans are held.

    Args:
        scans: scans, or a data set; an empty list takes the one in `dataset` as it is.
        dataset: folder of a data set that is made from the scans, or None.
        place: folder of the results, where a data set is made when the scans are large and no folder is named; None
            keeps them in memory.
        measurement: 'counts', 'amplitudes' or None; concerns files.

    Returns:
        The scans.

    Raises:
        DataError: there is nothing to train on, or a file or the data set cannot be used.
    """
    if isinstance(scans, ScanDataset):
        return _WholeDataset(scans, measurement)
    items = _listed(scans)
    paths = [Path(item) for item in items if not isinstance(item, RawData)]
    if not items:
        if dataset is None:
            raise DataError("No scan was given to train on. Name scan files or folders, or a data set.")
        return _WholeDataset(open_dataset(dataset), measurement)
    if len(paths) == len(items) == 1 and (paths[0] / DESCRIPTION_NAME).is_file():
        return _WholeDataset(open_dataset(paths[0]), measurement)
    if len(paths) < len(items):
        if dataset is not None:
            raise DataError("A data set is made from files, and a RawData is given. Write it with to_file first.")
    elif dataset is not None:
        return _OnDisk(paths, dataset, measurement)
    elif exceeds_memory_part(paths):
        if place is not None:
            return _OnDisk(paths, place / DATASET_NAME, measurement)
        logger.warning("The scans need much of the machine's memory. Name a folder for a data set on disk.")
    return _InMemory(items, measurement)


class _InMemory:
    def __init__(self, scans: Sequence[Scan], measurement: str | None) -> None:
        self.sizes = _read_all(scans, measurement)
        self.fixed: dict[str, Any] = {}
        self._measurement = measurement

    def prepare(
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Scans | None
    ) -> tuple[TrainingConfig, TrainingData]:
        config = fit_to_scans(config, self.sizes, given)
        held_out = _read_all(validation, self._measurement)
        return config, group_scans(self.sizes, held_out, config, seed, every_point="n_groups" not in given)


class _OnDisk:
    def __init__(self, scans: Sequence[Path], folder: Path, measurement: str | None) -> None:
        self.sizes = [read_scan_file(path) for path in list_sources(scans)]
        self.fixed: dict[str, Any] = {}
        self._folder, self._measurement = folder, measurement

    def prepare(
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Scans | None
    ) -> tuple[TrainingConfig, TrainingData]:
        config = fit_to_data(config, self.sizes[0].N, None, given)
        data = group_scans_on_disk(
            [scan.path for scan in self.sizes],
            self._folder,
            config,
            seed,
            validation=_paths_of(validation),
            every_point="n_groups" not in given,
            measurement=self._measurement,
        )
        return fit_to_dataset(config, open_dataset(self._folder), given), data


class _WholeDataset:
    def __init__(self, dataset: ScanDataset, measurement: str | None) -> None:
        self.sizes = [dataset]
        self.fixed: dict[str, Any] = {"N": dataset.N, "gridsize": round(dataset.channels**0.5)}
        self._dataset, self._measurement = dataset, measurement

    def prepare(
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Scans | None
    ) -> tuple[TrainingConfig, TrainingData]:
        config = fit_to_dataset(config, self._dataset, given)
        if validation is None:
            return config, TrainingData(*self._dataset.split(config.validation_fraction, seed))
        held_out = _read_all(validation, self._measurement)
        whole = replace(config, validation_fraction=0.0)
        grouped = group_scans(held_out, [], whole, seed + 1, every_point="n_groups" not in given)
        return config, TrainingData(self._dataset, grouped.training)


def _listed(scans: Scans) -> list[Scan]:
    if isinstance(scans, ScanDataset):
        raise DataError("A data set is given to validate on; scan files or RawData are read here. Name its scans.")
    return [scans] if isinstance(scans, RawData | str | Path) else list(scans)


def _paths_of(scans: Scans | None) -> list[Path]:
    items = [] if scans is None else _listed(scans)
    if any(isinstance(item, RawData) for item in items):
        raise DataError("A data set is made from files, and a RawData is given. Write it with to_file first.")
    return [Path(item) for item in items if not isinstance(item, RawData)]


def _read_all(scans: Scans | None, measurement: str | None) -> list[RawData]:
    read: list[RawData] = []
    for item in [] if scans is None else _listed(scans):
        if isinstance(item, RawData):
            read.append(item)
        else:
            read += [RawData.from_file(path, measurement) for path in list_sources(item)]
    return read
