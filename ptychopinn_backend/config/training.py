"""Frozen configuration of model, training and inference; every rule is checked in the constructor.

Names, defaults and legacy keys are the contract `specs/config.md`. Run-time options (device, precision, logging) are in
`ptychopinn_backend.config.execution` and never reach `params.cfg`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config.checks import (
    require_bool,
    require_choice,
    require_fraction_below_one,
    require_in_unit_interval,
    require_non_negative,
    require_non_negative_integer,
    require_positive,
    require_positive_integer,
    unwrap_numpy_scalars,
)
from ptychopinn_backend.config.logged_runs import logged_file, names_run
from ptychopinn_backend.config.model import AMP_ACTIVATIONS, PATTERN_SIZES, ModelConfig
from ptychopinn_backend.errors import ConfigError

__all__ = [
    "AMP_ACTIVATIONS",
    "ARCHIVE_NAME",
    "BACKENDS",
    "DEFAULT_NEPOCHS",
    "DEFAULT_N_GROUPS",
    "INFERENCE_BACKENDS",
    "ONNX",
    "PATTERN_SIZES",
    "SCHEDULERS",
    "InferenceConfig",
    "ModelConfig",
    "TrainingConfig",
    "find_archive",
]

ARCHIVE_NAME: Final = "wts.h5.zip"
BACKENDS: Final = ("tensorflow", "pytorch")
"""Backends that train."""
ONNX: Final = "onnx"
"""Backend that only predicts, with ONNX Runtime."""
INFERENCE_BACKENDS: Final = (*BACKENDS, ONNX)
"""Backends that predict."""
DEFAULT_N_GROUPS: Final = 512
DEFAULT_NEPOCHS: Final = 50
SCHEDULERS: Final = ("Default", "Exponential", "WarmupCosine", "ReduceLROnPlateau", "MultiStage", "Adaptive")


@dataclass(frozen=True)
class TrainingConfig:
    """What training minimises, on which groups, and for how long."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The network that is trained."""
    train_data_file: Path | None = None
    """NPZ file to train on."""
    test_data_file: Path | None = None
    """NPZ file to validate on; None splits `validation_fraction` off the training groups."""
    batch_size: int = 16
    """Groups per optimiser step; a power of two."""
    nepochs: int = DEFAULT_NEPOCHS
    """Passes over the training groups; with stages the sum of theirs."""
    mae_weight: float = 0.0
    """Weight of the mean absolute error of the far-field amplitude."""
    nll_weight: float = 1.0
    """Weight of the Poisson negative log-likelihood."""
    realspace_mae_weight: float = 0.0
    """Weight, inside the real-space term, of the mean absolute error to the labels."""
    realspace_weight: float = 0.0
    """Weight of the real-space term."""
    nphotons: float = 1e9
    """Expected photon count of a pattern."""
    n_groups: int | None = None
    """Groups drawn from the scan; 512 when neither this nor n_images is given."""
    n_images: int | None = None
    """Deprecated alias of n_groups; used, with a warning, only when n_groups is None."""
    n_subsample: int | None = None
    """Scan points kept before grouping; None keeps all."""
    subsample_seed: int | None = None
    """Seed of the subsampling and of the group draw."""
    neighbor_count: int = 4
    """Nearest neighbours of a scan point from which its group is drawn (K)."""
    enable_oversampling: bool = False
    """Allows more groups than scan points by drawing several subsets of each pool of neighbours."""
    neighbor_pool_size: int | None = None
    """Neighbours in that pool; None means neighbor_count."""
    positions_provided: bool = True
    """The scan positions are those of the file (legacy flag)."""
    probe_trainable: bool = False
    """The probe is refined with the network."""
    intensity_scale_trainable: bool = True
    """The factor from far-field amplitude to counts is refined with the network."""
    output_dir: Path = Path("training_outputs")
    """Folder for archive, history and figures."""
    sequential_sampling: bool = False
    """Take the first n_groups scan points in order, neighbours deterministic."""
    backend: str = "tensorflow"
    """'tensorflow' or 'pytorch'."""
    torch_loss_mode: str = "poisson"
    """Legacy choice of the PyTorch loss: 'mae' swaps the roles of nll_weight and mae_weight there."""
    gradient_clip_val: float | None = None
    """Gradient limit; None is no clipping."""
    gradient_clip_algorithm: str = "norm"
    """How gradients are limited: norm, value, agc."""
    optimizer: str = "adam"
    """adam, adamw, sgd."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float = 0.0
    """Decay of adamw (decoupled), adam and sgd (added to the gradient)."""
    adam_beta1: float = 0.9
    """First moment decay of adam and adamw."""
    adam_beta2: float = 0.999
    """Second moment decay of adam and adamw."""
    scheduler: str = "Default"
    """Default (constant), Exponential, WarmupCosine, ReduceLROnPlateau, MultiStage, Adaptive."""
    lr_warmup_epochs: int = 0
    """Linear warm-up of WarmupCosine."""
    lr_min_ratio: float = 0.1
    """Final over initial learning rate of WarmupCosine."""
    plateau_factor: float = 0.5
    """Factor by which ReduceLROnPlateau lowers the learning rate."""
    plateau_patience: int = 2
    """Epochs without improvement ReduceLROnPlateau waits."""
    plateau_min_lr: float = 5e-5
    """Lower limit of ReduceLROnPlateau."""
    plateau_threshold: float = 0.0
    """Relative improvement that counts for ReduceLROnPlateau."""
    mse_weight: float = 0.0
    """Weight of the mean squared error of the far-field amplitude, the Poisson likelihood at constant variance."""
    groups_per_epoch: int | None = None
    """Groups an epoch visits, drawn anew every epoch; None visits all."""
    tv_weight: float = 0.0
    """Weight, inside the real-space term, of the total variation of the object."""
    mean_deviation_weight: float = 0.0
    """Weight, inside the real-space term, of the mean absolute deviation of the amplitude from its mean."""
    validation_fraction: float = 0.1
    """Fraction of the groups kept for validation when no test_data_file is given; 0 trains on all."""
    stage_1_epochs: int = 0
    """Epochs on the normalised amplitude error alone, which no intensity scale changes; 0 leaves the stage out."""
    stage_2_epochs: int = 0
    """Epochs on a blend of that error and the configured loss."""
    stage_3_epochs: int = 0
    """Epochs on the configured loss after the other stages."""
    physics_weight_schedule: str = "cosine"
    """How the weight of the configured loss rises in stage 2: linear, cosine or exponential."""
    stage_3_lr_factor: float = 0.1
    """Learning rate of stage 3 over that of stage 1, with the schedules MultiStage and Adaptive."""
    epochs_fine_tune: int = 0
    """Further epochs, after nepochs, in which the encoder is frozen."""
    fine_tune_gamma: float = 0.1
    """Factor on the learning rate in them."""
    target_photon_fraction: float = 0.0
    """Part of the photons that only the loss sees, so that noise cannot be learned; 0 shows the network all."""
    held_out_fraction: float = 0.0
    """Part of the patterns, spread evenly, that training never sees and that judge the object; 0 trains on all."""

    def __post_init__(self) -> None:
        """Check every field, resolve the deprecated alias and make paths `Path`.

        Raises:
            ConfigError: a field breaks its rule.
        """
        unwrap_numpy_scalars(self)
        _resolve_paths(self, optional=("train_data_file", "test_data_file"), required=("output_dir",))
        _resolve_n_groups(self, default=DEFAULT_N_GROUPS)
        _check_sampling(self)
        require_positive_integer("batch_size", self.batch_size)
        if self.batch_size & (self.batch_size - 1):
            lower = 1 << (self.batch_size.bit_length() - 1)
            raise ConfigError(
                f"batch_size = {self.batch_size} must be a power of two. Use {lower} or {2 * lower} instead."
            )
        require_positive_integer("nepochs", self.nepochs)
        if self.groups_per_epoch is not None:
            require_positive_integer("groups_per_epoch", self.groups_per_epoch)
        require_positive("nphotons", self.nphotons)
        require_choice("backend", self.backend, BACKENDS)
        require_fraction_below_one("target_photon_fraction", self.target_photon_fraction)
        require_fraction_below_one("held_out_fraction", self.held_out_fraction)
        self._check_losses()
        self._check_optimizer()
        self._check_phases()

    @property
    def is_staged(self) -> bool:
        """Whether training leads in stages to the configured loss."""
        return self.stage_1_epochs + self.stage_2_epochs + self.stage_3_epochs > 0

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages and of fine-tuning."""
        return self.nepochs + self.epochs_fine_tune

    def _check_phases(self) -> None:
        for name in ("stage_1_epochs", "stage_2_epochs", "stage_3_epochs", "epochs_fine_tune"):
            require_non_negative_integer(name, getattr(self, name))
        require_choice("physics_weight_schedule", self.physics_weight_schedule, ("linear", "cosine", "exponential"))
        for name in ("stage_3_lr_factor", "fine_tune_gamma"):
            require_positive(name, getattr(self, name))
        if not self.is_staged:
            if self.scheduler in ("MultiStage", "Adaptive"):
                raise ConfigError(
                    f"scheduler = '{self.scheduler}' follows the stages of a training, and this one has none. "
                    "Set stage_1_epochs, stage_2_epochs and stage_3_epochs, or choose another scheduler."
                )
            return
        if self.model.model_type == "supervised":
            raise ConfigError(
                "stage_1_epochs, stage_2_epochs and stage_3_epochs lead to the physics, and model_type = 'supervised' "
                "trains without it. Set them to 0, or model_type to 'pinn'."
            )
        total = self.stage_1_epochs + self.stage_2_epochs + self.stage_3_epochs
        if self.nepochs not in (total, DEFAULT_NEPOCHS):
            raise ConfigError(
                f"nepochs = {self.nepochs} contradicts stage_1_epochs + stage_2_epochs + stage_3_epochs = {total}. "
                f"Leave nepochs out, or set it to {total}."
            )
        object.__setattr__(self, "nepochs", total)

    def _check_losses(self) -> None:
        for name in ("mae_weight", "mse_weight", "nll_weight", "realspace_mae_weight", "realspace_weight"):
            require_in_unit_interval(name, getattr(self, name))
        for name in ("tv_weight", "mean_deviation_weight"):
            require_non_negative(name, getattr(self, name))
        for name in ("realspace_mae_weight", "tv_weight", "mean_deviation_weight"):
            if getattr(self, name) > 0 and self.realspace_weight == 0:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} has no effect while realspace_weight = 0: the real-space term "
                    "needs both. Set realspace_weight above 0."
                )
        require_choice("torch_loss_mode", self.torch_loss_mode, ("poisson", "mae"))
        require_fraction_below_one("validation_fraction", self.validation_fraction)

    def _check_optimizer(self) -> None:
        for name in ("probe_trainable", "intensity_scale_trainable", "positions_provided", "sequential_sampling"):
            require_bool(name, getattr(self, name))
        require_choice("optimizer", self.optimizer, ("adam", "adamw", "sgd"))
        require_choice("scheduler", self.scheduler, SCHEDULERS)
        require_choice("gradient_clip_algorithm", self.gradient_clip_algorithm, ("norm", "value", "agc"))
        if self.gradient_clip_val is not None:
            require_positive("gradient_clip_val", self.gradient_clip_val)
        for name in ("momentum", "lr_min_ratio"):
            require_in_unit_interval(name, getattr(self, name))
        for name in ("adam_beta1", "adam_beta2", "plateau_factor"):
            require_fraction_below_one(name, getattr(self, name))
        for name in ("weight_decay", "plateau_min_lr", "plateau_threshold"):
            require_non_negative(name, getattr(self, name))
        for name in ("lr_warmup_epochs", "plateau_patience"):
            require_non_negative_integer(name, getattr(self, name))


