"""Groups of scans for training and validation, in memory or on disk."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.counted_scan import CountedScan, mean_photons
from ptychopinn_backend.data.dataset import DatasetOptions, ScanDataset, create_dataset
from ptychopinn_backend.data.dataset.sources import Sources
from ptychopinn_backend.data.pattern_size import require_network_size
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.physics.probe import normalised_for
from ptychopinn_backend.runs.held_out_groups import HeldOut, without_held_out


class TrainingData(NamedTuple):
    """Data of a training, and the patterns that it does not see."""

    training: GroupSource
    """Groups to train on."""
    validation: GroupSource | None
    """Groups to validate on, or None."""
    mean_photons: float
    """Mean photon count per pattern, over the scans to train on."""
    held_out: tuple[HeldOut, ...] = ()
    """Held-out patterns that judge the training, for each scan that has any."""


def group_scans(
    scans: Sequence[RawData | CountedScan],
    validation: Sequence[RawData],
    config: TrainingConfig,
    seed: int,
    *,
    every_point: bool = False,
) -> TrainingData:
    """Group scans in memory.

    Args:
        scans: scans to train on; each gives `config.n_groups` groups.
        validation: scans to validate on; if there are none, a part of the groups is kept for it.
        config: training options.
        seed: seed of the run.
        every_point: True takes one group for each point of every scan.

    Returns:
        The groups to train on and to validate on.

    Raises:
        DataError: there is no scan, or a scan does not fit the configuration.
    """
    if not scans:
        raise DataError("No scan was given to train on. Give at least one.")
    counted = _counted(scans)
    parted = [scan.parted(config.held_out_fraction) for scan in counted]
    judges = tuple(HeldOut(scan.raw, rows) for scan, (_, rows) in zip(counted, parted, strict=True) if len(rows))
    training = grouped_in_memory([kept for kept, _ in parted], config, seed, every_point)
    held_out = grouped_in_memory(_counted(validation), config, seed + 1, every_point) if validation else None
    if held_out is None:
        training, held_out = training.split(config.validation_fraction, seed)
    return TrainingData(training, held_out, mean_photons(counted), judges)


def group_scans_on_disk(
    sources: Sources,
    folder: Path,
    config: TrainingConfig,
    seed: int,
    *,
    validation: Sources = (),
    every_point: bool = False,
    reading: Reading = ASK_THE_FILE,
) -> TrainingData:
    """Group scans that stay on disk. The groups are those of `group_scans` if no pattern is held out.

    The groups are drawn when the data set is made. A training therefore leaves out the groups with a held-out pattern.

    Args:
        sources: scan files and folders to train on.
        folder: folder of the data set; it is made if it is missing. A data set for `validation` lies beside it.
        config: training options.
        seed: seed of the run.
        validation: scan files to validate on; if there are none, a part of the groups is kept for it.
        every_point: True takes one group for each point of every scan.
        reading: what the user states about the files.

    Returns:
        The groups; `training` is a `ScanDataset`, or part of one.

    Raises:
        DataError: there is no scan, or a scan does not fit the configuration.
    """

    def options(seed: int) -> DatasetOptions:
        return DatasetOptions.from_training(config, seed, every_point=every_point, reading=reading)

    whole = create_dataset(sources, folder, config.model, options(seed))
    dataset, judges = without_held_out(whole, config.held_out_fraction)
    if not isinstance(validation, Sequence) or len(validation) > 0:
        beside = folder.with_name(f"{folder.name}-validation")
        held_out = create_dataset(validation, beside, config.model, options(seed + 1))
        return TrainingData(dataset, held_out, whole.mean_photons, judges)
    return TrainingData(*dataset.split(config.validation_fraction, seed), whole.mean_photons, judges)


def require_made_for(groups: PtychoDataContainer, model: ModelConfig) -> None:
    """Raise unless the probes of groups are normalised as a model needs them; a data set may have its own scale.

    Args:
        groups: groups that were made for this model or for another.
        model: configuration of the network; it gives the generator and probe_scale.

    Raises:
        DataError: the probes have another scale.
    """
    for scan in () if isinstance(groups, ScanDataset) else groups.scans:
        ratio = float(np.linalg.norm(normalised_for(model, scan.probe)) / np.linalg.norm(scan.probe))
        if not np.isclose(ratio, 1, rtol=1e-3):
            raise DataError(
                f"The probe of the groups would have to be {ratio:.4g} times as large for this model (architecture = "
                f"'{model.architecture}', probe_scale = {model.probe_scale:g}): the groups were made for another one. "
                "Group the scan with this configuration, or call update_legacy_dict(params.cfg, config) before."
            )


def fit_to_data(config: TrainingConfig, N: int, photons: float | None, given: Set[str]) -> TrainingConfig:
    """Set the options that the user left open: pattern size, dose, and enough neighbours for a group.

    Args:
        config: training options.
        N: pattern side in pixels.
        photons: measured mean photon count of a pattern; None leaves the dose as it is.
        given: names of the fields that the user set; these stay as they are.

    Returns:
        The training options in force.
    """
    if "N" not in given:
        require_network_size(N)
    model = config.model if "N" in given else replace(config.model, N=N)
    changes: dict[str, Any] = {"model": model}
    if "nphotons" not in given and photons is not None:
        changes["nphotons"] = photons
    if "neighbor_count" not in given:
        changes["neighbor_count"] = max(config.neighbor_count, model.channels)
    return replace(config, n_images=None, **changes)


def with_length_of_epochs(config: TrainingConfig, n_groups: int) -> TrainingConfig:
    """Return training options with the length of an epoch in force.

    Split photons give each group several forms. An epoch still visits as many groups as there are, not all forms.

    Args:
        config: training options.
        n_groups: number of groups to train on.

    Returns:
        The same options; if photons are split, `groups_per_epoch` is a number.
    """
    if config.target_photon_fraction == 0 or config.groups_per_epoch is not None:
        return config
    return replace(config, groups_per_epoch=n_groups)


def _counted(scans: Sequence[RawData | CountedScan]) -> list[CountedScan]:
    return [scan if isinstance(scan, CountedScan) else CountedScan.of(scan) for scan in scans]


def grouped_in_memory(
    scans: Sequence[CountedScan], config: TrainingConfig, seed: int, every_point: bool = False
) -> PtychoDataContainer:
    """Group scans in memory, without keeping any group for validation.

    Args:
        scans: at least one scan.
        config: training options, which say how many groups are drawn, and how.
        seed: seed of the run.
        every_point: True takes one group for each point of every scan.

    Returns:
        The groups of all scans.

    Raises:
        DataError: a scan does not fit the configuration.
    """
    options = DatasetOptions.from_training(config, seed, every_point=every_point)
    containers = []
    for scan in scans:
        if config.n_subsample is not None:
            scan = scan.subsample(config.n_subsample, config.subsample_seed)
        containers.append(
            PtychoDataContainer.from_counted_scan(scan, config.model, options.grouping, with_labels=options.with_labels)
        )
    return containers[0] if len(containers) == 1 else PtychoDataContainer.concatenate(containers)
