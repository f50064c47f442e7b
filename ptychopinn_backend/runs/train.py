"""Training on scans, or on groups that are drawn already, in the same way for both backends."""

from __future__ import annotations

import logging
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.counted_scan import CountedScan, mean_photons
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import default_intensity_scale
from ptychopinn_backend.data.thinning import ThinnedGroups
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.factory import create_backend, resolve_backend
from ptychopinn_backend.files.training_lock import training_lock
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.runs.best_archive import BestArchive
from ptychopinn_backend.runs.free_fit import FreeFitJudge
from ptychopinn_backend.runs.freed_memory import freed_memory_kept
from ptychopinn_backend.runs.held_out_groups import HeldOut
from ptychopinn_backend.runs.logged_model import LoggedModel
from ptychopinn_backend.runs.reconstruction_log import ReconstructionLog, picture_log
from ptychopinn_backend.runs.trained_model import TrainedModel, legacy_snapshot
from ptychopinn_backend.runs.training_data import fit_to_data, group_scans, with_length_of_epochs
from ptychopinn_backend.runs.unfinished import (
    note_epochs,
    require_resumable,
    set_unfinished_aside,
    warn_of_nothing_to_train,
)
from ptychopinn_backend.runs.warm_start import StartArchive, start_from
from ptychopinn_backend.seam.interface import Backend, BackendSetup, EpochCallback, EpochReport, TrainingResult
from ptychopinn_backend.seam.process_rank import is_distributed, is_first_process
from ptychopinn_backend.seam.training_run import BestEpoch, loss_keys

logger = logging.getLogger(__name__)


def measured_photons(scans: Sequence[RawData]) -> float:
    """Return the mean photon count of a pattern over several scans."""
    return mean_photons([CountedScan.of(scan) for scan in scans])


def fit_to_scans(config: TrainingConfig, scans: Sequence[RawData], given: Set[str]) -> TrainingConfig:
    """Set the options that the user left open from the scans: pattern size, dose, and enough neighbours for a group.

    Args:
        config: training options.
        scans: scans to train on.
        given: names of the fields that the user set; these stay as they are.

    Returns:
        The training options in force.
    """
    return fit_to_data(config, scans[0].N, measured_photons(scans), given)


def train_scans(
    scans: Sequence[RawData],
    config: TrainingConfig,
    execution: ExecutionConfig | None = None,
    *,
    validation: Sequence[RawData] = (),
    backend: str | None = None,
    every_point: bool = False,
    on_epoch: EpochCallback | None = None,
    checkpoint_folder: Path | None = None,
    best_archive: Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
) -> TrainedModel:
    """Train a model on one or several scans; `params.cfg` stays unchanged.

    Args:
        scans: scans to train on; each gives `config.n_groups` groups.
        config: training options.
        execution: run-time options; None takes the defaults.
        validation: scans to validate on; if there are none, `config.validation_fraction` of the groups is kept for it.
        backend: 'tensorflow' or 'pytorch'; None follows `PTYCHOPINN_BACKEND`, then `config.backend`.
        every_point: True takes one group for each point of every scan, whatever `config.n_groups` says.
        on_epoch: called after every epoch; True stops the training.
        checkpoint_folder: folder for the best and the last state, for one training at a time; None writes no state.
        best_archive: file that holds a usable archive of the best weights from the first epoch on, in case the process
            is killed; None writes none.
        resume: True continues from the last state in `checkpoint_folder`.
        init: archive of either backend to start from; see `warm_start.start_from`. A resumed state replaces it.

    Returns:
        The trained model with the best weights of the training.

    Raises:
        ConfigError: an option does not apply.
        DataError: the scans do not fit the configuration.
        TrainingError: the training cannot continue, or another training holds the folder.
    """
    execution = execution or ExecutionConfig()
    sources = group_scans(scans, validation, replace(config, n_images=None), execution.seed, every_point=every_point)
    return train_source(
        sources.training,
        config,
        execution,
        validation=sources.validation,
        held_out=sources.held_out,
        backend=backend,
        on_epoch=on_epoch,
        checkpoint_folder=checkpoint_folder,
        best_archive=best_archive,
        resume=resume,
        init=init,
    )


