"""A model exported as ONNX, read back: its weights are initialisers of the graph, all else lies in its metadata.

Only the weights and the description are read; the graph is never run from here, but built anew from them. So a file
can do nothing but hold numbers, and it opens in every backend, without the packages of ONNX.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.kinds import PARAMS, WEIGHTS
from ptychopinn_backend.archive.metadata import (
    arrays_beside,
    checksum,
    content_from,
    described,
    model_from_dict,
    parse_metadata,
)
from ptychopinn_backend.archive.protocol_buffers import fields_of, first_of, read_varint
from ptychopinn_backend.archive.typed_json import dump_json
from ptychopinn_backend.archive.weights import dump_arrays, load_arrays
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ONNX
from ptychopinn_backend.errors import DamagedArchiveError, ForeignArchiveError
from ptychopinn_backend.networks.weights import PROBE, from_onnx_layout

PRODUCER: Final = "ptychopinn-backend"
"""Name of the producer in the file."""
SUFFIX: Final = ".onnx"
MAX_BYTES: Final = 2**31
"""Size a file may have, the limit of protocol buffers."""
_METADATA_KEY: Final = "ptychopinn_backend.metadata"
_PARAMS_KEY: Final = "ptychopinn_backend.params"
_ARRAYS_KEY: Final = "ptychopinn_backend.arrays"
_CHECKED: Final = (PARAMS, WEIGHTS, "arrays")
"""What has a checksum in the metadata."""
_FLOAT: Final = 1
_MAX_RANK: Final = 8
# Numbers of fields: ModelProto, GraphProto, TensorProto and StringStringEntryProto of onnx.proto.
_GRAPH, _PROPERTIES, _INITIALISER = 7, 14, 5
_KEY, _VALUE = 1, 2
_SIDES, _TYPE, _NAME, _CONTENT, _PLACE = 1, 2, 8, 9, 14


def embedded(content: ArchiveContent) -> dict[str, str]:
    """Return what an exported model carries beside its graph, so that it can be read back.

    Args:
        content: the model.

    Returns:
        Key -> text.

    Raises:
        ArchiveError: a value that cannot be restored exactly.
    """
    params_text, beside = arrays_beside(content)
    image = dump_arrays(
        beside | {f"weights/{PROBE}": array for name, array in content.weights.items() if name == PROBE}
    )
    digests = checksum(params_text), _digest(content.weights), checksum(image)
    metadata = described(content) | {"checksums": dict(zip(_CHECKED, digests, strict=True))}
    return {
        _METADATA_KEY: dump_json(metadata, "metadata").decode(),
        _PARAMS_KEY: params_text.decode(),
        _ARRAYS_KEY: base64.b64encode(image).decode(),
    }


def is_onnx(file: BinaryIO) -> bool:
    """Return whether a file is a model as ONNX: one of ours by its content, any other by its name.

    Args:
        file: an open file, at its start; it is left there.

    Returns:
        Whether `read_onnx` should be asked.
    """
    start = file.read(64)
    file.seek(0)
    return start[:1] == b"\x08" and (PRODUCER.encode() in start or Path(file.name).suffix.lower() == SUFFIX)


def read_onnx_metadata(file: BinaryIO) -> dict[str, Any]:
    """Return what an exported model says about itself, as `read_metadata` does.

    Args:
        file: the model, open at its start.

    Returns:
        JSON values by name.

    Raises:
        ArchiveError: as for `read_onnx`.
    """
    metadata = parse_metadata(_texts(_message(file))[_METADATA_KEY])
    model_from_dict(metadata["model"])
    return metadata


def read_onnx(file: BinaryIO) -> ArchiveContent:
    """Return the model that `ptychopinn export` wrote.

    Args:
        file: the model, open at its start.

    Returns:
        Its content; for the backend of ONNX Runtime unless another is named.

    Raises:
        ForeignArchiveError: another program wrote it.
        DamagedArchiveError: malformed, or changed after it was written.
    """
    message = _message(file)
    texts = _texts(message)
    metadata = parse_metadata(texts[_METADATA_KEY])
    try:
        image = base64.b64decode(texts.get(_ARRAYS_KEY, b""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DamagedArchiveError(f"its metadata '{_ARRAYS_KEY}' cannot be read ({error})") from error
    params_text = texts.get(_PARAMS_KEY, b"")
    arrays = load_arrays(image)
    weights = _initialisers(message, frozenset(metadata["weights"]))
    weights |= {PROBE: arrays[f"weights/{PROBE}"]} if f"weights/{PROBE}" in arrays else {}
    found = {"parameters": checksum(params_text), "weights": _digest(weights), "arrays": checksum(image)}
    for (name, digest), key in zip(found.items(), _CHECKED, strict=True):
        if metadata["checksums"].get(key) != digest:
            raise DamagedArchiveError(
                f"its {name} do not match their checksum, so it was changed after it was exported"
            )
    named = {f"weights/{name}": array for name, array in weights.items()}
    return replace(content_from(metadata, params_text, {**arrays, **named}), opens_with=ONNX)


def _digest(weights: Mapping[str, AnyArray]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode())
        total.update(np.ascontiguousarray(weights[name]).tobytes())
    return total.hexdigest()


def _message(file: BinaryIO) -> list[tuple[int, Any]]:
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        raise ForeignArchiveError("it is larger than a file of ONNX can be")
    file.seek(0)
    try:
        return fields_of(file.read())
    except (ValueError, IndexError) as error:
        raise DamagedArchiveError(f"it is no whole file of ONNX ({error})") from error


def _texts(message: list[tuple[int, Any]]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        for number, value in message:
            if number == _PROPERTIES:
                entry = fields_of(value)
                found[first_of(entry, _KEY, b"").decode()] = first_of(entry, _VALUE, b"")
    except (ValueError, IndexError) as error:
        raise DamagedArchiveError(f"its metadata cannot be read ({error})") from error
    if _METADATA_KEY not in found:
        raise ForeignArchiveError("it is a model as ONNX that 'ptychopinn export' did not write")
    return found


def _initialisers(message: list[tuple[int, Any]], names: frozenset[str]) -> dict[str, AnyArray]:
    try:
        tensors = [
            fields_of(value) for number, value in fields_of(first_of(message, _GRAPH, b"")) if number == _INITIALISER
        ]
        named = {first_of(tensor, _NAME, b"").decode(): tensor for tensor in tensors}
        return {name: from_onnx_layout(_array(name, tensor)) for name, tensor in named.items() if name in names}
    except (ValueError, IndexError) as error:
        raise DamagedArchiveError(f"its weights cannot be read ({error})") from error


def _array(name: str, tensor: list[tuple[int, Any]]) -> AnyArray:
    shape: list[int] = []
    for number, value in tensor:
        if number == _SIDES:
            shape += [value] if isinstance(value, int) else _packed(value)
    content = first_of(tensor, _CONTENT, b"")
    if first_of(tensor, _TYPE, 0) != _FLOAT or first_of(tensor, _PLACE, 0) != 0:
        raise ValueError(f"'{name[:60]}' is not kept as single precision in the file itself")
    if len(shape) > _MAX_RANK or math.prod(shape) * 4 != len(content):
        raise ValueError(f"'{name[:60]}' has shape {tuple(shape[:_MAX_RANK])} in {len(content)} bytes")
    return np.frombuffer(content, "<f4").reshape(shape)


def _packed(values: bytes) -> list[int]:
    found, at = [], 0
    while at < len(values):
        value, at = read_varint(values, at)
        found.append(value)
    return found
