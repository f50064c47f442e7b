"""Names of existing scripts that have another name here; each says in one line what it is now."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend import params
from ptychopinn_backend.arrays import AnyArray, Complex64Array, FloatArray
from ptychopinn_backend.calls.loader import container_of
from ptychopinn_backend.config import ARCHIVE_NAME, ModelConfig, TrainingConfig
from ptychopinn_backend.config.checks import require_non_negative_integer, require_positive, require_positive_integer
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.dataset import DatasetOptions, ScanDataset, create_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.params_bridge import update_legacy_dict
from ptychopinn_backend.physics.probe import normalised_for
from ptychopinn_backend.runs.reconstruct import predict, reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.seam.schedule import rate_for_processes
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction
from ptychopinn_backend.workflows import (
    ScanData,
    last_model,
    load_inference_bundle,
    run_cdi_example,
    train_cdi_model,
)

_OBJECT_MODEL: Final = "diffraction_to_obj"


def RawDataTorch(
    xcoords: AnyArray,
    ycoords: AnyArray,
    diff3d: AnyArray,
    probeGuess: AnyArray | None = None,
    scan_index: AnyArray | None = None,
    objectGuess: AnyArray | None = None,
    config: TrainingConfig | None = None,
) -> RawData:
    """Return `RawData.from_coords_without_pc` of the arrays; a configuration goes into `params.cfg`."""
    if config is not None:
        update_legacy_dict(params.cfg, config)
    return RawData.from_coords_without_pc(xcoords, ycoords, diff3d, probeGuess, scan_index, objectGuess)


def PtychoDataContainerTorch(grouped: Mapping[str, Any], probe: AnyArray) -> PtychoDataContainer:
    """Return `PtychoDataContainer.from_grouped_data`: the groups, for either backend."""
    return container_of(grouped, probe)


def load_raw_npz(path: str | Path) -> RawData:
    """Return `RawData.from_file`: the scan of a file."""
    return RawData.from_file(path)


def group_raw_npz(data: RawData | str | Path, **grouping: Any) -> dict[str, Any]:
    """Return `RawData.generate_grouped_data` with the scan's own N: the groups of a scan or of a file."""
    raw = data if isinstance(data, RawData) else RawData.from_file(data)
    return raw.generate_grouped_data(**{"N": raw.N, **grouping})


def MemmapDatasetBridge(npz_path: str | Path, config: TrainingConfig, memmap_dir: str | Path) -> ScanDataset:
    """Return `create_dataset`: a data set on disk that is made of a scan, or is there already."""
    options = DatasetOptions.from_training(config, params.get("npseed", 42))
    return create_dataset(npz_path, memmap_dir, config.model, options)


def set_probe_guess(X_train: object = None, probe_guess: AnyArray | None = None) -> Complex64Array:
    """Write the normalised probe into `params.cfg`; scans carry the probe that is computed with."""
    if probe_guess is None:
        raise ConfigError(
            "probe_guess = None: no probe is made up from patterns here. Give one, or let 'ptychopinn calibrate "
            "--probe none' find it."
        )
    del X_train
    N = np.shape(probe_guess)[-1]
    model = ModelConfig(N=N, probe_scale=params.get("probe_scale", ModelConfig.probe_scale))
    params.cfg["probe"] = normalised_for(model, probe_guess)
    return np.asarray(params.cfg["probe"], np.complex64)


