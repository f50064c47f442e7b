"""Checkpoints: which run they belong to, and reading the last one without running code from it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.atomic_file import atomic_file
from ptychopinn_backend.data.source import GroupSource
from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.interface import BackendSetup
from ptychopinn_backend.torch_backend.lightning_module import CHECKPOINT_KEY

LAST_CHECKPOINT = "last.ckpt"
_FREE_TRAINING_FIELDS = ("model", "nepochs", "train_data_file", "test_data_file", "output_dir", "backend")
_RUN_DEFINING_OPTIONS = (
    "seed",
    "learning_rate",
    "precision",
    "accum_steps",
    "checkpoint_monitor_metric",
    "checkpoint_mode",
)


class AtomicCheckpointIO(TorchCheckpointIO):  # type: ignore[misc]
    """Writes beside the place and renames; Lightning's own goes through the system's temporary folder, and copies."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; it is there as a whole or not at all.

        Args:
            checkpoint: what Lightning keeps of a run.
            path: where; missing folders are made.
            storage_options: unused.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        image = io.BytesIO()
        torch.save(checkpoint, image)
        with atomic_file(path) as file:
            file.write(image.getbuffer())


def run_fingerprint(setup: BackendSetup, training: GroupSource, validation: GroupSource | None) -> dict[str, str]:
    """Return what must agree for a run to be resumed, as text; the number of epochs and paths may change.

    Args:
        setup: the configuration.
        training: groups to train on.
        validation: groups to validate on, or None.

    Returns:
        Field name -> value.
    """
    values: dict[str, Any] = {f"model.{name}": value for name, value in asdict(setup.model).items()}
    for name, value in asdict(setup.training).items():
        if name not in _FREE_TRAINING_FIELDS:
            values[name] = value
    for name in _RUN_DEFINING_OPTIONS:
        values[name] = getattr(setup.execution, name)
    values["intensity_scale"] = float(setup.intensity_scale)
    values["number of training groups"] = training.n_groups
    values["number of validation groups"] = 0 if validation is None else validation.n_groups
    values["probes"] = _digest(training.probes)
    values["first training group"] = _digest(training.batch(np.arange(1)).X)
    return {name: str(value) for name, value in values.items()}


def _digest(array: AnyArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def read_checkpoint(path: Path, fingerprint: dict[str, str]) -> dict[str, Any]:
    """Read a checkpoint of the same run; nothing stored in it is executed.

    Args:
        path: the file.
        fingerprint: of the run that is to be resumed.

    Returns:
        Our own entry of the checkpoint.

    Raises:
        TrainingError: unreadable, foreign, or of another configuration; names the first difference.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state: dict[str, Any] = checkpoint[CHECKPOINT_KEY]
        stored: dict[str, str] = state["fingerprint"]
    except Exception as error:
        # The reader without pickle reports a malformed file by almost any class, IndexError among them.
        raise TrainingError(
            f"'{path}' is no checkpoint of this package: it is damaged, or holds more than numbers and text. "
            "Delete it, or train without resuming."
        ) from error
    for name in {**stored, **fingerprint}:
        if stored.get(name) != fingerprint.get(name):
            raise TrainingError(
                f"The checkpoint '{path}' belongs to another run: {name} is {stored.get(name)} there and "
                f"{fingerprint.get(name)} here. Use the same configuration and data, or train without resuming."
            )
    return state
