"""The training loop's view of the model: steps, epoch means, learning rate and what a checkpoint holds."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.networks.encoder import encoder_weights
from ptychopinn_backend.seam.interface import BackendSetup, EpochReport
from ptychopinn_backend.seam.progress import TrainingProgress
from ptychopinn_backend.seam.schedule import groups_of_step, is_fine_tuning, rate_for_processes
from ptychopinn_backend.torch_backend.data import (
    BatchIndexSampler,
    GroupDataset,
    SourceConstants,
    TensorBatch,
    batch_loader,
)
from ptychopinn_backend.torch_backend.model import PtychographyModel
from ptychopinn_backend.torch_backend.optimizers import build_optimizer, clip_gradients
from ptychopinn_backend.torch_backend.resident import ResidentGroups, is_worth_residing

CHECKPOINT_KEY = "ptychopinn"
"""Entry of a Lightning checkpoint that holds our own state."""


class EpochMean:
    """Mean of the loss terms over an epoch, summed on the device so that no step waits for it."""

    def __init__(self) -> None:
        """Start empty."""
        self._names: tuple[str, ...] = ()
        self._sum: Tensor | None = None
        self._groups = 0

    def add(self, terms: dict[str, Tensor], groups: int) -> None:
        """Add a batch of `groups` groups."""
        values = torch.stack([value.detach() for value in terms.values()]) * groups
        self._names = tuple(terms)
        self._sum = values if self._sum is None else self._sum + values
        self._groups += groups

    def take(self, module: LightningModule, prefix: str) -> dict[str, float]:
        """Return the means over all processes and start anew.

        Args:
            module: reduces over processes.
            prefix: put before every name.

        Returns:
            Term name -> mean; empty when nothing was added.
        """
        if self._sum is None:
            return {}
        total = torch.cat([self._sum, self._sum.new_tensor([self._groups])])
        *sums, groups = module.trainer.strategy.reduce(total, reduce_op="sum").tolist()
        self._sum, self._groups = None, 0
        return {prefix + name: value / groups for name, value in zip(self._names, sums, strict=True)}


class TrainingModule(LightningModule):  # type: ignore[misc]
    """One training run of a `PtychographyModel`."""

    def __init__(
        self,
        model: PtychographyModel,
        setup: BackendSetup,
        training: GroupSource,
        validation: GroupSource | None,
        progress: TrainingProgress[Tensor],
        fingerprint: dict[str, Any],
    ) -> None:
        """Gather what the run needs.

        Args:
            model: the model, trained in place.
            setup: its configuration.
            training: groups to train on.
            validation: groups to validate on, or None.
            progress: filled epoch by epoch.
            fingerprint: configuration of the run, written into checkpoints.
        """
        super().__init__()
        self.model = model
        self.progress = progress
        self._setup, self._fingerprint = setup, fingerprint
        self._sources = {"training": training, "validation": validation}
        self._training_constants = SourceConstants(training, setup.model)
        self._validation_constants = None if validation is None else SourceConstants(validation, setup.model)
        # Every process computes the constants for itself, and the gloo of PyTorch 2.4 cannot send complex ones.
        # DistributedDataParallel looks for this name.
        self._ddp_params_and_buffers_to_ignore = [
            name for name, _ in self.named_buffers() if name.partition(".")[0].endswith("_constants")
        ]
        self._training_mean, self._validation_mean = EpochMean(), EpochMean()
        self._samplers: dict[str, BatchIndexSampler] = {}
        self._encoder = _encoder_of(model, setup)
        self.report: EpochReport | None = None

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser; its learning rate is set at the start of every epoch."""
        initial = rate_for_processes(self._setup.execution.learning_rate, self.trainer.world_size)
        self.progress.schedule.initial = initial
        return build_optimizer(self.model, self._setup.training, initial, fused=self.trainer.precision != "16-mixed")

    def train_dataloader(self) -> DataLoader[TensorBatch]:
        """Return the shuffled batches of this process."""
        return self._loader("training", seed=self._setup.execution.seed)

    def val_dataloader(self) -> DataLoader[TensorBatch]:
        """Return the batches to validate on, in order."""
        return self._loader("validation", seed=None)

    def _loader(self, name: str, seed: int | None) -> DataLoader[TensorBatch]:
        source = self._sources[name]
        if source is None:
            raise AssertionError(f"no {name} source")
        sampler = BatchIndexSampler(
            source.n_groups,
            self._setup.training.batch_size,
            seed=seed,
            limit=None if seed is None else self._setup.training.groups_per_epoch,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        self._samplers[name] = sampler
        execution, device = self._setup.execution, self.trainer.strategy.root_device
        dataset = GroupDataset(source, self._setup.model, self.model.needs_labels)
        visits = sampler.visited * self._setup.training.total_epochs
        resides = execution.num_workers == 0 and is_worth_residing(dataset, source.n_groups, visits, device)
        if resides:
            dataset = ResidentGroups(source, self._setup.model, self.model.needs_labels, device)
        pin = execution.pin_memory and device.type == "cuda" and not resides
        return batch_loader(dataset, sampler, execution, pin=pin)

    def on_train_epoch_start(self) -> None:
        """Set the learning rate of the epoch, and freeze the encoder when fine-tuning begins."""
        self.freeze_encoder(is_fine_tuning(self._setup.training, self.current_epoch + 1))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.progress.learning_rate

    def freeze_encoder(self, frozen: bool) -> None:
        """Freeze the encoder, or train it again. Weights without a gradient are not changed by weight decay either.

        Args:
            frozen: True in fine-tuning.
        """
        for parameter in self._encoder:
            parameter.requires_grad_(not frozen)
            parameter.grad = None

    def training_step(self, batch: TensorBatch, batch_index: int) -> Tensor:
        """Return the loss of a batch.

        Args:
            batch: the groups.
            batch_index: 0-based number of the batch in the epoch.

        Returns:
            Scalar.
        """
        terms = self.model.loss_terms(batch, self._training_constants, self.progress.physics_weight)
        sampler = self._samplers["training"]
        counted, _ = sampler.groups_in(batch_index)
        self._training_mean.add(terms, counted)
        # Lightning averages gradients over processes and over the batches of a step; a batch counts by its groups
        # instead, which differ in the last ones of an epoch.
        averaged = self.trainer.world_size * self._setup.execution.accum_steps
        of_step = groups_of_step(batch_index, sampler.visited, sampler.together, self._setup.execution.accum_steps)
        share = counted * averaged / of_step
        return terms["loss"] if share == 1 else terms["loss"] * share

    def validation_step(self, batch: TensorBatch, batch_index: int) -> None:
        """Add a batch to the validation means.

        Args:
            batch: the groups.
            batch_index: 0-based number of the batch.
        """
        if self._validation_constants is None:
            raise AssertionError("validation without a source")
        terms = self.model.loss_terms(batch, self._validation_constants, self.progress.physics_weight)
        self._validation_mean.add(terms, self._samplers["validation"].groups_in(batch_index)[0])

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as configured; Lightning's own options stay unset because it has no adaptive clipping.

        Args:
            optimizer: holds the parameters.
            gradient_clip_val: unused.
            gradient_clip_algorithm: unused.
        """
        config = self._setup.training
        if config.gradient_clip_val is not None:
            parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
            clip_gradients(parameters, config.gradient_clip_val, config.gradient_clip_algorithm)

    def on_train_epoch_end(self) -> None:
        """Close the epoch.

        Raises:
            TrainingError: a mean is not finite.
        """
        losses = {**self._training_mean.take(self, ""), **self._validation_mean.take(self, "val_")}
        weights = self._weights()
        # With a model split over devices the first process alone gets the whole, and it alone is asked later.
        log_scale = float(weights["log_scale"]) if weights else math.nan
        self.report = self.progress.close_epoch(
            losses, log_scale, lambda: {name: tensor.detach().clone() for name, tensor in weights.items()}
        )
        self.log_dict(losses, prog_bar=False)
        if self.progress.best.is_exhausted:
            self.trainer.should_stop = True

    def _weights(self) -> dict[str, Tensor]:
        """Return the state of the model, gathered from the devices where it is split over them."""
        gathered = self.trainer.strategy.lightning_module_state_dict()
        return {name.removeprefix("model."): tensor for name, tensor in gathered.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add our state to a checkpoint; plain values and tensors only.

        Args:
            checkpoint: what Lightning writes.
        """
        checkpoint[CHECKPOINT_KEY] = {
            "fingerprint": self._fingerprint,
            "progress": self.progress.state,
            "best_weights": self.progress.best_weights,
        }


def _encoder_of(model: PtychographyModel, setup: BackendSetup) -> list[nn.Parameter]:
    """Return the weights that fine-tuning freezes."""
    if setup.training.epochs_fine_tune == 0:
        return []
    parameters = model.canonical_parameters()
    found = (parameters[name] for name in encoder_weights(setup.model.architecture, parameters))
    return [tensor for tensor in found if isinstance(tensor, nn.Parameter)]