@dataclass(frozen=True)
class InferenceConfig:
    """Which archive reconstructs which scan."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The network the archive holds."""
    model_path: Path = Path(ARCHIVE_NAME)
    """The archive, a folder that holds `wts.h5.zip`, or the archive's path without '.zip'."""
    test_data_file: Path = Path("test_data.npz")
    """NPZ file to reconstruct."""
    n_groups: int | None = None
    """Groups to reconstruct from; None takes one for every scan point."""
    n_images: int | None = None
    """Deprecated alias of n_groups."""
    n_subsample: int | None = None
    """Scan points kept before grouping; None keeps all."""
    subsample_seed: int | None = None
    """Seed of the subsampling and of the group draw."""
    neighbor_count: int = 4
    """Nearest neighbours of a scan point from which its group is drawn (K)."""
    enable_oversampling: bool = False
    """Allows more groups than scan points."""
    neighbor_pool_size: int | None = None
    """Neighbours in the pool of oversampling; None means neighbor_count."""
    debug: bool = False
    """Logs more."""
    output_dir: Path = Path("inference_outputs")
    """Folder for the reconstruction."""
    backend: str = "tensorflow"
    """'tensorflow', 'pytorch' or 'onnx'."""

    def __post_init__(self) -> None:
        """Check every field and that the archive exists.

        Raises:
            ConfigError: a field breaks its rule, or no archive lies at `model_path`.
        """
        unwrap_numpy_scalars(self)
        _resolve_paths(self, optional=(), required=("model_path", "test_data_file", "output_dir"))
        _resolve_n_groups(self, default=None)
        _check_sampling(self)
        require_bool("debug", self.debug)
        require_choice("backend", self.backend, INFERENCE_BACKENDS)
        find_archive(self.model_path)


