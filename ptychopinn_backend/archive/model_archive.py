"""The model archive `wts.h5.zip`: one file both backends write and read; contract in `specs/archive.md`.

Nothing in an archive is executed, and nothing is unpacked before names and sizes are checked. Writing is atomic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.archive.container import (
    check_members,
    open_container,
    open_model,
    read_member,
    write_container,
)
from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.foreign import read_foreign
from ptychopinn_backend.archive.kinds import METADATA, MODEL_FOLDER, PARAMS, SAVED_MODEL, WEIGHTS, Kind, kind_of
from ptychopinn_backend.archive.metadata import (
    arrays_beside,
    checksum,
    content_from,
    described,
    is_finite,
    model_from_dict,
    parse_metadata,
)
from ptychopinn_backend.archive.onnx_file import is_onnx, read_onnx, read_onnx_metadata
from ptychopinn_backend.archive.typed_json import dump_json
from ptychopinn_backend.archive.weights import dump_arrays, load_arrays
from ptychopinn_backend.config import find_archive
from ptychopinn_backend.errors import (
    ArchiveError,
    ArchiveNotFoundError,
    ConfigError,
    DamagedArchiveError,
    UnsupportedModelError,
)

_EARLIEST: Final = "wts.h5"
"""Folder of the first models of PtychoPINN."""


def write_archive(path: str | Path, content: ArchiveContent) -> Path:
    """Write an archive; `path` is at any moment the old file or the new one, whole.

    Args:
        path: the file, usually '.../wts.h5.zip'; its folder is made when missing.
        content: what to save.

    Returns:
        The path written.

    Raises:
        ArchiveError: a value that cannot be restored exactly, weights that are not finite, or a refusing disk.
    """
    file = Path(path)
    weights = {name: np.asarray(array) for name, array in content.weights.items()}
    for name, array in weights.items():
        if not is_finite(array):
            raise ArchiveError(
                f"Archive '{file}' is not written: weights '{name}' hold values that are not finite, so training "
                "diverged. Train with a lower learning rate; an earlier archive there is unchanged."
            )
    params_text, beside = arrays_beside(content)
    image = dump_arrays({f"weights/{name}": array for name, array in weights.items()} | beside)
    metadata = described(content) | {"checksums": {PARAMS: checksum(params_text), WEIGHTS: checksum(image)}}
    write_container(file, {METADATA: dump_json(metadata, "metadata"), PARAMS: params_text, WEIGHTS: image})
    return file


def is_foreign(path: str | Path) -> bool:
    """Return whether a model is in another kind of file than an archive of ours.

    Args:
        path: the archive, its folder, or its path without '.zip'.

    Returns:
        True for a model of another program that is read here, and for one of ours as ONNX.

    Raises:
        ArchiveError: neither; a subclass says what it is.
    """
    with open_model(_existing(path)) as file:
        if is_onnx(file):
            return True
        with open_container(file) as container:
            return kind_of(container.namelist()) is not Kind.OWN


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read what an archive says about itself, without its weights.

    Args:
        path: the archive, its folder, or its path without '.zip'; a model of the original PtychoPINN too.

    Returns:
        The checked contents of metadata.json: format, format_version, backend, package_version, versions, created,
        model, training, intensity_scale, history, weights (name -> shape and dtype), checksums, and seed where known;
        'converted_from' where another program trained the model, which then has no checksums of ours.

    Raises:
        ArchiveNotFoundError: no archive there.
        ArchiveError: a subclass says whether it is foreign, damaged, newer or unsafe.
    """
    with open_model(_existing(path)) as file:
        if is_onnx(file):
            return read_onnx_metadata(file)
        with open_container(file) as container:
            if kind_of(container.namelist()) is not Kind.OWN:
                return described(read_foreign(container))
            metadata = parse_metadata(read_member(container, METADATA))
            check_members(container)
            model_from_dict(metadata["model"])
            return metadata


def read_archive(path: str | Path) -> ArchiveContent:
    """Read an archive, ours or one of the original PtychoPINN; which it is, its content says.

    Args:
        path: the archive, its folder, or its path without '.zip'.

    Returns:
        What `write_archive` was given, bit for bit; of another program's model what it comes to here.

    Raises:
        ArchiveNotFoundError: no archive there.
        ArchiveError: a subclass says whether it is foreign, damaged, newer or unsafe; the class itself when it holds
            a network this installation does not know.
    """
    with open_model(_existing(path)) as file:
        if is_onnx(file):
            return read_onnx(file)
        with open_container(file) as container:
            if kind_of(container.namelist()) is not Kind.OWN:
                return read_foreign(container)
            metadata = parse_metadata(read_member(container, METADATA))
            check_members(container)
            params_text, image = read_member(container, PARAMS), read_member(container, WEIGHTS)
            for name, member in ((PARAMS, params_text), (WEIGHTS, image)):
                if metadata["checksums"].get(name) != checksum(member):
                    raise DamagedArchiveError(f"its member {name} does not match its checksum")
            return content_from(metadata, params_text, load_arrays(image))


def _existing(path: str | Path) -> Path:
    try:
        return find_archive(Path(path))
    except (ConfigError, OSError, ValueError) as error:
        if _is_saved_model(Path(path)):
            raise UnsupportedModelError(
                f"'{path}' is a folder of TensorFlow (SavedModel), as PtychoPINN wrote it before December 2024; only "
                "its archives are read. Train a model here, with the same scans and options."
            ) from error
        raise ArchiveNotFoundError(str(error)) from error


def _is_saved_model(path: Path) -> bool:
    folders = (path, path / MODEL_FOLDER, path / _EARLIEST, path / _EARLIEST / MODEL_FOLDER)
    try:
        return any((folder / SAVED_MODEL).is_file() for folder in folders)
    except (OSError, ValueError):
        return False
