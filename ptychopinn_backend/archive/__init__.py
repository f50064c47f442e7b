"""The model archive `wts.h5.zip`: written by both backends, read without running anything in it."""

from ptychopinn_backend.archive.content import ArchiveContent, package_version
from ptychopinn_backend.archive.metadata import FORMAT, FORMAT_VERSION, MAX_RANK, UPGRADES
from ptychopinn_backend.archive.model_archive import (
    is_foreign,
    read_archive,
    read_metadata,
    write_archive,
)

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "MAX_RANK",
    "UPGRADES",
    "ArchiveContent",
    "is_foreign",
    "package_version",
    "read_archive",
    "read_metadata",
    "write_archive",
]
