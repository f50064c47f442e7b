"""From settings to the engine's configuration, and to what a child process is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ptychodus_plugin.options import CUSTOM, PRESET_CHOICES, decided_by
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.config import PATTERN_SIZES, ModelConfig, TrainingConfig
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.config.presets import preset_options
from ptychopinn_backend.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ptychopinn_backend.data.raw_data import RawData

logger = logging.getLogger("ptychopinn_backend.ptychodus")

TRAINING_FILES: Final = ("train_data.npz", "train_data.h5")
VALIDATION_FILES: Final = ("test_data.npz", "test_data.h5")
DEFAULT_PHOTONS: Final = 1e6
"""The host's default, which its own view never showed and every settings file holds: it stands for 'measure'."""
NEIGHBOR_CACHE_SUFFIX: Final = ".groups_cache.npz"


@dataclass(frozen=True)
class ReconstructPayload:
    """All that a child needs to reconstruct one scan; crosses the process boundary."""

    backend: str
    archive: Path
    execution: ExecutionConfig
    neighbor_count: int
    groups_per_position: int
    assembly: str
    polish_steps: int
    parameters: Any
    """The host's `ReconstructInput`."""


@dataclass(frozen=True)
class TrainPayload:
    """All that a child needs to train one model; crosses the process boundary."""

    config: TrainingConfig
    """Its `model.N` is set by the child, from the data."""
    execution: ExecutionConfig
    training_files: tuple[Path, ...]
    validation_files: tuple[Path, ...]
    all_positions: bool
    """Draw one group around every scan position, whatever `config.n_groups` says."""
    measure_photons: bool
    """Take `nphotons` from the data."""
    preset: str
    """Preset that the child fits to the scans, or 'custom'."""
    init: Path | None
    """Archive whose network and weights to start from."""
    output_path: Path


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
    execution = ExecutionConfig(**settings.values("execution", selection), logger_backend="none")
    return replace(execution, **chosen_by_preset(ExecutionConfig, preset_values(selection.preset)))


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
    backend = settings.backend()
    selection = settings.selection(reconstructor)
    preset = preset_values(selection.preset)
    model = ModelConfig(
        model_type=reconstructor,
        **{**settings.values("model", selection), **chosen_by_preset(ModelConfig, preset)},
    )
    return TrainingConfig(
        model=model,
        backend=backend,
        neighbor_count=neighbor_count(settings.value("Training", "NumNearestNeighbors"), model.channels),
        subsample_seed=settings.value("Training", "Seed"),
        **_epochs_of_stages({**settings.values("training", selection), **chosen_by_preset(TrainingConfig, preset)}),
    )


