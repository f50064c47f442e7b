"""What an archive says about itself (metadata.json), written and checked; the same in every kind of file of ours."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from ptychopinn_backend.archive.content import ArchiveContent, package_version
from ptychopinn_backend.archive.kinds import METADATA, PARAMS
from ptychopinn_backend.archive.typed_json import dump_json, load_json
from ptychopinn_backend.arrays import PLAIN_DTYPES, AnyArray, Complex64Array
from ptychopinn_backend.config import BACKENDS, ModelConfig, TrainingConfig
from ptychopinn_backend.config.generators import generator_names
from ptychopinn_backend.errors import (
    ArchiveError,
    ConfigError,
    DamagedArchiveError,
    ForeignArchiveError,
    NewerArchiveError,
)

FORMAT: Final = "ptychopinn-backend archive"
FORMAT_VERSION: Final = 1
MAX_RANK: Final = 32
"""Axes an array may have, the limit of HDF5."""
UPGRADES: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""Format version -> function that turns metadata of that version into metadata of the next one."""
GIVEN_PROBES: Final = "probes/given"
"""Name of the probes a model was trained with, among the arrays of an archive."""
_T = TypeVar("_T")


def described(content: ArchiveContent) -> dict[str, Any]:
    """Return what metadata.json says of a model, without the checksums.

    Args:
        content: the model.

    Returns:
        JSON values by name.
    """
    origin = {"converted_from": content.converted_from} if content.converted_from else {}
    weights = {name: np.asarray(array) for name, array in content.weights.items()}
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "backend": content.backend,
        "package_version": content.package_version,
        **origin,
        "versions": content.versions,
        "created": content.created,
        "model": _config_to_dict(content.model),
        "training": _config_to_dict(content.training),
        "intensity_scale": float(content.intensity_scale),
        "history": {name: [float(value) for value in values] for name, values in content.history.items()},
        "weights": {name: {"shape": list(a.shape), "dtype": a.dtype.name} for name, a in weights.items()},
    }
    return document | ({} if content.seed is None else {"seed": content.seed})


def parse_metadata(text: bytes) -> dict[str, Any]:
    """Return what metadata.json says, brought to the present version and checked.

    Args:
        text: its bytes.

    Returns:
        JSON values by name.

    Raises:
        ForeignArchiveError: it is not of this package.
        NewerArchiveError: a later version wrote it.
        DamagedArchiveError: it does not say what it should.
    """
    try:
        metadata = load_json(text)
    except ValueError as error:
        raise DamagedArchiveError(f"its {METADATA} is not valid JSON ({error})") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ForeignArchiveError(f"its {METADATA} does not say '{FORMAT}'")
    version = _member(metadata, "format_version", int)
    if version > FORMAT_VERSION:
        writer = metadata.get("package_version", "unknown")
        raise NewerArchiveError(
            f"it has format version {version}, written by ptychopinn-backend {str(writer)[:40]}; this is "
            f"{package_version()}, which reads up to {FORMAT_VERSION}"
        )
    if version < 1:
        raise DamagedArchiveError(f"format version {version} never existed")
    document: dict[str, Any] = metadata
    for step in range(version, FORMAT_VERSION):
        document = UPGRADES[step](document)
    _check_metadata(document)
    return document


def _check_metadata(metadata: dict[str, Any]) -> None:
    for name in (
        "backend",
        "package_version",
        "created",
        *(("converted_from",) if "converted_from" in metadata else ()),
    ):
        _member(metadata, name, str)
    for name in ("versions", "model", "training", "history", "weights", "checksums"):
        _member(metadata, name, dict)
    if metadata["backend"] not in BACKENDS:
        raise DamagedArchiveError(f"its backend {metadata['backend'][:40]!r} is not one of {', '.join(BACKENDS)}")
    if not 0 < _member(metadata, "intensity_scale", float) < math.inf:
        raise DamagedArchiveError(f"its intensity_scale is {metadata['intensity_scale']}, not a number above 0")
    if "seed" in metadata and _member(metadata, "seed", int) < 0:
        raise DamagedArchiveError(f"its seed is {metadata['seed']}, a number below 0")
    if not all(type(text) is str for text in metadata["versions"].values()):
        raise DamagedArchiveError("its versions are not text")
    for name, values in metadata["history"].items():
        if type(values) is not list or not all(type(value) is float for value in values):
            raise DamagedArchiveError(f"its history '{name}' is not a list of numbers")
    for name, entry in metadata["weights"].items():
        if not isinstance(entry, dict) or not _is_description(entry):
            raise DamagedArchiveError(f"its weights '{name}' are not described by a shape and a type of number")
    try:
        datetime.fromisoformat(metadata["created"])
    except ValueError as error:
        raise DamagedArchiveError(f"its creation time {metadata['created'][:40]!r} is not ISO 8601") from error


def _is_description(entry: dict[str, Any]) -> bool:
    shape = _member(entry, "shape", list)
    plain = _member(entry, "dtype", str) in PLAIN_DTYPES
    return plain and len(shape) <= MAX_RANK and all(type(n) is int and 0 <= n < 2**48 for n in shape)


def _member(document: dict[str, Any], name: str, kind: type[_T]) -> _T:
    value = document.get(name)
    if type(value) is not kind:
        found = type(value).__name__ if name in document else "missing"
        raise DamagedArchiveError(f"'{name}' in its {METADATA} is {found} instead of {kind.__name__}")
    return value


