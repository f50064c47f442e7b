"""The seam: what a backend offers. Only NumPy arrays, frozen configurations and plain scalars cross it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float32Array
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, PtychoPINNError
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.networks.weights import check_weights
from ptychopinn_backend.physics.losses import loss_weights
from ptychopinn_backend.seam.arguments import (
    require_fitting_batch,
    require_fitting_source,
    require_labels,
    require_offered,
)
from ptychopinn_backend.seam.failures import explained_failures


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
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """One value per epoch for each name, of all epochs so far, those before a resumed training included."""
    r_free: float | None = None
    """R of held-out patterns after this epoch; None where they were not asked."""


LAST_CHECKPOINTS: Final = {"pytorch": "last.ckpt", "tensorflow": "last.npz"}
"""Name of the file from which each backend resumes."""

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
    log_folder: Path | None = None
    """Where the history and the pictures of a training go; None takes the folder of its checkpoints."""


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves beside the weights."""

    history: dict[str, list[float]] = field(default_factory=dict)
    """One value per epoch for each name of `EpochReport.losses`, and 'learning_rate'."""
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
    """One model in one framework. Built from a `BackendSetup`, with weights that are a function of the seed alone.

    The public methods check their arguments and explain failures of the machine, once for every framework. A backend
    gives the methods of the same names with a leading underscore, and may rely on what was checked.
    """

    name: ClassVar[str]
    """'tensorflow', 'pytorch' or 'onnx'."""

    def __init__(self, setup: BackendSetup) -> None:
        """Build the model with its starting weights, which the seed decides.

        Args:
            setup: configuration and constants.

        Raises:
            ConfigError: every loss weight is 0, or the device or the compiler is not there.
            UnsupportedOptionError: this backend lacks the generator or an option; names the backends that offer it.
        """
        require_offered(setup.model, self.name)
        self.setup = setup
        self.loss_weights = loss_weights(setup.training)
        """Weights of the loss terms."""
        with explained_failures(self._explanation):
            self._build()

    @staticmethod
    @abstractmethod
    def use_threads(count: int) -> None:
        """Compute with so many threads on the CPU from now on, where the framework can still change it.

        Args:
            count: at least 1.
        """

    @staticmethod
    def gains_by_bfloat16(execution: ExecutionConfig) -> bool:
        """Tell whether a network trains faster in bfloat16.

        Args:
            execution: run-time options, which choose the device.

        Returns:
            True where the device has units for it; False here, for a backend that cannot train.
        """
        return False

    @staticmethod
    @abstractmethod
    def device_names() -> tuple[str, ...]:
        """Return what the GPUs this process sees are called, by their numbers; none where it sees none."""

    @staticmethod
    @abstractmethod
    def versions() -> dict[str, str]:
        """Return the versions of the framework's packages, by distribution name."""

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return canonical name -> shape of every weight, trainable constants of the physics included."""
        return self._weight_shapes()

    def dump_weights(self) -> dict[str, AnyArray]:
        """Return a copy of every weight in the canonical layout (specs/backend.md)."""
        return self._dump_weights()

    def load_weights(self, weights: Mapping[str, AnyArray]) -> None:
        """Take weights in the canonical layout.

        Args:
            weights: exactly the names and shapes of `weight_shapes`.

        Raises:
            UnfitWeightsError: a name or shape differs.
        """
        check_weights(weights, self._weight_shapes())
        self._load_weights(weights)

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
            DataError: a source does not fit the model, or lacks the labels the loss needs.
            TrainingError: a loss that is not finite, or a checkpoint of another configuration.
        """
        for source in (training, validation):
            if source is not None:
                require_fitting_source(source, self.setup)
                require_labels(self.loss_weights, source.has_labels)
        with explained_failures(self._explanation):
            return self._fit(
                training, validation, on_epoch=on_epoch, checkpoint_folder=checkpoint_folder, resume=resume
            )

    def predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        """Return the consistent patches of all groups in order, batch by batch; each is computed when it is asked for.

        Args:
            source: groups to predict.
            batch_size: groups per batch; the result does not depend on it.

        Returns:
            Iterator over (group, N, N, channel) complex64.

        Raises:
            ConfigError: a batch size below 1.
            DataError: the source does not fit the model.
        """
        require_fitting_source(source, self.setup, only_patches=True)
        if batch_size < 1:
            raise ConfigError(f"batch_size = {batch_size}, but a batch holds at least one group. Set it to 1 or more.")
        return self._explained(self._predict(source, batch_size))

    def forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult:
        """Return the model's outputs for one batch.

        Args:
            batch: groups of `source`.
            source: gives probes and the canvas.

        Returns:
            Patches and predicted amplitude.

        Raises:
            DataError: the source, or the batch, does not fit the model.
        """
        require_fitting_source(source, self.setup)
        require_fitting_batch(batch, source)
        with explained_failures(self._explanation):
            return self._forward(batch, source)

    def losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float = 1.0) -> dict[str, float]:
        """Return every active loss term and 'loss' for one batch, names as in `physics.losses.LOSS_TERMS`.

        Args:
            batch: groups of `source`.
            source: gives probes, valid pixels and the canvas.
            physics_weight: weight of the configured loss in a training with stages.

        Returns:
            Term name -> value.

        Raises:
            DataError: the source, or the batch, does not fit the model, or lacks the labels the loss needs.
        """
        self._check_loss_arguments(batch, source)
        with explained_failures(self._explanation):
            return self._losses(batch, source, physics_weight)

    def gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float = 1.0) -> dict[str, AnyArray]:
        """Return the gradient of 'loss' with respect to every trainable weight, canonical names and layout.

        Args:
            batch: groups of `source`.
            source: gives probes, valid pixels and the canvas.
            physics_weight: weight of the configured loss in a training with stages.

        Returns:
            Canonical name -> array; for the complex probe d loss / d real + i d loss / d imaginary.

        Raises:
            DataError: the source, or the batch, does not fit the model, or lacks the labels the loss needs.
        """
        self._check_loss_arguments(batch, source)
        with explained_failures(self._explanation):
            return self._gradients(batch, source, physics_weight)

    def _check_loss_arguments(self, batch: GroupBatch, source: GroupSource) -> None:
        require_fitting_source(source, self.setup)
        require_fitting_batch(batch, source)
        require_labels(self.loss_weights, batch.Y is not None)

    def _explained(self, patches: Iterator[Complex64Array]) -> Iterator[Complex64Array]:
        with explained_failures(self._explanation):
            yield from patches

    @staticmethod
    @abstractmethod
    def _explanation(error: Exception) -> PtychoPINNError | None:
        """Return an error that explains a failure of the machine; None for errors of the program."""

    @abstractmethod
    def _build(self) -> None: ...

    @abstractmethod
    def _weight_shapes(self) -> dict[str, tuple[int, ...]]: ...

    @abstractmethod
    def _dump_weights(self) -> dict[str, AnyArray]: ...

    @abstractmethod
    def _load_weights(self, weights: Mapping[str, AnyArray]) -> None: ...

    @abstractmethod
    def _fit(
        self,
        training: GroupSource,
        validation: GroupSource | None,
        *,
        on_epoch: EpochCallback | None,
        checkpoint_folder: Path | None,
        resume: bool,
    ) -> TrainingResult: ...

    @abstractmethod
    def _predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]: ...

    @abstractmethod
    def _forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult: ...

    @abstractmethod
    def _losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, float]: ...

    @abstractmethod
    def _gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, AnyArray]: ...