def set_seed(seed: int) -> None:
    """Set 'npseed' of `params.cfg`, the seed of trainings without execution options, and seed Python and NumPy."""
    require_non_negative_integer("seed", seed)
    params.set("npseed", seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - scripts draw from the global generator


def find_learning_rate(base_lr: float, n_devices: int = 1, batch_size_per_gpu: int | None = None) -> float:
    """Return `base_lr` times the root of the number of devices; the batch of one device cancels out of it."""
    require_positive("base_lr", base_lr)
    require_positive_integer("n_devices", n_devices)
    if batch_size_per_gpu is not None:
        require_positive_integer("batch_size_per_gpu", batch_size_per_gpu)
    return rate_for_processes(base_lr, n_devices)


def run_cdi_example_torch(
    train_data: ScanData, test_data: ScanData | None, config: TrainingConfig, *flags: Any, **options: Any
) -> tuple[FloatArray | None, FloatArray | None, dict[str, Any]]:
    """Return `run_cdi_example` with the backend 'pytorch'."""
    return run_cdi_example(train_data, test_data, replace(config, backend="pytorch"), *flags, **options)


def train_cdi_model_torch(
    train_data: ScanData, test_data: ScanData | None, config: TrainingConfig, **options: Any
) -> dict[str, Any]:
    """Return `train_cdi_model` with the backend 'pytorch'."""
    return train_cdi_model(train_data, test_data, replace(config, backend="pytorch"), **options)


def load_inference_bundle_torch(model_path: str | Path) -> tuple[TrainedModel, dict[str, Any]]:
    """Return `load_inference_bundle` with the backend 'pytorch'."""
    return load_inference_bundle(model_path, backend="pytorch")


def save_torch_bundle(models: TrainedModel | Mapping[str, TrainedModel], base_path: str | Path) -> Path:
    """Write `TrainedModel.save`: the archive of a model, or of the one called 'diffraction_to_obj'."""
    return _saved(models if isinstance(models, TrainedModel) else models[_OBJECT_MODEL], Path(base_path))


def load_torch_bundle(base_path: str | Path) -> tuple[TrainedModel, dict[str, Any]]:
    """Return `load_inference_bundle` with the backend 'pytorch': the model and its parameters."""
    return load_inference_bundle(base_path, backend="pytorch")


class ModelManager:
    """Archives by the names of existing scripts: `TrainedModel.save` and `load_inference_bundle`."""

    @staticmethod
    def save(out_prefix: str | Path, model: TrainedModel | None = None) -> Path:
        """Write a model, None the one that was trained or loaded last, as `out_prefix`/wts.h5.zip."""
        folder = Path(out_prefix)
        folder.mkdir(parents=True, exist_ok=True)
        return _saved(last_model() if model is None else model, folder)

    @staticmethod
    def load_multiple_models(
        base_path: str | Path, model_names: Iterable[str] | None = None
    ) -> dict[str, TrainedModel]:
        """Return {'diffraction_to_obj': model} of an archive, and restore `params.cfg` from it."""
        for name in [] if model_names is None else model_names:
            if name != _OBJECT_MODEL:
                raise ConfigError(
                    f"model_names holds {name!r}; an archive holds one network, '{_OBJECT_MODEL}'. Ask for that; "
                    "predicted amplitudes are 'pred_amp' in the results of run_cdi_example."
                )
        return {_OBJECT_MODEL: load_inference_bundle(base_path)[0]}


class InferenceEngine:
    """A model that predicts patches and stitches them: `predict` and `reconstruct`."""

    def __init__(self, model: TrainedModel | str | Path, backend: str | None = None) -> None:
        """Take a model, or open its archive."""
        self.model = model if isinstance(model, TrainedModel) else load_inference_bundle(model, backend)[0]

    def predict(self, data: RawData | str | Path, **options: Any) -> Complex64Array:
        """Return the patches of a scan (group, N, N, channel)."""
        return predict(self.model, _scan(data), **options).patches

    def predict_and_stitch(self, data: RawData | str | Path, **options: Any) -> Reconstruction:
        """Return `reconstruct`: the object of a scan, with the frame and the scale it has."""
        return reconstruct(self.model, _scan(data), **options)


def _scan(data: RawData | str | Path) -> RawData:
    return data if isinstance(data, RawData) else RawData.from_file(data)


def _saved(model: TrainedModel, path: Path) -> Path:
    # Existing scripts name the archive without its '.zip'.
    whole = path.with_name(f"{path.name}.zip") if f"{path.name}.zip" == ARCHIVE_NAME else path
    return model.save(whole)
