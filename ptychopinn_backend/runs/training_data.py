"""From scans to the groups a model trains and validates on, in memory or on disk."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.dataset import DatasetOptions, ScanDataset, create_dataset
from ptychopinn_backend.data.dataset.sources import Sources
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.losses import loss_weights


class TrainingData(NamedTuple):
    """What a training sees."""

    training: PtychoDataContainer
    """Groups to train on."""
    validation: PtychoDataContainer | None
    """Groups to validate on, or None."""


def group_scans(
    scans: Sequence[RawData],
    validation: Sequence[RawData],
    config: TrainingConfig,
    seed: int,
    *,
    every_point: bool = False,
) -> TrainingData:
    """Group scans in memory.

    Args:
        scans: scans to train on; each contributes `config.n_groups` groups.
        validation: scans to validate on; without any, a part of the groups is kept for it.
        config: what to train.
        seed: of the run.
        every_point: every scan contributes one group for each of its points.

    Returns:
        The groups.

    Raises:
        DataError: no scan, or one that does not fit the configuration.
    """
    if not scans:
        raise DataError("No scan was given to train on. Give at least one.")
    training = _in_memory(scans, config, seed, every_point)
    if validation:
        return TrainingData(training, _in_memory(validation, config, seed + 1, every_point))
    return TrainingData(*training.split(config.validation_fraction, seed))


def group_scans_on_disk(
    sources: Sources,
    folder: Path,
    config: TrainingConfig,
    seed: int,
    *,
    validation: Sources = (),
    every_point: bool = False,
    measurement: str | None = None,
) -> TrainingData:
    """Group scans that stay on disk; the groups are those of `group_scans`.

    Args:
        sources: scan files and folders to train on.
        folder: where the data set lies or is made; one for `validation` lies beside it.
        config: what to train.
        seed: of the run.
        validation: scan files to validate on; without any, a part of the groups is kept for it.
        every_point: every scan contributes one group for each of its points.
        measurement: 'counts' or 'amplitudes'; None asks each file, then looks at its values.

    Returns:
        The groups; `training` is a `ScanDataset`, or part of one.

    Raises:
        DataError: no scan, or one that does not fit the configuration.
    """

    def options(seed: int) -> DatasetOptions:
        return DatasetOptions.from_training(config, seed, every_point=every_point, measurement=measurement)

    dataset = create_dataset(sources, folder, config.model, options(seed))
    if not isinstance(validation, Sequence) or len(validation) > 0:
        beside = folder.with_name(f"{folder.name}-validation")
        return TrainingData(dataset, create_dataset(validation, beside, config.model, options(seed + 1)))
    return TrainingData(*dataset.split(config.validation_fraction, seed))


def fit_to_data(config: TrainingConfig, N: int, photons: float | None, given: Set[str]) -> TrainingConfig:
    """Fill what the user left open: pattern size, dose, and neighbours enough for a group.

    Args:
        config: the configuration.
        N: pattern side in pixels.
        photons: measured mean of a pattern; None leaves the dose as it is.
        given: names of the fields the user set; those are kept.

    Returns:
        The configuration to train with.
    """
    model = config.model if "N" in given else replace(config.model, N=N)
    changes: dict[str, Any] = {"model": model}
    if "nphotons" not in given and photons is not None:
        changes["nphotons"] = photons
    if "neighbor_count" not in given:
        changes["neighbor_count"] = max(config.neighbor_count, model.channels)
    return replace(config, n_images=None, **changes)


def fit_to_dataset(config: TrainingConfig, dataset: ScanDataset, given: Set[str]) -> TrainingConfig:
    """Fill what the user left open from a data set: pattern and group size, and dose.

    Args:
        config: the configuration.
        dataset: what is trained on; its groups are drawn already.
        given: names of the fields the user set; those are kept.

    Returns:
        The configuration to train with.
    """
    gridsize = config.model.gridsize if "gridsize" in given else round(dataset.channels**0.5)
    fitted = replace(config, model=replace(config.model, gridsize=gridsize))
    return fit_to_data(fitted, dataset.N, dataset.mean_photons, given)


def _in_memory(scans: Sequence[RawData], config: TrainingConfig, seed: int, every_point: bool) -> PtychoDataContainer:
    with_labels = loss_weights(config).needs_labels
    containers = []
    for scan in scans:
        if config.n_subsample is not None and config.n_subsample < scan.n_patterns:
            scan = scan.subsample(config.n_subsample, config.subsample_seed)
        containers.append(
            PtychoDataContainer.from_raw_data(
                scan,
                config.model,
                n_groups=None if every_point else config.n_groups,
                neighbor_count=config.neighbor_count,
                seed=seed if config.subsample_seed is None else config.subsample_seed,
                sequential_sampling=config.sequential_sampling,
                enable_oversampling=config.enable_oversampling,
                neighbor_pool_size=config.neighbor_pool_size,
                with_labels=with_labels,
            )
        )
    return containers[0] if len(containers) == 1 else PtychoDataContainer.concatenate(containers)