def train_source(
    training: GroupSource,
    config: TrainingConfig,
    execution: ExecutionConfig | None = None,
    *,
    validation: GroupSource | None = None,
    held_out: Sequence[HeldOut] = (),
    backend: str | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint_folder: Path | None = None,
    best_archive: Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
) -> TrainedModel:
    """Train a model on groups that are drawn already, in memory or on disk; `params.cfg` stays unchanged.

    Args:
        training: groups to train on, for example a `ScanDataset`.
        config: training options; options for drawing groups have no effect here.
        execution: run-time options; None takes the defaults.
        validation: groups to validate on, or None.
        held_out: patterns that judge the training; see `free_fit.FreeFitJudge`.
        backend: 'tensorflow' or 'pytorch'; None follows `PTYCHOPINN_BACKEND`, then `config.backend`.
        on_epoch: called after every epoch; True stops the training.
        checkpoint_folder: as for `train_scans`.
        best_archive: as for `train_scans`.
        resume: True continues from the last state in `checkpoint_folder`.
        init: archive of either backend to start from; see `warm_start.start_from`. A resumed state replaces it.

    Returns:
        The trained model with the best weights of the training.

    Raises:
        ConfigError: an option does not apply.
        DataError: the groups do not fit the configuration.
        TrainingError: the training cannot continue, or another training holds the folder.
    """
    name = resolve_backend(explicit=backend, setting=config.backend, to_train=True)
    execution = execution or ExecutionConfig()
    with training_lock(checkpoint_folder if is_first_process(execution) else None):
        return train_locked(
            training,
            validation,
            with_length_of_epochs(replace(config, backend=name, n_images=None), training.n_groups),
            execution,
            on_epoch=on_epoch,
            checkpoint_folder=checkpoint_folder,
            best_archive=best_archive,
            resume=resume,
            start=None if init is None else StartArchive.read(init),
            held_out=held_out,
        )


def train_locked(
    training: GroupSource,
    validation: GroupSource | None,
    config: TrainingConfig,
    execution: ExecutionConfig,
    *,
    on_epoch: EpochCallback | None = None,
    checkpoint_folder: Path | None = None,
    best_archive: Path | None = None,
    log_folder: Path | None = None,
    resume: bool = False,
    start: StartArchive | None = None,
    held_out: Sequence[HeldOut] = (),
) -> TrainedModel:
    """Do the same as `train_source` in a folder whose lock the caller holds.

    Args:
        training: groups to train on.
        validation: groups to validate on, or None.
        config: training options, with the backend and the length of an epoch in force.
        execution: run-time options.
        on_epoch: called after every epoch; True stops the training.
        checkpoint_folder: folder for the best and the last state; None writes no state.
        best_archive: file for the best weights so far; None writes none.
        log_folder: folder for the history and the pictures of the run; None takes `checkpoint_folder`.
        resume: True continues from the last state in `checkpoint_folder`.
        start: archive to start from, or None.
        held_out: patterns that judge the training.

    Returns:
        The trained model.
    """
    if resume:
        require_resumable(checkpoint_folder, config.backend, None if start is None else start.path)
    if config.target_photon_fraction > 0:
        training = _with_split_photons(training, config.target_photon_fraction, execution.seed)
    computing = untrained_backend(training, config, execution, log_folder)
    logger.info("Training %s on %d groups of %d scan(s).", config.backend, training.n_groups, len(training.probes))
    if start is not None:
        start_from(computing, start)
    snapshot = legacy_snapshot(config, computing.setup.intensity_scale)
    model = TrainedModel(computing, {}, snapshot, config.backend, execution.seed, training.probes)
    on_epoch = _with_best_archive(model, best_archive, validation, on_epoch)
    logs = log_folder or checkpoint_folder
    logged = LoggedModel(model, logs, _with_pictures(model, training, logs, on_epoch))
    judge = FreeFitJudge(model, held_out, logged)
    # The other processes of a training must not wait for the one that judges.
    on_epoch = judge if held_out and not is_distributed(execution) else logged
    ours = checkpoint_folder if is_first_process(execution) else None
    told = _Told(on_epoch, ours, keeps=execution.enable_checkpointing)
    if not resume:
        told.set_aside()
    with freed_memory_kept():
        result = computing.fit(training, validation, on_epoch=told, checkpoint_folder=checkpoint_folder, resume=resume)
    done = told.close(result, config.total_epochs)
    judge.keep_best()
    model.history = result.history | judge.history(done)
    logged.keep_model()
    return model


