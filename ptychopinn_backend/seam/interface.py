"""The seam: what a backend offers. Only NumPy arrays, frozen configurations and plain scalars cross it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float32Array
from ptychopinn_backend.config import BACKENDS, ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import CNN_OPTION_BACKENDS, CNN_OPTIONS, backends_of, generators_of
from ptychopinn_backend.data.source import GroupBatch, GroupSource
from ptychopinn_backend.errors import UnsupportedOptionError


@dataclass(frozen=True)
class EpochReport:
    """What a backend tells after every epoch."""

    epoch: int
    """1-based number of the epoch just ended."""
    n_epochs: int
    """Epochs asked for."""
    losses: Mapping[str, float]
    """Training terms ('loss', 'nll', ...) and, when validated, the same with the prefix 'val_'."""
    learning_rate: float
    """Learning rate of the epoch."""
    elapsed_s: float
    """Seconds since training began in this process."""


EpochCallback = Callable[[EpochReport], bool | None]
"""Called after every epoch; returning True stops training after it."""


@dataclass(frozen=True)
class BackendSetup:
    """Everything a backend needs to build its model."""

    model: ModelConfig
    training: TrainingConfig
    execution: ExecutionConfig
    intensity_scale: float
    """Factor from normalised amplitudes to the square root of counts; exp(log_scale) starts there."""
    probes: Complex64Array
    """Normalised probes (scan, mode, N, N): where a trainable probe starts."""


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves beside the weights."""

    history: dict[str, list[float]] = field(default_factory=dict)
    """One value an epoch for each name of `EpochReport.losses`, and 'learning_rate'."""
    best_epoch: int | None = None
    """Epoch of the best monitored metric; None without checkpoints."""
    stop_reason: str = "finished"
    """'finished', 'early stopping' or 'stopped on request'."""


@dataclass(frozen=True)
class ForwardResult:
    """The model's own outputs for one batch."""

    network_patches: Complex64Array
    """(group, N, N, channel), or (group, N, N, 1) without object_big: what the network puts out."""
    patches: Complex64Array
    """(group, N, N, channel): consistent within the group, as the physics sees them."""
    amplitude: Float32Array
    """(group, N, N, channel): predicted far-field amplitude, square root of counts."""


class Backend(ABC):
    """One model in one framework. Built from a `BackendSetup`, with weights that are a function of the seed alone."""

    name: ClassVar[str]
    """'tensorflow' or 'pytorch'."""

    def __init__(self, setup: BackendSetup) -> None:
        """Keep the setup and refuse a generator, or an option of it, that this backend lacks.

        Args:
            setup: configuration and constants.

        Raises:
            UnsupportedOptionError: names the backends that offer it.
        """
        require_offered(setup.model, self.name)
        self.setup = setup

    @staticmethod
    @abstractmethod
    def versions() -> dict[str, str]:
        """Return the versions of the framework's packages, by distribution name."""

    @abstractmethod
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return canonical name -> shape of every weight, trainable constants of the physics included."""

    @abstractmethod
    def dump_weights(self) -> dict[str, AnyArray]:
        """Return a copy of every weight in the canonical layout (specs/backend.md)."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, AnyArray]) -> None:
        """Take weights in the canonical layout.

        Args:
            weights: exactly the names and shapes of `weight_shapes`.

        Raises:
            DamagedArchiveError: a name or shape differs.
        """

    @abstractmethod
    def fit(
        self,
        training: GroupSource,
        validation: GroupSource | None = None,
        *,
        on_epoch: EpochCallback | None = None,
        checkpoint_folder: Path | None = None,
        resume: bool = False,
    ) -> TrainingResult:
        """Train for `setup.training.total_epochs` epochs; afterwards the model holds the best weights seen.

        Args:
            training: groups to train on, visited in the order of `schedule.epoch_order`.
            validation: groups to validate on after every epoch, or None.
            on_epoch: called after every epoch; True stops.
            checkpoint_folder: where the best and the last state are written; None writes none.
            resume: go on from the last state in `checkpoint_folder` where one is there.

        Returns:
            History and why training ended.

        Raises:
            TrainingError: a loss that is not finite, or a checkpoint of another configuration.
        """

    @abstractmethod
    def predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        """Yield the consistent patches of all groups in order, batch by batch.

        Args:
            source: groups to predict.
            batch_size: groups per batch; the result does not depend on it.

        Yields:
            (group, N, N, channel) complex64.
        """

    @abstractmethod
    def forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult:
        """Return the model's outputs for one batch.

        Args:
            batch: groups of `source`.
            source: gives probes and the canvas.

        Returns:
            Patches and predicted amplitude.
        """

    @abstractmethod
    def losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float = 1.0) -> dict[str, float]:
        """Return every active loss term and 'loss' for one batch, names as in `physics.forward.loss_terms`.

        Args:
            batch: groups of `source`.
            source: gives probes, valid pixels and the canvas.
            physics_weight: weight of the configured loss in a training with stages.

        Returns:
            Term name -> value.
        """

    @abstractmethod
    def gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float = 1.0) -> dict[str, AnyArray]:
        """Return the gradient of 'loss' with respect to every trainable weight, canonical names and layout.

        Args:
            batch: groups of `source`.
            source: gives probes, valid pixels and the canvas.
            physics_weight: weight of the configured loss in a training with stages.

        Returns:
            Canonical name -> array.
        """


def require_offered(model: ModelConfig, backend: str) -> None:
    """Raise unless a backend offers the generator and the options of it that are on.

    Args:
        model: the configuration.
        backend: 'tensorflow' or 'pytorch'.

    Raises:
        UnsupportedOptionError: says which backend has which.
    """
    offered = backends_of(model.architecture)
    if backend not in offered:
        having = "; ".join(f"{name} has {', '.join(generators_of(name))}" for name in BACKENDS)
        raise UnsupportedOptionError(
            f"architecture = '{model.architecture}' is not offered by the {backend} backend (it is by "
            f"{', '.join(offered) or 'none'}): {having}. Choose one that {backend} has, or another backend."
        )
    if model.architecture == "cnn" and backend not in CNN_OPTION_BACKENDS:
        for name in CNN_OPTIONS:
            if getattr(model, name):
                raise UnsupportedOptionError(
                    f"{name} = True is not offered by the {backend} backend (it is by "
                    f"{', '.join(CNN_OPTION_BACKENDS)}). Set {name} to False, or choose another backend."
                )
