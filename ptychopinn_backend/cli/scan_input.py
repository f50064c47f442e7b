"""The scans a command trains on: in memory, or on disk where they are large or the user says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import click

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.data.dataset import ScanDataset, open_dataset
from ptychopinn_backend.data.dataset.sources import ScanFile, exceeds_memory_part, list_sources, read_scan_file
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.training_data import (
    TrainingData,
    fit_to_data,
    fit_to_dataset,
    group_scans,
    group_scans_on_disk,
)
from ptychopinn_backend.workflows import fit_to_scans

DATASET_NAME = "dataset"


class ScanInput(Protocol):
    """Scans before they are grouped."""

    @property
    def sizes(self) -> Sequence[RawData | ScanFile | ScanDataset]:
        """What tells the number of patterns, one a scan or one for all."""

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Options that are decided already."""

    def prepare(
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Path | None
    ) -> tuple[TrainingConfig, TrainingData]:
        """Fit a configuration to the scans and group them.

        Args:
            config: the configuration.
            seed: of the run.
            given: names of the options the user gave.
            validation: scan to validate on, or None.

        Returns:
            The configuration to train with, and the groups.
        """


def scan_input(scans: Sequence[Path], dataset: Path | None, output: Path, measurement: str | None) -> ScanInput:
    """Decide how scans are held.

    Args:
        scans: files and folders; none takes the data set as it is.
        dataset: folder of a data set, or None.
        output: folder of the results, where a data set is made when the scans are large and no folder is named.
        measurement: 'counts', 'amplitudes' or None.

    Returns:
        The scans.

    Raises:
        click.UsageError: neither scans nor a data set.
        DataError: a file or the data set cannot be used.
    """
    if not scans:
        if dataset is None:
            raise click.UsageError("No SCANS were given. Name scan files or folders, or a data set with --dataset.")
        return _WholeDataset(open_dataset(dataset), measurement)
    if dataset is not None or exceeds_memory_part(scans):
        return _OnDisk(scans, dataset or output / DATASET_NAME, measurement)
    return _InMemory(scans, measurement)


class _InMemory:
    def __init__(self, scans: Sequence[Path], measurement: str | None) -> None:
        self.sizes = [RawData.from_file(path, measurement) for path in list_sources(scans)]
        self.fixed: dict[str, Any] = {}
        self._measurement = measurement

    def prepare(
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Path | None
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
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Path | None
    ) -> tuple[TrainingConfig, TrainingData]:
        config = fit_to_data(config, self.sizes[0].N, None, given)
        data = group_scans_on_disk(
            [scan.path for scan in self.sizes],
            self._folder,
            config,
            seed,
            validation=[] if validation is None else [validation],
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
        self, config: TrainingConfig, seed: int, given: Set[str], validation: Path | None
    ) -> tuple[TrainingConfig, TrainingData]:
        config = fit_to_dataset(config, self._dataset, given)
        if validation is None:
            return config, TrainingData(*self._dataset.split(config.validation_fraction, seed))
        held_out = _read_all(validation, self._measurement)
        whole = replace(config, validation_fraction=0.0)
        grouped = group_scans(held_out, [], whole, seed + 1, every_point="n_groups" not in given)
        return config, TrainingData(self._dataset, grouped.training)


def _read_all(validation: Path | None, measurement: str | None) -> list[RawData]:
    return [] if validation is None else [RawData.from_file(path, measurement) for path in list_sources(validation)]