def find_archive(model_path: Path) -> Path:
    """Return the archive file that `model_path` means.

    Args:
        model_path: the archive itself, a folder holding `wts.h5.zip`, the archive's path without its '.zip', or
            'runs:/<id>', the run of MLflow that logged it.

    Returns:
        Path of an existing file.

    Raises:
        ConfigError: nothing lies there; the message names what was looked for.
    """
    if names_run(model_path):
        return logged_file(model_path, ARCHIVE_NAME)
    if model_path.is_dir():
        looked_for = [model_path / ARCHIVE_NAME]
    else:
        looked_for = [model_path, model_path.with_name(model_path.name + ".zip")]
    for candidate in looked_for:
        if candidate.is_file():
            return candidate
    listed = " and ".join(str(path) for path in looked_for)
    raise ConfigError(
        f"{str(model_path)!r} holds no archive: looked for {listed}. "
        f"Give the folder that training wrote, or the path of its {ARCHIVE_NAME}."
    )


def _resolve_paths(config: Any, optional: tuple[str, ...], required: tuple[str, ...]) -> None:
    for name in (*optional, *required):
        value = getattr(config, name)
        if value is None and name in optional:
            continue
        try:
            object.__setattr__(config, name, Path(value))
        except TypeError:
            raise ConfigError(f"{name} = {value!r} must be a path. Give a string or a pathlib.Path.") from None


def _resolve_n_groups(config: Any, default: int | None) -> None:
    if config.n_images is not None:
        require_positive_integer("n_images", config.n_images)
    if config.n_groups is None:
        if config.n_images is not None:
            warnings.warn("n_images is deprecated; use n_groups instead.", DeprecationWarning, stacklevel=4)
        object.__setattr__(config, "n_groups", config.n_images if config.n_images is not None else default)
    if config.n_groups is not None:
        require_positive_integer("n_groups", config.n_groups)


def _check_sampling(config: TrainingConfig | InferenceConfig) -> None:
    require_positive_integer("neighbor_count", config.neighbor_count)
    require_bool("enable_oversampling", config.enable_oversampling)
    for name in ("n_subsample", "neighbor_pool_size"):
        if getattr(config, name) is not None:
            require_positive_integer(name, getattr(config, name))
    if config.subsample_seed is not None:
        require_non_negative_integer("subsample_seed", config.subsample_seed)
    if not isinstance(config.model, ModelConfig):
        raise ConfigError(f"model = {config.model!r} must be a ModelConfig. Build one with ModelConfig(...).")
