"""Small runs of the TensorFlow backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptychopinn_backend.seam.interface import Backend, EpochCallback, TrainingResult
from tests.contract.builders import backend_for, source_for


def fitted(
    folder: Path | None = None,
    *,
    n_groups: int = 8,
    resume: bool = False,
    on_epoch: EpochCallback | None = None,
    **options: Any,
) -> tuple[Backend, TrainingResult]:
    """Train on `n_groups` simulated groups, without validation, monitoring the training loss."""
    source = source_for(options, n_groups=n_groups)
    backend = backend_for("tensorflow", source, **options)
    return backend, backend.fit(source, on_epoch=on_epoch, checkpoint_folder=folder, resume=resume)
