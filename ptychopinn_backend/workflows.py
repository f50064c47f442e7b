"""The calls of existing scripts, one set for both backends; what they do is in `ptychopinn_backend.runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend import params
from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.arrays import FloatArray
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.factory import resolve_backend
from ptychopinn_backend.legacy.params_bridge import update_legacy_dict
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.results import save_reconstruction, save_training
from ptychopinn_backend.runs.train import fit_to_scans, measured_photons, train_scans, train_source
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.epoch_log import write_history
from ptychopinn_backend.seam.interface import EpochCallback
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

__all__ = [
    "fit_to_scans",
    "load_inference_bundle",
    "measured_photons",
    "run_cdi_example",
    "save_outputs",
    "save_reconstruction",
    "save_training",
    "train_cdi_model",
    "train_scans",
    "train_source",
    "write_history",
]


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
