"""The calls of existing scripts, one set for both backends; what they do is in `ptychopinn_backend.runs`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend import params
from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.arrays import FloatArray
from ptychopinn_backend.config import TrainingConfig, find_archive
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.counted_scan import CountedScan
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.factory import resolve_backend
from ptychopinn_backend.legacy.arguments import training_from_arguments
from ptychopinn_backend.legacy.params_bridge import update_legacy_dict
from ptychopinn_backend.runs.group_objects import predict_groups
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.results import save_reconstruction, save_training
from ptychopinn_backend.runs.stitched_groups import CentralStitching, stitched_groups
from ptychopinn_backend.runs.train import fit_to_scans, measured_photons, train_scans, train_source
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.training_data import TrainingData, group_scans, grouped_in_memory, require_made_for
from ptychopinn_backend.runs.unfinished import warn_of_newer_checkpoints
from ptychopinn_backend.seam.epoch_log import write_history
from ptychopinn_backend.seam.interface import EpochCallback
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

__all__ = [
    "create_ptycho_data_container",
    "fit_to_scans",
    "last_model",
    "load_inference_bundle",
    "measured_photons",
    "run_cdi_example",
    "save_outputs",
    "save_reconstruction",
    "save_training",
    "setup_configuration",
    "train_cdi_model",
    "train_scans",
    "train_source",
    "write_history",
]

ScanData = RawData | PtychoDataContainer | str | Path
"""A scan, its groups, or a file of it."""
_remembered: Final[dict[str, TrainedModel]] = {}
"""The last model, for scripts that keep none by a name of their own."""


def create_ptycho_data_container(data: ScanData, config: TrainingConfig) -> PtychoDataContainer:
    """Return the groups of a scan as a configuration draws them (legacy name).

    Args:
        data: the scan, or a file of it; groups are returned as they are.
        config: decides N, gridsize, how many groups there are and how they are drawn.

    Returns:
        The groups.

    Raises:
        DataError: the scan does not fit the configuration, or `data` is something else.
    """
    if isinstance(data, PtychoDataContainer):
        return data
    return grouped_in_memory([CountedScan.of(_as_scan(data))], config, _default_execution().seed)


def setup_configuration(args: Any, yaml_path: str | Path | None = None) -> TrainingConfig:
    """Join command-line arguments and a YAML file to a configuration, and write it into `params.cfg` (legacy name).

    Args:
        args: what `argparse` returns, or a mapping; attributes that are no option of model or training are left alone.
        yaml_path: option file of this package or of the original, or None.

    Returns:
        The configuration. Arguments win over the file; one that only repeats its default does not, because `argparse`
        gives every option a value, whether a user typed it or not.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: an unknown key of the file, or a value that breaks its rule.

    Warns:
        UserWarning: an argument repeats its default and the file says something else, or the file holds what is no
            option of model or training.
    """
    config = training_from_arguments(args, yaml_path)
    update_legacy_dict(params.cfg, config)
    return config


def train_cdi_model(
    train_data: ScanData,
    test_data: ScanData | None,
    config: TrainingConfig,
    *,
    execution: ExecutionConfig | None = None,
    on_epoch: EpochCallback | None = None,
    init: str | Path | None = None,
) -> dict[str, Any]:
    """Train the model of `config.backend`, and leave `params.cfg` as legacy readers expect it.

    Args:
        train_data: scan to train on, or its groups.
        test_data: scan to validate on, or its groups, or None.
        config: what to train; archive and checkpoints go to `config.output_dir`.
        execution: run-time options; None takes the defaults, with 'npseed' of `params.cfg` as the seed.
        on_epoch: called after every epoch; True stops training.
        init: archive of either backend to start from, or None.

    Returns:
        'model' (`TrainedModel`), 'history' (dict of lists), 'backend' (name), 'intensity_scale', 'train_container'
        (`PtychoDataContainer`), and 'test_container', None without test data.
    """
    update_legacy_dict(params.cfg, config)
    execution = execution or _default_execution()
    grouped = _grouped(train_data, test_data, config, execution.seed)
    model = train_source(
        grouped.training,
        config,
        execution,
        validation=grouped.validation,
        held_out=grouped.held_out,
        on_epoch=on_epoch,
        checkpoint_folder=Path(config.output_dir) / "checkpoints",
        init=init,
    )
    params.cfg["backend"] = model.backend_name
    params.cfg["intensity_scale"] = model.intensity_scale
    model.params = params.snapshot()
    _remembered.update(model=model)
    return {
        "model": model,
        "history": model.history,
        "backend": model.backend_name,
        "intensity_scale": model.intensity_scale,
        "train_container": grouped.training,
        "test_container": None if test_data is None else grouped.validation,
    }


def run_cdi_example(
    train_data: ScanData,
    test_data: ScanData | None,
    config: TrainingConfig,
    flip_x: bool = False,
    flip_y: bool = False,
    transpose: bool = False,
    M: int = 20,
    do_stitching: bool = False,
    *,
    execution: ExecutionConfig | None = None,
    on_epoch: EpochCallback | None = None,
) -> tuple[FloatArray | None, FloatArray | None, dict[str, Any]]:
    """Train, then reconstruct the test scan.

    With `do_stitching`, or with one of the four options before it, the object is stitched from the central M pixels of
    the test groups, in the frame of `reassemble_position`, and in the network's own scale. Without, a scan is
    reconstructed as `reconstruct` does it: from every pattern, in the frame of the scan, at the scale of its counts.

    Args:
        train_data: scan to train on, or its groups.
        test_data: scan to validate on and to reconstruct; None only trains. Groups are always stitched.
        config: what to train.
        flip_x: stitch with positions that run the other way along x.
        flip_y: stitch with positions that run the other way along y.
        transpose: stitch with rows and columns of every patch exchanged.
        M: side in pixels of the centre that is kept of each patch.
        do_stitching: stitch the centres of the test groups.
        execution: run-time options; None takes the defaults, with 'npseed' of `params.cfg` as the seed.
        on_epoch: called after every epoch; True stops training.

    Returns:
        Amplitude (row, column), phase (row, column) in radians, both None without a test scan; and results: those of
        `train_cdi_model`, and with a test scan 'obj_tensor_full' and 'reconstructed_obj' (the objects of the test
        groups, (group, N, N, 1)), 'pred_amp' (their far-field amplitudes (group, N, N, channel)), 'global_offsets'
        (their positions (group, 1, 2, 1)), 'recon_amp' and 'recon_phase' (as returned), and 'reconstruction'
        (`Reconstruction`).

    Raises:
        ConfigError: M is not in 1..N, or a flag is neither True nor False.

    Warns:
        UserWarning: there is no test scan to stitch.
    """
    how = CentralStitching(M, flip_x, flip_y, transpose)
    how.require_fitting(config.model.N)
    stitches = do_stitching or how != CentralStitching() or isinstance(test_data, PtychoDataContainer)
    results = train_cdi_model(train_data, test_data, config, execution=execution, on_epoch=on_epoch)
    if test_data is None:
        if stitches:
            warnings.warn(
                "test_data = None: there is no test scan to stitch, so no object is returned. Give test_data.",
                UserWarning,
                stacklevel=2,
            )
        return None, None, results
    results |= _reconstructed(results["model"], results["test_container"], None if stitches else test_data, how)
    return results["recon_amp"], results["recon_phase"], results


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


def load_inference_bundle(
    model_path: str | Path, backend: str | None = None, execution: ExecutionConfig | None = None
) -> tuple[TrainedModel, dict[str, Any]]:
    """Open an archive for inference and restore `params.cfg` from it.

    Args:
        model_path: the archive, a folder that holds `wts.h5.zip`, the archive's path without '.zip', or
            'runs:/<id>', the run of MLflow that logged it.
        backend: backend to compute with; None follows `PTYCHOPINN_BACKEND`, then the archive.
        execution: run-time options.

    Returns:
        The model, whose `predict([X * intensity_scale, local_offsets])` gives the objects of groups, and the restored
        legacy parameters.

    Warns:
        UserWarning: a later training in the same folder did not come to its end.
    """
    content = read_archive(model_path)
    warn_of_newer_checkpoints(find_archive(Path(model_path)))
    name = resolve_backend(explicit=backend, archive=content.opens_with or content.backend)
    model = TrainedModel.from_content(content, name, execution)
    params.restore(content.params)
    _remembered.update(model=model)
    return model, params.snapshot()


def last_model() -> TrainedModel:
    """Return the model that `train_cdi_model`, `run_cdi_example` or `load_inference_bundle` made last.

    Returns:
        The model.

    Raises:
        ConfigError: there is none in this process.
    """
    if "model" not in _remembered:
        raise ConfigError("No model was trained or loaded in this process. Train one, or give the model that is meant.")
    return _remembered["model"]


def _reconstructed(
    model: TrainedModel, test: PtychoDataContainer, scan: ScanData | None, how: CentralStitching
) -> dict[str, Any]:
    """Return what is known of the test scan; without a scan its groups are stitched."""
    predicted = predict_groups(model.backend, test, model.inference_batch())
    made = stitched_groups(model, test, predicted.objects, how) if scan is None else reconstruct(model, _as_scan(scan))
    return {
        "reconstruction": made,
        "reconstructed_obj": predicted.objects,
        "obj_tensor_full": predicted.objects,
        "pred_amp": predicted.amplitudes,
        "global_offsets": test.global_offsets,
        "recon_amp": np.abs(made.object),
        "recon_phase": np.angle(made.object),
    }


def _as_scan(data: ScanData) -> RawData:
    if isinstance(data, RawData):
        return data
    if isinstance(data, str | Path):
        return RawData.from_file(data)
    raise DataError(
        f"Scan data of type {type(data).__name__} cannot be used here. Give a RawData, a PtychoDataContainer, or the "
        "path of a scan file."
    )


def _default_execution() -> ExecutionConfig:
    return ExecutionConfig(seed=params.get("npseed", ExecutionConfig.seed))


def _grouped(train: ScanData, test: ScanData | None, config: TrainingConfig, seed: int) -> TrainingData:
    """Return what a training sees, of scans that are grouped here or were grouped by the caller."""
    config = replace(config, n_images=None)
    for data in (train, test):
        if isinstance(data, PtychoDataContainer):
            require_made_for(data, config.model)
    if not isinstance(train, PtychoDataContainer) and not isinstance(test, PtychoDataContainer):
        return group_scans([_as_scan(train)], [] if test is None else [_as_scan(test)], config, seed)
    if test is None:
        validation = None
    elif isinstance(test, PtychoDataContainer):
        validation = test
    else:
        validation = grouped_in_memory([CountedScan.of(_as_scan(test))], config, seed + 1)
    if not isinstance(train, PtychoDataContainer):
        whole = group_scans([_as_scan(train)], [], replace(config, validation_fraction=0.0), seed)
        return whole._replace(validation=validation)
    training, kept = (train, validation) if validation is not None else train.split(config.validation_fraction, seed)
    return TrainingData(training, kept, float("nan"))
