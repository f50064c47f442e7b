"""From settings to the engine's configuration, and to what a child process is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ptychodus_plugin.inference_options import BY_EVIDENCE
from ptychodus_plugin.options import CUSTOM, FOLDER, PRESET_CHOICES, PRODUCT, TRAIN_ON, Selection
from ptychodus_plugin.payloads import ReconstructPayload, TrainPayload
from ptychodus_plugin.product_checks import check_patterns, check_product
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.config.inputs import CALIBRATE, InputConfig
from ptychopinn_backend.config.presets import AUTO
from ptychopinn_backend.data.readers.content import look_at
from ptychopinn_backend.data.readers.own_files import is_scan_npz
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.factory import require_installed
from ptychopinn_backend.runs.planning import draft
from ptychopinn_backend.runs.request import Layer, RunRequest

logger = logging.getLogger("ptychopinn_backend.ptychodus")

TRAINING_FILES: Final = ("train_data.npz", "train_data.h5")
HOST_FILES: Final = ("diffraction.h5", "product.h5")
"""All that a batch run of the host has, and all that it sends to another machine."""
VALIDATION_FILES: Final = ("test_data.npz", "test_data.h5")
SETTINGS: Final = "settings"
"""Who gave an option, in the plan of a training."""
NEIGHBOR_CACHE_SUFFIX: Final = ".groups_cache.npz"
_NO_LOGGER: Final[Mapping[str, Any]] = MappingProxyType({"logger_backend": "none"})
"""The host shows the losses."""
_NAMED: Final = 3
"""Files that a message names."""


def execution_config(settings: LibrarySettings, reconstructor: str) -> ExecutionConfig:
    """Return the run-time options of the settings.

    Args:
        settings: the library's settings.
        reconstructor: 'pinn' or 'supervised'.

    Returns:
        The options; no logger is used, because the host shows the losses.

    Raises:
        ConfigError: a value breaks its rule.
    """
    selection = settings.selection(reconstructor)
    return ExecutionConfig(**{**settings.values("execution", selection), **_NO_LOGGER})


def training_config(settings: LibrarySettings, reconstructor: str) -> TrainingConfig:
    """Return the training configuration of the settings.

    Args:
        settings: the library's settings.
        reconstructor: 'pinn' or 'supervised', which is also the model type.

    Returns:
        The configuration, for patterns of the default size until the data are known.

    Raises:
        ConfigError: a value breaks its rule, or the backend is unknown.
    """
    return draft(training_request(settings, reconstructor)).training


def training_request(
    settings: LibrarySettings, reconstructor: str, inputs: InputConfig | None = None, output: Path | None = None
) -> RunRequest:
    """Return what the settings ask of a training.

    Args:
        settings: the library's settings.
        reconstructor: 'pinn' or 'supervised', which is also the model type.
        inputs: scans, and the archive to start from; None names none.
        output: folder for the model.

    Returns:
        The request.

    Raises:
        ConfigError: the preset is unknown.
    """
    selection = settings.selection(reconstructor)
    options = {
        "backend": settings.value("Model", "Backend"),
        "neighbor_count": settings.value("Training", "NumNearestNeighbors"),
        "subsample_seed": settings.value("Training", "Seed"),
        **settings.values("model", selection),
        **settings.values("training", selection),
        **settings.values("execution", selection),
    }
    if settings.is_default("Training", "NumPhotons"):
        # The host never showed its default, and every settings file holds it: it stands for 'measure'.
        options.pop("nphotons", None)
    return _request(selection, options, inputs, output)


def _request(
    selection: Selection, options: Mapping[str, Any], inputs: InputConfig | None = None, output: Path | None = None
) -> RunRequest:
    require_choice("Preset", selection.preset, PRESET_CHOICES)
    preset = None if selection.preset == CUSTOM else selection.preset
    fixed = Layer("reconstructor", {"model_type": selection.reconstructor, **_NO_LOGGER})
    return RunRequest(
        given=(fixed,),
        inputs=replace(inputs or InputConfig(), preset=preset),
        settings=Layer(SETTINGS, options),
        output=output,
        givers=dict.fromkeys(("scans", "validation", "preset", "calibrate", "init", "output"), SETTINGS),
    )


def neighbor_count(setting: int, channels: int) -> int:
    """Return how many neighbours groups are drawn from: the setting, raised to what a group needs.

    Args:
        setting: neighbours asked for.
        channels: patterns in a group.

    Returns:
        The number of neighbours, at least 1.
    """
    needed = channels if channels > 1 else 1
    if setting < needed:
        logger.info("NumNearestNeighbors = %d is raised to %d, the patterns in a group.", setting, needed)
    return max(setting, needed)


def reconstruct_payload(
    settings: LibrarySettings, reconstructor: str, parameters: Any, archive: Path | None
) -> ReconstructPayload:
    """Check what is asked for and put it together for the child.

    Args:
        settings: the library's settings.
        reconstructor: 'pinn' or 'supervised'.
        parameters: the host's `ReconstructInput`.
        archive: the model to reconstruct with, or None.

    Returns:
        The payload.

    Raises:
        ConfigError: no model is loaded, or a setting breaks its rule.
        DataError: the patterns do not fit the network.
        ArchiveError: the archive cannot be used.
    """
    archive = require_model(archive)
    calibrate = settings.value("Inference", "Calibrate")
    require_choice("Calibrate", calibrate, CALIBRATE)
    metadata = read_metadata(archive)
    N, gridsize = metadata["model"]["N"], metadata["model"]["gridsize"]
    alone = uses_back_projection(metadata["model"]["architecture"])
    check_patterns(parameters.diffraction_patterns.shape, N, 1 if alone else gridsize)
    return ReconstructPayload(
        backend=settings.backend(),
        archive=archive,
        execution=execution_config(settings, reconstructor),
        neighbor_count=neighbor_count(settings.value("Inference", "NumNearestNeighbors"), gridsize**2),
        groups_per_position=settings.value("Inference", "NumSamples"),
        assembly=settings.value("Inference", "PatchAssembly"),
        calibrate=calibrate,
        polish_steps=None if (steps := settings.value("Inference", "PolishSteps")) == BY_EVIDENCE else steps,
        use_all_patterns=settings.value("Inference", "UseAllPatterns"),
        halves_resolution=settings.value("Inference", "HalvesResolution"),
        crop_px=_crop_px(settings.value("Inference", "PatchCrop"), N),
        parameters=parameters,
    )


def _crop_px(setting: int, N: int) -> int | None:
    if setting > N:
        raise ConfigError(
            f"PatchCrop = {setting}, but the patches of the loaded model have {N} x {N} pixels. Choose 0 to {N}."
        )
    return setting or None


def require_model(archive: Path | None) -> Path:
    """Return the archive of the model in use.

    Args:
        archive: it, or None.

    Returns:
        The archive.

    Raises:
        ConfigError: there is none; says how to get one.
    """
    if archive is None:
        raise ConfigError(
            "No PtychoPINN model is loaded. Train one, or open one with 'Load Model...' in the Action menu."
        )
    return archive


def train_payload(
    settings: LibrarySettings,
    reconstructor: str,
    input_path: Path,
    output_path: Path,
    model: Path | None = None,
    parameters: Any = None,
) -> TrainPayload:
    """Find the training data, check the settings and put both together for the child.

    Args:
        settings: the library's settings.
        reconstructor: 'pinn' or 'supervised'.
        input_path: folder with the training data.
        output_path: folder for the model.
        model: the model in use, or None.
        parameters: the host's `ReconstructInput` of the chosen product, or None.

    Returns:
        The payload.

    Raises:
        ConfigError: a setting breaks its rule, or training shall start from a model and there is none.
        DataError: the folder holds no training data and no product takes its place, or the product cannot be used.
        BackendUnavailableError: the framework of the backend is not installed.
    """
    training, validation = training_files(input_path)
    source = _source(settings.value("Training", "TrainOn"), input_path, training, parameters)
    init = require_model(model) if settings.value("Training", "StartFromModel") else None
    inputs = InputConfig(
        scans=() if source == PRODUCT else training,
        validation=validation,
        calibrate=settings.value("Training", "Calibrate"),
        init=init,
    )
    request = training_request(settings, reconstructor, inputs, output_path)
    # Before the child calibrates a scan that cannot be trained on.
    require_installed(draft(request).training.backend)
    if source == FOLDER:
        _tell_of_folder(training, wanted=settings.value("Training", "TrainOn") == FOLDER or parameters is None)
        return TrainPayload(request, output_path)
    check_product(parameters.product)
    shape = parameters.diffraction_patterns.shape
    check_patterns(shape, shape[-1], 1)
    logger.info("Training on the chosen product, %d patterns; the folder takes the model.", shape[0])
    return TrainPayload(request, output_path, parameters)


def _tell_of_folder(training: Sequence[Path], *, wanted: bool) -> None:
    names = ", ".join(path.name for path in training[:_NAMED])
    if len(training) > _NAMED:
        names += f" and {len(training) - _NAMED} more"
    if wanted or training[0].name in (*TRAINING_FILES, *HOST_FILES):
        logger.info("Training on %s in '%s'.", names, training[0].parent)
        return
    logger.warning(
        "TrainOn = 'auto' trains on %s in '%s', and not on the chosen product. Set TrainOn to product for the "
        "product, or to folder for these files.",
        names,
        training[0].parent,
    )


def _source(train_on: str, folder: Path, training: tuple[Path, ...], parameters: Any) -> str:
    """Return what is trained on: 'product' or 'folder'."""
    require_choice("TrainOn", train_on, TRAIN_ON)
    if train_on == PRODUCT and parameters is None:
        raise ConfigError(
            "TrainOn = 'product', and no product is at hand: this Ptychodus does not pass it on. Export it into the "
            "folder with 'Export Training Data...' in the Action menu, and set TrainOn = folder."
        )
    if train_on == PRODUCT or (train_on == AUTO and not training and parameters is not None):
        return PRODUCT
    if not training:
        raise DataError(
            f"The folder '{folder}' holds no training data; looked for {' and '.join(TRAINING_FILES)}, for any other "
            f"*.npz, and for {' with '.join(HOST_FILES)}. Write one with 'Export Training Data...' in the Action menu, "
            f"for example as {TRAINING_FILES[0]}."
        )
    return FOLDER


def training_files(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the scans to train on and to validate on.

    Args:
        folder: holds `train_data` and perhaps `test_data`, as NPZ or as the host's training HDF5; or any NPZ files of
            scans, which are all trained on except `test_data.npz`; or the host's `diffraction.h5` with `product.h5`.

    Returns:
        (training files, validation files); the first is empty where there is nothing to train on, the second without
        `test_data`.
    """
    validation = _first_there(folder, VALIDATION_FILES)
    training = _first_there(folder, TRAINING_FILES)
    if training:
        return training, validation
    scans = tuple(
        path
        for path in sorted(folder.glob("*.npz"))
        if path.name not in VALIDATION_FILES and not path.name.endswith(NEIGHBOR_CACHE_SUFFIX) and _may_be_scan(path)
    )
    if not scans and all((folder / name).is_file() for name in HOST_FILES):
        # The reader of the patterns finds the product beside them.
        scans = (folder / HOST_FILES[0],)
    return scans, validation


def _may_be_scan(path: Path) -> bool:
    """Return whether an NPZ is a scan, or damaged: a training leaves others in its folder."""
    with look_at(path) as content:
        return not content.npz_names or is_scan_npz(content)


def _first_there(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(path for name in names if (path := folder / name).is_file())[:1]
