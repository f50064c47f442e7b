"""Models that other programs trained, read without running anything in their files.

Every importer ends in an `ArchiveContent`: the network in the terms of `networks.cnn`, weights in the canonical layout.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.foreign.keras_archive import read_keras_archive
from ptychopinn_backend.archive.foreign.lightning_checkpoint import read_checkpoint
from ptychopinn_backend.archive.foreign.saved_model import read_saved_model
from ptychopinn_backend.archive.foreign.torch_archive import read_torch_archive
from ptychopinn_backend.archive.kinds import Kind, kind_of
from ptychopinn_backend.errors import UnsupportedModelError

IMPORTERS: Final[Mapping[Kind, Callable[[zipfile.ZipFile], ArchiveContent]]] = MappingProxyType(
    {
        Kind.KERAS: read_keras_archive,
        Kind.TORCH: read_torch_archive,
        Kind.CHECKPOINT: read_checkpoint,
        Kind.SAVED_MODEL: read_saved_model,
    }
)
"""Kind of file -> what reads it."""


def read_foreign(container: zipfile.ZipFile) -> ArchiveContent:
    """Read a model of another program.

    Args:
        container: from `open_container`; of a kind that is none of our own.

    Returns:
        The model in the terms of this package.

    Raises:
        ArchiveError: it is damaged or unsafe, or cannot be expressed here; a subclass says which.
    """
    kind = kind_of(container.namelist())
    importer = None if kind is None else IMPORTERS.get(kind)
    if kind is None or importer is None:
        raise UnsupportedModelError(f"it is {kind.value if kind else 'of an unknown kind'}, which is not read here")
    content, written = importer(container), _written(container)
    return content if written is None else replace(content, created=written)


def _written(container: zipfile.ZipFile) -> str | None:
    """Return when the file was written, in the writer's time, which names no zone; None where the zip does not say."""
    for info in container.infolist():
        try:
            return datetime(*info.date_time).isoformat(timespec="seconds")
        except ValueError:
            continue
    return None
