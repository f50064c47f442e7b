"""What the computing process tells the host's process."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

RECONSTRUCT_GOAL: Final = 100
"""Progress of a reconstruction is in per cent, so that the last file of a batch run always has the same name."""


class Goal(NamedTuple):
    """The number of epochs, which the child knows once it has seen the data."""

    n_epochs: int


class ModelSaved(NamedTuple):
    """Another model is in use."""

    archive: Path
