"""Run-time options: device, precision, workers, logging. Orthogonal to the model; they never reach `params.cfg`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from ptychopinn_backend.config.checks import (
    require_bool,
    require_choice,
    require_non_negative_integer,
    require_positive,
    require_positive_integer,
    unwrap_numpy_scalars,
)
from ptychopinn_backend.errors import ConfigError, nearest_name

logger = logging.getLogger(__name__)

CPU_PRECISION_NOTE: Final = "precision = '16-mixed' is not available on the CPU; using 'bf16-mixed'."
"""Said by either backend where it falls back."""


@dataclass(frozen=True)
class ExecutionConfig:
    """How a run is executed. What is trained does not depend on it.

    The numbers do: by rounding (precision, accelerator, compilation), by the seed, and by what decides the steps and
    the weights that are kept (learning_rate, accum_steps, early stopping, the metric of checkpoints).
    """

    accelerator: str = "auto"
    """auto, cpu, gpu, cuda, tensorrt (with ONNX Runtime) or mps; 'auto' without a GPU is the CPU."""
    devices: int | str = 1
    """Number of devices, or 'auto' for all."""
    num_nodes: int = 1
    """Number of machines."""
    strategy: str = "auto"
    """auto, ddp, ddp_spawn or fsdp."""
    deterministic: bool | str = True
    """Bit-reproducible algorithms; 'warn' only warns where none exists."""
    precision: str = "32-true"
    """32-true, 16-mixed or bf16-mixed."""
    compile_model: bool = False
    """Compile the network (torch.compile; XLA in TensorFlow): a slow first step, faster steps on a GPU."""
    accum_steps: int = 1
    """Batches whose gradients are averaged before a step."""
    num_workers: int = 0
    """Data loading processes."""
    pin_memory: bool = False
    """Page-locked batches for faster copies to a GPU."""
    persistent_workers: bool = False
    """Keep loading processes between epochs."""
    prefetch_factor: int | None = None
    """Batches each loading process prepares ahead."""
    learning_rate: float = 1e-3
    """Initial learning rate."""
    enable_progress_bar: bool = False
    """Show a progress bar on a terminal."""
    enable_checkpointing: bool = True
    """Write the best and the last state during training."""
    checkpoint_save_top_k: int = 1
    """Best checkpoints kept; 0 keeps the last only."""
    checkpoint_monitor_metric: str = "val_loss"
    """History key that decides which epoch is the best."""
    checkpoint_mode: str = "min"
    """Whether the best metric is the smallest (min) or the largest (max)."""
    early_stop_patience: int = 100
    """Epochs without improvement before training stops."""
    logger_backend: str = "csv"
    """csv, tensorboard, mlflow or none."""
    inference_batch_size: int | None = None
    """Groups per inference pass; None takes 8."""
    recon_log_every_n_epochs: int | None = None
    """Log intermediate patches every n epochs; None never."""
    recon_log_num_patches: int = 4
    """Patches logged then."""
    recon_log_fixed_indices: tuple[int, ...] | None = None
    """Groups whose patches are logged; None spreads them evenly."""
    recon_log_stitch: bool = False
    """Log a stitched object too."""
    recon_log_max_stitch_samples: int | None = None
    """Groups used for that; None takes all."""
    seed: int = 42
    """Seed of initial weights, shuffling and the validation split."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a field breaks its rule.
        """
        unwrap_numpy_scalars(self)
        for name in (
            "compile_model",
            "pin_memory",
            "persistent_workers",
            "enable_progress_bar",
            "enable_checkpointing",
            "recon_log_stitch",
        ):
            require_bool(name, getattr(self, name))
        self._check_device()
        self._check_counts()
        require_positive("learning_rate", self.learning_rate)
        require_choice("checkpoint_mode", self.checkpoint_mode, ("min", "max"))
        require_choice("logger_backend", self.logger_backend, ("csv", "tensorboard", "mlflow", "none"))
        if not isinstance(self.checkpoint_monitor_metric, str) or not self.checkpoint_monitor_metric:
            raise ConfigError(
                f"checkpoint_monitor_metric = {self.checkpoint_monitor_metric!r} must name a history key. "
                "Use 'val_loss'."
            )
        if self.recon_log_fixed_indices is not None:
            if not isinstance(self.recon_log_fixed_indices, (list, tuple)):
                raise ConfigError(
                    f"recon_log_fixed_indices = {self.recon_log_fixed_indices!r} must be a list of group indices. "
                    "Write for example [0, 5]."
                )
            object.__setattr__(self, "recon_log_fixed_indices", tuple(self.recon_log_fixed_indices))
            for index in self.recon_log_fixed_indices:
                require_non_negative_integer("recon_log_fixed_indices", index)

    def _check_device(self) -> None:
        if self.accelerator == "tpu":
            raise ConfigError(
                "accelerator = 'tpu' is not supported: complex FFTs run on CPU and GPU only. "
                "Set accelerator to 'auto', 'cpu' or 'gpu'."
            )
        require_choice("accelerator", self.accelerator, ("auto", "cpu", "gpu", "cuda", "tensorrt", "mps"))
        if self.devices != "auto":
            require_positive_integer("devices", self.devices)
        require_choice("strategy", self.strategy, ("auto", "ddp", "ddp_spawn", "fsdp"))
        require_choice("precision", self.precision, ("32-true", "16-mixed", "bf16-mixed"))
        require_choice("deterministic", self.deterministic, (True, False, "warn"))

    def _check_counts(self) -> None:
        for name in ("num_nodes", "accum_steps", "early_stop_patience", "recon_log_num_patches"):
            require_positive_integer(name, getattr(self, name))
        for name in ("num_workers", "checkpoint_save_top_k", "seed"):
            require_non_negative_integer(name, getattr(self, name))
        for name in (
            "prefetch_factor",
            "inference_batch_size",
            "recon_log_every_n_epochs",
            "recon_log_max_stitch_samples",
        ):
            if getattr(self, name) is not None:
                require_positive_integer(name, getattr(self, name))
        if self.num_workers == 0 and (self.persistent_workers or self.prefetch_factor is not None):
            raise ConfigError(
                f"persistent_workers = {self.persistent_workers} and prefetch_factor = {self.prefetch_factor} "
                "need num_workers above 0. Set num_workers to 1 or more."
            )


def resolve_execution(
    execution: ExecutionConfig | None = None, explicit: Mapping[str, Any] | None = None
) -> ExecutionConfig:
    """Merge run-time options by precedence: explicit values > `execution` > defaults; log what applies.

    Args:
        execution: options given as an object, or None for the defaults.
        explicit: single options given by name (a value of None means "not given").

    Returns:
        The options in force.

    Raises:
        ConfigError: an unknown name (the nearest is suggested) or an invalid value.
    """
    base = execution if execution is not None else ExecutionConfig()
    given = {name: value for name, value in (explicit or {}).items() if value is not None}
    names = {item.name for item in fields(ExecutionConfig)}
    for name in given:
        if name not in names:
            raise ConfigError(
                f"'{name}' is not an execution option.{nearest_name(name, names)} See specs/config.md for the list."
            )
    resolved = replace(base, **given)
    logger.info("Execution options other than the defaults: %s", changed_options(resolved) or "none")
    return resolved


def changed_options(execution: ExecutionConfig) -> dict[str, Any]:
    """Return the options that differ from their defaults, by name."""
    defaults = asdict(ExecutionConfig())
    return {name: value for name, value in asdict(execution).items() if value != defaults[name]}