def _epochs_of_stages(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options without the number of epochs where stages, which have their own, are set."""
    is_staged = any(name.startswith("stage_") and name.endswith("_epochs") and values[name] for name in values)
    return {name: value for name, value in values.items() if not (is_staged and name == "nepochs")}


def preset_values(preset: str) -> Mapping[str, Any]:
    """Return what a preset decides, before it is fitted to the scans.

    Args:
        preset: its name, or 'custom', which decides nothing.

    Returns:
        Option name -> value.

    Raises:
        ConfigError: unknown name.
    """
    require_choice("Preset", preset, PRESET_CHOICES)
    return decided_by(preset)


def chosen_by_preset(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a preset's values that belong to one configuration class."""
    names = {item.name for item in fields(config)}
    return {name: value for name, value in values.items() if name in names}


def fit_preset(
    config: TrainingConfig, preset: str, scans: Sequence[RawData], network: Mapping[str, Any] | None = None
) -> TrainingConfig:
    """Return a configuration with a preset fitted to the scans, neighbours raised to what its groups need.

    Args:
        config: what the settings say, for patterns of the scans' size.
        preset: its name, or 'custom', which changes nothing.
        scans: the scans to train on.
        network: options of the network to start from, which win; None starts from a new one.

    Returns:
        The configuration to train with.
    """
    network = network or {}
    options = {} if preset == CUSTOM else preset_options(preset, scans, network.get("gridsize"))
    options = {**options, **network}
    if config.is_staged:
        options.pop("nepochs", None)
    model = replace(config.model, **chosen_by_preset(ModelConfig, options))
    return replace(
        config,
        model=model,
        n_images=None,
        neighbor_count=neighbor_count(config.neighbor_count, model.channels),
        **chosen_by_preset(TrainingConfig, options),
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
        polish_steps=settings.value("Inference", "PolishSteps"),
        parameters=parameters,
    )


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


def check_patterns(shape: tuple[int, ...], N: int, gridsize: int) -> None:
    """Refuse patterns a network cannot take, with the remedy the host offers.

    Args:
        shape: (pattern, row, column).
        N: pattern side the network was built for.
        gridsize: patterns along each side of a group.

    Raises:
        DataError: not square, not of side N, or too few.
    """
    count, height, width = shape
    crop = "Crop the patterns in the Patterns view"
    if height != width:
        raise DataError(f"The patterns have {height} x {width} pixels; PtychoPINN needs square ones. {crop}.")
    if width not in PATTERN_SIZES:
        sizes = ", ".join(str(size) for size in PATTERN_SIZES)
        raise DataError(f"The patterns have {width} x {width} pixels; PtychoPINN takes {sizes}. {crop} to such a size.")
    if width != N:
        raise DataError(
            f"The patterns have {width} x {width} pixels; the loaded model takes {N} x {N}. "
            f"{crop} to that size, or load a model trained for {width} x {width}."
        )
    if count < gridsize**2:
        raise DataError(
            f"The scan has {count} positions; a group of grid size {gridsize} needs at least {gridsize**2}. "
            "Use more of the scan, or a model of a smaller grid size."
        )


def train_payload(
    settings: LibrarySettings, reconstructor: str, input_path: Path, output_path: Path, model: Path | None = None
) -> TrainPayload:
    """Find the training data, check the settings and put both together for the child.

    Args:
        settings: the library's settings.
        reconstructor: 'pinn' or 'supervised'.
        input_path: folder with the training data.
        output_path: folder for the model.
        model: the model in use, or None.

    Returns:
        The payload.

    Raises:
        ConfigError: a setting breaks its rule, or training shall start from a model and there is none.
        DataError: the folder holds no training data.
    """
    training, validation = find_training_files(input_path)
    return TrainPayload(
        config=training_config(settings, reconstructor),
        execution=execution_config(settings, reconstructor),
        training_files=training,
        validation_files=validation,
        all_positions=settings.value("Training", "NumGroups") == 0,
        measure_photons=settings.value("Training", "NumPhotons") == DEFAULT_PHOTONS,
        preset=settings.selection(reconstructor).preset,
        init=require_model(model) if settings.value("Training", "StartFromModel") else None,
        output_path=output_path,
    )


def find_training_files(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the scans to train on and to validate on.

    Args:
        folder: holds `train_data` and perhaps `test_data`, as NPZ or as the host's training HDF5; or any NPZ files,
            which are all trained on except `test_data.npz`.

    Returns:
        (training files, validation files); the second is empty without `test_data`.

    Raises:
        DataError: there is nothing to train on; says how to export it.
    """
    validation = _first_there(folder, VALIDATION_FILES)
    training = _first_there(folder, TRAINING_FILES)
    if training:
        return training, validation
    scans = tuple(
        path
        for path in sorted(folder.glob("*.npz"))
        if path.name not in VALIDATION_FILES and not path.name.endswith(NEIGHBOR_CACHE_SUFFIX)
    )
    if not scans:
        raise DataError(
            f"The folder '{folder}' holds no training data; looked for {' and '.join(TRAINING_FILES)} and for any "
            f"other *.npz. Write one with 'Export Training Data...' in the Action menu, for example as "
            f"{TRAINING_FILES[0]}."
        )
    return scans, validation


def _first_there(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(path for name in names if (path := folder / name).is_file())[:1]
