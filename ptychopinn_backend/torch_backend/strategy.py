"""How Lightning spreads a run over processes, and where it finds those that others have created."""

from __future__ import annotations

import os

import torch
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, Strategy

from ptychopinn_backend.errors import UnsupportedOptionError
from ptychopinn_backend.seam.interface import BackendSetup
from ptychopinn_backend.seam.process_rank import LAUNCHER_VARIABLE
from ptychopinn_backend.torch_backend.devices import process_count


def build_strategy(setup: BackendSetup, device: torch.device) -> Strategy | str:
    """Return how Lightning spreads a run.

    Args:
        setup: gives the run-time options, and whether the probe is trained.
        device: kind of device to train on.

    Returns:
        A strategy, or 'auto' for a single process.

    Raises:
        ConfigError: a strategy or number of devices that this machine does not allow.
    """
    execution = setup.execution
    count = process_count(execution)
    if execution.strategy == "fsdp":
        _refuse_with_fsdp(setup)
        return FSDPStrategy(use_orig_params=True)
    if count * execution.num_nodes == 1:
        return "auto"
    # A probe is not lit where the loss looks at patches only, and fine-tuning freezes the encoder; waiting for their
    # gradients would be an error then.
    unused = setup.training.probe_trainable or setup.training.epochs_fine_tune > 0
    return DDPStrategy(find_unused_parameters=unused, process_group_backend="gloo" if device.type == "cpu" else None)


def _refuse_with_fsdp(setup: BackendSetup) -> None:
    refused = {
        "gradient_clip_val": (setup.training.gradient_clip_val, None),
        "precision": (setup.execution.precision, "32-true"),
        "epochs_fine_tune": (setup.training.epochs_fine_tune, 0),
        "recon_log_every_n_epochs": (setup.execution.recon_log_every_n_epochs, None),
    }
    for name, (value, needed) in refused.items():
        if value != needed:
            raise UnsupportedOptionError(
                f"{name} = {value!r} is not offered with strategy 'fsdp', where no process sees a whole weight. Set "
                f"{name} to {needed!r}, or strategy to 'ddp'."
            )


def cluster_environments(setup: BackendSetup) -> list[ClusterEnvironment]:
    """Return what tells Lightning of other processes; nothing lets it look for torchrun, Slurm and others itself."""
    execution = setup.execution
    alone = process_count(execution) * execution.num_nodes == 1
    return [LightningEnvironment()] if alone or LAUNCHER_VARIABLE in os.environ else []