def _parse_params(text: bytes, arrays: Mapping[str, AnyArray]) -> dict[str, Any]:
    try:
        params = load_json(text, arrays)
    except ValueError as error:
        raise DamagedArchiveError(f"its {PARAMS} cannot be read ({error})") from error
    if not isinstance(params, dict):
        raise DamagedArchiveError(f"its {PARAMS} holds a {type(params).__name__} instead of key: value pairs")
    return params


def arrays_beside(content: ArchiveContent) -> tuple[bytes, dict[str, AnyArray]]:
    """Return params.json and the arrays that stand beside the weights.

    Args:
        content: the model.

    Returns:
        Text, and name -> array: 'params/...' and 'probes/given'.

    Raises:
        ArchiveError: a value that cannot be restored exactly.
    """
    put_aside: dict[str, AnyArray] = {}
    text = dump_json(content.params, "params", put_aside)
    probes = {} if content.probes is None else {GIVEN_PROBES: content.probes}
    return text, {f"params/{name}": array for name, array in put_aside.items()} | probes


def content_from(metadata: dict[str, Any], params_text: bytes, arrays: Mapping[str, AnyArray]) -> ArchiveContent:
    """Return the model that a file of ours holds.

    Args:
        metadata: from `parse_metadata`.
        params_text: params.json.
        arrays: 'weights/...', 'params/...' and 'probes/given'.

    Returns:
        The model.

    Raises:
        ArchiveError: parts that do not fit each other; a subclass says which.
    """
    model = model_from_dict(metadata["model"])
    return ArchiveContent(
        backend=metadata["backend"],
        model=model,
        training=_training_from_dict(metadata["training"], model),
        intensity_scale=metadata["intensity_scale"],
        weights=_checked_weights(_below("weights/", arrays), metadata["weights"]),
        history=metadata["history"],
        params=_parse_params(params_text, _below("params/", arrays)),
        versions=metadata["versions"],
        created=metadata["created"],
        package_version=metadata["package_version"],
        seed=metadata.get("seed"),
        probes=_checked_probes(arrays.get(GIVEN_PROBES), model.N),
        converted_from=metadata.get("converted_from", ""),
    )


def _config_to_dict(config: ModelConfig | TrainingConfig) -> dict[str, Any]:
    """Return the fields of a config as JSON values; paths as str, the nested model left out."""
    values = {item.name: getattr(config, item.name) for item in fields(config) if item.name != "model"}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def model_from_dict(values: dict[str, Any]) -> ModelConfig:
    """Return the configuration of a network.

    Args:
        values: field -> value.

    Returns:
        The configuration.

    Raises:
        ArchiveError: a network that this installation does not know.
        DamagedArchiveError: a value breaks its rule.
    """
    architecture = values.get("architecture", "cnn")
    if isinstance(architecture, str) and architecture not in generator_names():
        raise ArchiveError(
            f"its network is of architecture '{architecture[:80]}', which this installation does not know (known: "
            f"{', '.join(generator_names())}). Install the package that offers it, or update ptychopinn-backend"
        )
    return _config_from_dict(ModelConfig, values)


def _training_from_dict(values: dict[str, Any], model: ModelConfig) -> TrainingConfig:
    if "model" in values:
        raise DamagedArchiveError("its training configuration has a field 'model', which has its own place")
    return _config_from_dict(TrainingConfig, {**values, "model": model})


def _config_from_dict(owner: type[_T], values: dict[str, Any]) -> _T:
    """Build a config; fields the writer did not know yet take their defaults."""
    unknown = sorted(set(values) - {item.name for item in fields(owner)})  # type: ignore[arg-type]
    if unknown:
        raise DamagedArchiveError(f"its {owner.__name__} has unknown fields ({', '.join(map(repr, unknown[:5]))})")
    try:
        with warnings.catch_warnings():
            # A deprecated field was warned about when the model was trained.
            warnings.simplefilter("ignore", DeprecationWarning)
            return owner(**values)
    except (ConfigError, TypeError, ValueError, OverflowError) as error:
        raise DamagedArchiveError(f"its {owner.__name__} is not valid ({error})") from error


def _below(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _checked_weights(weights: dict[str, AnyArray], entries: dict[str, Any]) -> dict[str, AnyArray]:
    """Return the weights in the order of the description, after comparing the two."""
    if weights.keys() != entries.keys():
        differing = sorted(weights.keys() ^ entries.keys())[:5]
        raise DamagedArchiveError(f"its weights and their description differ in {', '.join(map(repr, differing))}")
    for name, array in weights.items():
        if list(array.shape) != entries[name]["shape"] or array.dtype.name != entries[name]["dtype"]:
            raise DamagedArchiveError(f"its weights '{name}' have shape {array.shape}, {array.dtype}; not as described")
        if not is_finite(array):
            raise DamagedArchiveError(f"its weights '{name}' hold values that are not finite")
    return {name: weights[name] for name in entries}


def _checked_probes(probes: AnyArray | None, N: int) -> Complex64Array | None:
    if probes is None:
        return None
    is_stack = probes.ndim == 4 and probes.dtype == np.complex64 and probes.shape[2:] == (N, N) and probes.size > 0
    if not is_stack or not is_finite(probes) or not np.abs(probes).max(axis=(1, 2, 3)).all():
        raise DamagedArchiveError(
            f"its probes have shape {probes.shape}, {probes.dtype}; not (scan, mode, {N}, {N}), complex64, finite, "
            "with light in each"
        )
    return probes


def is_finite(array: AnyArray) -> bool:
    """Return whether an array holds no infinity and no NaN."""
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def checksum(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
