"""Checkpoints: which run they belong to, and reading the last one without running code from it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.seam.interface import LAST_CHECKPOINTS
from ptychopinn_backend.seam.training_run import require_same_run, unreadable_checkpoint
from ptychopinn_backend.torch_backend.lightning_module import CHECKPOINT_KEY

LAST_CHECKPOINT = LAST_CHECKPOINTS["pytorch"]
CHECKPOINT_PATTERNS = ("last*.ckpt", "best*.ckpt")
"""Names of the files of a run."""


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


def read_checkpoint(path: Path, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of the same run; nothing stored in it is executed.

    Args:
        path: the file.
        fingerprint: of the run that is to be resumed.

    Returns:
        Our own entry of the checkpoint.

    Raises:
        TrainingError: unreadable, foreign, or of another configuration; names what differs.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state: dict[str, Any] = checkpoint[CHECKPOINT_KEY]
        stored: dict[str, Any] = dict(state["fingerprint"])
    except Exception as error:
        # The reader without pickle reports a malformed file by almost any class, IndexError among them.
        raise unreadable_checkpoint(path) from error
    require_same_run(path, stored, fingerprint)
    return state
