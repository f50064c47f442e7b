"""Training and reconstruction as scripts and the command line use them, one set for both backends."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend import params
from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.arrays import Complex64Array, FloatArray
from ptychopinn_backend.atomic_file import atomic_file
from ptychopinn_backend.config import ARCHIVE_NAME, TrainingConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import default_intensity_scale
from ptychopinn_backend.data.source import GroupSource
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.execution import ExecutionConfig
from ptychopinn_backend.factory import create_backend, resolve_backend
from ptychopinn_backend.freed_memory import freed_memory_kept
from ptychopinn_backend.interface import BackendSetup, EpochCallback
from ptychopinn_backend.params_bridge import update_legacy_dict
from ptychopinn_backend.process_rank import is_first_process
from ptychopinn_backend.reconstruct import reconstruct
from ptychopinn_backend.reconstruction_file import Reconstruction
from ptychopinn_backend.reconstruction_log import ReconstructionLog, picture_log
from ptychopinn_backend.trained_model import BestArchive, TrainedModel, legacy_snapshot
from ptychopinn_backend.training_data import fit_to_data, group_scans
from ptychopinn_backend.training_lock import training_lock
from ptychopinn_backend.training_run import BestEpoch, loss_keys
from ptychopinn_backend.warm_start import start_from

logger = logging.getLogger(__name__)


def measured_photons(scans: Sequence[RawData]) -> float:
    """Return the mean photon count of a pattern over several scans."""
    return float(np.average([scan.mean_photons for scan in scans], weights=[scan.n_patterns for scan in scans]))


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
    """Train a model on one or several scans; `params.cfg` is not touched.

    Args:
        scans: scans to train on; each contributes `config.n_groups` groups.
        config: what to train.
        execution: run-time options; None takes the defaults.
        validation: scans to validate on; without any, `config.validation_fraction` of the groups is kept for it.
        backend: 'tensorflow' or 'pytorch'; None follows `PTYCHOPINN_BACKEND`, then `config.backend`.
        every_point: every scan contributes one group for each of its points, whatever `config.n_groups` says.
        on_epoch: called after every epoch; True stops training.
        checkpoint_folder: where the best and the last state are written, by one training at a time; None writes none.
        best_archive: file that holds, from the first epoch on, a loadable archive of the best weights so far, for the
            case that the process is ended from outside; None writes none.
        resume: go on from the last state in that folder.
        init: archive of either backend to start from; see `warm_start.start_from`. A resumed state wins over it.

    Returns:
        The trained model, holding the best weights seen.

    Raises:
        ConfigError: an option that does not apply.
        DataError: scans that do not fit the configuration.
        TrainingError: training cannot go on, or another one holds the folder.
    """
    name = resolve_backend(explicit=backend, setting=config.backend)
    config = replace(config, backend=name, n_images=None)
    execution = execution or ExecutionConfig()
    sources = group_scans(scans, validation, config, execution.seed, every_point=every_point)
    return train_source(
        sources.training,
        config,
        execution,
        validation=sources.validation,
        backend=name,
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
    backend: str | None = None,
    on_epoch: EpochCallback | None = None,
    checkpoint_folder: Path | None = None,
    best_archive: Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
) -> TrainedModel:
    """Train a model on groups that are drawn already, in memory or on disk; `params.cfg` is not touched.

    Args:
        training: groups to train on, for example a `ScanDataset`.
        config: what to train; options that say how groups are drawn have no effect here.
        execution: run-time options; None takes the defaults.
        validation: groups to validate on, or None.
        backend: 'tensorflow' or 'pytorch'; None follows `PTYCHOPINN_BACKEND`, then `config.backend`.
        on_epoch: called after every epoch; True stops training.
        checkpoint_folder: as for `train_scans`.
        best_archive: as for `train_scans`.
        resume: go on from the last state in that folder.
        init: archive of either backend to start from; see `warm_start.start_from`. A resumed state wins over it.

    Returns:
        The trained model, holding the best weights seen.

    Raises:
        ConfigError: an option that does not apply.
        DataError: groups that do not fit the configuration.
        TrainingError: training cannot go on, or another one holds the folder.
    """
    name = resolve_backend(explicit=backend, setting=config.backend)
    config = replace(config, backend=name, n_images=None)
    execution = execution or ExecutionConfig()
    with training_lock(checkpoint_folder if is_first_process(execution) else None):
        intensity_scale = default_intensity_scale(config.nphotons, config.model.N)
        setup = BackendSetup(config.model, config, execution, intensity_scale, training.probes)
        computing = create_backend(name, setup)
        logger.info("Training %s on %d groups of %d scan(s).", name, training.n_groups, len(training.probes))
        snapshot = legacy_snapshot(config, setup.intensity_scale)
        if init is not None:
            start_from(computing, init)
        if best_archive is not None:
            best = BestEpoch(config, execution, loss_keys(config, validated=validation is not None))
            on_epoch = BestArchive(TrainedModel(computing, {}, snapshot, name), best_archive, best, on_epoch)
        if execution.recon_log_every_n_epochs is not None:
            on_epoch = ReconstructionLog(computing, training, picture_log(execution, checkpoint_folder), on_epoch)
        with freed_memory_kept():
            result = computing.fit(
                training, validation, on_epoch=on_epoch, checkpoint_folder=checkpoint_folder, resume=resume
            )
        logger.info("Training ended after %d epochs: %s.", len(result.history.get("loss", ())), result.stop_reason)
    return TrainedModel(computing, result.history, snapshot, trained_by=name)


def _as_scan(data: RawData | PtychoDataContainer | str | Path) -> RawData:
    if isinstance(data, RawData):
        return data
    if isinstance(data, str | Path):
        return RawData.from_file(data)
    raise DataError(
        f"Scan data of type {type(data).__name__} cannot be used here. Give a RawData or the path of an NPZ."
    )


def train_cdi_model(
    train_data: RawData | str | Path,
    test_data: RawData | str | Path | None,
    config: TrainingConfig,
    *,
    execution: ExecutionConfig | None = None,
    on_epoch: EpochCallback | None = None,
    init: str | Path | None = None,
) -> dict[str, Any]:
    """Train the model of `config.backend`, and leave `params.cfg` as legacy readers expect it.

    Args:
        train_data: scan to train on.
        test_data: scan to validate on, or None.
        config: what to train; archive and checkpoints go to `config.output_dir`.
        execution: run-time options.
        on_epoch: called after every epoch; True stops training.
        init: archive of either backend to start from, or None.

    Returns:
        'model' (`TrainedModel`), 'history' (dict of lists), 'backend' (name), 'intensity_scale'.
    """
    update_legacy_dict(params.cfg, config)
    model = train_scans(
        [_as_scan(train_data)],
        config,
        execution,
        validation=[_as_scan(test_data)] if test_data is not None else [],
        on_epoch=on_epoch,
        checkpoint_folder=Path(config.output_dir) / "checkpoints",
        init=init,
    )
    params.cfg["backend"] = model.backend_name
    params.cfg["intensity_scale"] = model.intensity_scale
    model.params = params.snapshot()
    return {
        "model": model,
        "history": model.history,
        "backend": model.backend_name,
        "intensity_scale": model.intensity_scale,
    }


def run_cdi_example(
    train_data: RawData | str | Path,
    test_data: RawData | str | Path | None,
    config: TrainingConfig,
    *,
    execution: ExecutionConfig | None = None,
    on_epoch: EpochCallback | None = None,
) -> tuple[FloatArray | None, FloatArray | None, dict[str, Any]]:
    """Train, then reconstruct the test scan.

    Args:
        train_data: scan to train on.
        test_data: scan to validate on and to reconstruct; None only trains.
        config: what to train.
        execution: run-time options.
        on_epoch: called after every epoch; True stops training.

    Returns:
        Amplitude (row, column), phase (row, column) in radians, both None without a test scan; and results: those of
        `train_cdi_model`, 'reconstruction' (`Reconstruction`) and 'obj_tensor_full' (the complex object).
    """
    results = train_cdi_model(train_data, test_data, config, execution=execution, on_epoch=on_epoch)
    if test_data is None:
        return None, None, results
    reconstruction = reconstruct(results["model"], _as_scan(test_data))
    results["reconstruction"] = reconstruction
    results["obj_tensor_full"] = reconstruction.object
    return np.abs(reconstruction.object), np.angle(reconstruction.object), results


def save_outputs(
    amplitude: FloatArray | None,
    phase: FloatArray | None,
    results: dict[str, Any],
    output_prefix: str | Path,
) -> list[Path]:
    """Write what `run_cdi_example` returned: archive, history, loss figure, reconstruction and its figure.

    Args:
        amplitude: (row, column), or None.
        phase: (row, column) in radians, or None.
        results: third value of `run_cdi_example`.
        output_prefix: folder to write to; made when missing.

    Returns:
        The files written.

    Raises:
        ConfigError: `results` holds neither a model nor a reconstruction.
    """
    folder = Path(output_prefix)
    written: list[Path] = []
    model = results.get("model")
    if isinstance(model, TrainedModel):
        written += save_training(model, folder)
    reconstruction = results.get("reconstruction")
    if isinstance(reconstruction, Reconstruction):
        losses = results.get("history", {}).get("loss", ())
        written += save_reconstruction(reconstruction, folder, losses=losses)
    if not written or (amplitude is None) != (phase is None):
        raise ConfigError(
            f"results holds {sorted(results)} and nothing to save. Pass on the third value of run_cdi_example."
        )
    return written


def save_training(model: TrainedModel, folder: Path) -> list[Path]:
    """Write `wts.h5.zip`, `history.csv` and the loss figure into a folder.

    Args:
        model: a trained model.
        folder: made when missing.

    Returns:
        The files written.
    """
    from ptychopinn_backend.figures import save_loss_figure

    folder.mkdir(parents=True, exist_ok=True)
    archive = model.save(folder / ARCHIVE_NAME)
    table, figure = folder / "history.csv", folder / "loss.png"
    write_history(model.history, table)
    save_loss_figure(model.history, figure)
    return [archive, table, figure]


def save_reconstruction(
    reconstruction: Reconstruction,
    folder: Path,
    *,
    truth: Complex64Array | None = None,
    losses: Sequence[float] = (),
) -> list[Path]:
    """Write `reconstruction.npz`, `reconstruction.h5` and `reconstruction.png` into a folder.

    Args:
        reconstruction: what to write.
        folder: made when missing.
        truth: (row, column) object in the frame of the scan, shown beside it where they share enough, or None.
        losses: training loss of every epoch, kept in the product.

    Returns:
        The files written.
    """
    from ptychopinn_backend.figures import save_reconstruction_figure

    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"reconstruction.{suffix}" for suffix in ("npz", "h5", "png")]
    reconstruction.save_npz(written[0])
    reconstruction.save_hdf5(written[1], losses=losses)
    try:
        save_reconstruction_figure(reconstruction, written[2], truth=truth)
    except DataError as error:
        if truth is None:
            raise
        logger.warning("The figure shows the reconstruction alone, without the truth. %s", error)
        save_reconstruction_figure(reconstruction, written[2])
    return written


def write_history(history: dict[str, list[float]], path: Path) -> None:
    """Write a history as CSV, one row an epoch.

    Args:
        history: one value an epoch for each name.
        path: the file.
    """
    names = list(history)
    epochs = max((len(values) for values in history.values()), default=0)
    with atomic_file(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *names])
        for epoch in range(epochs):
            writer.writerow(
                [epoch + 1, *(history[name][epoch] if epoch < len(history[name]) else "" for name in names)]
            )


def load_inference_bundle(
    model_path: str | Path, backend: str | None = None, execution: ExecutionConfig | None = None
) -> tuple[TrainedModel, dict[str, Any]]:
    """Open an archive for inference and restore `params.cfg` from it.

    Args:
        model_path: the archive, a folder that holds `wts.h5.zip`, or the archive's path without '.zip'.
        backend: backend to compute with; None follows `PTYCHOPINN_BACKEND`, then the archive.
        execution: run-time options.

    Returns:
        The model, and the restored legacy parameters.
    """
    content = read_archive(model_path)
    name = resolve_backend(explicit=backend, archive=content.backend)
    model = TrainedModel.from_content(content, name, execution)
    params.restore(content.params)
    return model, params.snapshot()


def fit_to_scans(config: TrainingConfig, scans: Sequence[RawData], given: Set[str]) -> TrainingConfig:
    """Fill what the user left open from the scans: pattern size, dose, and neighbours enough for a group.

    Args:
        config: the configuration.
        scans: the scans it will meet.
        given: names of the fields the user set; those are kept.

    Returns:
        The configuration to train with.
    """
    return fit_to_data(config, scans[0].N, measured_photons(scans), given)