def untrained_backend(
    training: GroupSource, config: TrainingConfig, execution: ExecutionConfig, log_folder: Path | None = None
) -> Backend:
    """Return a backend that is ready to train.

    Args:
        training: groups to train on; they give the probes.
        config: training options, with the backend in force.
        execution: run-time options.
        log_folder: folder for the history and the pictures of the run; None takes the folder of checkpoints.

    Returns:
        The backend with its starting weights.
    """
    scale = default_intensity_scale(config.nphotons, config.model.N)
    setup = BackendSetup(config.model, config, execution, scale, training.probes, log_folder)
    return create_backend(config.backend, setup)


class _Told:
    """Passes epochs on, counts them, and notes beside the checkpoints how far the training came."""

    def __init__(self, on_epoch: EpochCallback | None, folder: Path | None, *, keeps: bool) -> None:
        self._on_epoch, self._folder, self._keeps = on_epoch, folder, keeps
        self._epochs = 0

    def set_aside(self) -> None:
        if self._folder is not None and self._keeps:
            set_unfinished_aside(self._folder)

    def __call__(self, report: EpochReport) -> bool | None:
        self._epochs += 1
        if self._folder is not None and self._keeps:
            note_epochs(self._folder, report.epoch, report.n_epochs)
        return None if self._on_epoch is None else self._on_epoch(report)

    def close(self, result: TrainingResult, n_epochs: int) -> int:
        """Note why the training ended, and return the number of its epochs."""
        done = len(result.history.get("loss", ()))
        logger.info("Training ended after %d epochs: %s.", done, result.stop_reason)
        if self._folder is not None and self._keeps:
            note_epochs(self._folder, done, n_epochs, result.stop_reason)
        if self._folder is not None and self._epochs == 0:
            warn_of_nothing_to_train(self._folder, n_epochs, done, result.stop_reason)
        return done


def _with_best_archive(
    model: TrainedModel, path: Path | None, validation: GroupSource | None, on_epoch: EpochCallback | None
) -> EpochCallback | None:
    if path is None:
        return on_epoch
    keys = loss_keys(model.training, validated=validation is not None)
    best = BestEpoch(model.training, model.backend.setup.execution, keys)
    return BestArchive(replace(model), path, best, on_epoch)


def _with_pictures(
    model: TrainedModel, training: GroupSource, folder: Path | None, on_epoch: EpochCallback | None
) -> EpochCallback | None:
    execution = model.backend.setup.execution
    if execution.recon_log_every_n_epochs is None:
        return on_epoch
    return ReconstructionLog(model.backend, training, picture_log(execution, folder), on_epoch)


def _with_split_photons(training: GroupSource, target_fraction: float, seed: int) -> GroupSource:
    """Return groups that split their photons anew at each visit."""
    factors = getattr(training, "intensity_counts_factors", None)
    if factors is None:
        raise ConfigError(
            f"target_photon_fraction = {target_fraction} splits measured counts, and these groups are not measured. "
            "Set it to 0."
        )
    return ThinnedGroups(training, factors, target_fraction=target_fraction, seed=seed)
