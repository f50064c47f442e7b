"""The options of another program's model as configurations of this package."""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final

from ptychopinn_backend.archive.container import read_member
from ptychopinn_backend.archive.kinds import MODEL_FOLDER
from ptychopinn_backend.archive.weights import root_number
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.checks import is_number
from ptychopinn_backend.errors import ConfigError, DamagedArchiveError
from ptychopinn_backend.files.inert_pickle import GlobalName, Record, array_value, plain_value, read_inert
from ptychopinn_backend.legacy.params_bridge import KEY_MAPPINGS
from ptychopinn_backend.params import DEFAULTS

logger = logging.getLogger(__name__)

_LONGEST_LIST: Final = 64
_LONGEST_KEY: Final = 64
_LONGEST_TEXT: Final = 4096
_TENSOR: Final = GlobalName("tensorflow.python.framework.ops", "convert_to_tensor")
_ARRAY_OF_DILL: Final = GlobalName("dill._dill", "_create_array")
_PATHS: Final = tuple(GlobalName(module, "PosixPath") for module in ("pathlib", "pathlib._local"))
_SCALE: Final = "intensity_scale"
_ATTRIBUTED: Final = f"{MODEL_FOLDER}/model.h5"
"""Member whose root has the scale as an attribute."""
_NOT_TAKEN_OVER: Final = ("model", "n_images", "backend")
"""Fields of `TrainingConfig` that a stored value must not set: another name of n_groups, and who trains on."""
_OF_THE_PROBE: Final = (
    *("probe_mask", "probe_mask_sigma", "probe_mask_diameter", "probe_scale", "gaussian_smoothing_sigma"),
    "model_type",
)
"""Fields of `ModelConfig` that only the options tell; the network itself tells the others."""


def read_parameters(image: bytes, what: str) -> dict[str, Any]:
    """Return the parameters of a `params.dill`.

    Args:
        image: its bytes.
        what: how messages call it.

    Returns:
        Key -> None, bool, int, float, str or a list of those; 'probe' an array. Whatever else it holds is left out.

    Raises:
        DamagedArchiveError: it is malformed or no dictionary.
    """
    try:
        found = read_inert(image)
    except ValueError as error:
        raise DamagedArchiveError(f"its {what} cannot be read ({str(error)[:80]})") from error
    if not isinstance(found, dict):
        raise DamagedArchiveError(f"its {what} holds a {type(found).__name__} instead of key: value pairs")
    return plain_values(found)


def plain_values(found: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what of a dictionary from a pickle is plain.

    Args:
        found: as `read_inert` returns it.

    Returns:
        Key -> value.
    """
    values: dict[str, Any] = {}
    for key, value in found.items():
        if isinstance(key, str) and len(key) <= _LONGEST_KEY:
            with suppress(ValueError):
                values[key] = _probe(value) if key == "probe" else _plain(value)
    return values


def intensity_scale(container: zipfile.ZipFile, stored: Mapping[str, Any]) -> float:
    """Return the scale of a TensorFlow archive: of its parameters, else of the attribute that Keras files had for it.

    Args:
        container: from `open_container`.
        stored: its parameters.

    Returns:
        The factor from far-field amplitude to counts.

    Raises:
        DamagedArchiveError: neither tells a number above zero.
    """
    scale = positive_number(stored, _SCALE)
    if scale is None and _ATTRIBUTED in container.namelist():
        scale = positive_number({_SCALE: root_number(read_member(container, _ATTRIBUTED), _SCALE)}, _SCALE)
    if scale is None:
        raise DamagedArchiveError(f"neither its params.dill nor its {_ATTRIBUTED} tells the intensity scale")
    return scale


def _plain(value: Any) -> Any:
    value = _of_numpy(value)
    if isinstance(value, Record) and value.made_by in _PATHS:
        return "/".join(map(str, value.args)).replace("//", "/", 1)[:_LONGEST_TEXT]
    plain = plain_value(value, _LONGEST_LIST)
    if not all(map(_is_plain, plain if isinstance(plain, list) else [plain])):
        raise ValueError("nothing plain")
    return plain


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    if isinstance(value, int):
        return value.bit_length() < _LONGEST_LIST
    return value is None or isinstance(value, float)


def _probe(value: Any) -> AnyArray:
    array = array_value(_of_numpy(value))
    return array.astype(array.dtype.newbyteorder("="))


def _of_numpy(value: Any) -> Any:
    """Return an array as NumPy pickles it, where another program wraps it; anything else as it is."""
    # dill keeps an array as a call of its own; a tensor of TensorFlow is kept as the array it is made of.
    while isinstance(value, Record) and value.made_by == _TENSOR:
        value = value.args[0] if value.args else None
    if isinstance(value, Record) and value.made_by == _ARRAY_OF_DILL and len(value.args) > 2:
        value = Record(value.args[0], (), state=value.args[2])
    return value


def legacy_snapshot(stored: Mapping[str, Any], backend: str) -> dict[str, Any]:
    """Return what `params.cfg` holds after the model is opened.

    Args:
        stored: parameters of the archive.
        backend: who trained it.

    Returns:
        Legacy key -> value; keys the archive lacks have their historical defaults.
    """
    return {**DEFAULTS, **{key: value for key, value in stored.items() if key != "_version"}, "backend": backend}


def positive_number(stored: Mapping[str, Any], key: str) -> float | None:
    """Return a parameter that must be a number above zero, or None where it is none."""
    value: Any = stored.get(key)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if is_number(value) and value > 0 else None


def model_options(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `ModelConfig` that concern probe and kind of training.

    Args:
        stored: parameters under their names or their legacy keys.

    Returns:
        Field -> value, each valid by itself.
    """
    options: dict[str, Any] = {}
    for name in _OF_THE_PROBE:
        value = _stored(stored, name)
        if value is not None and _accepts(ModelConfig, name, value):
            options[name] = value
    return options


def training_config(stored: Mapping[str, Any], model: ModelConfig) -> TrainingConfig:
    """Return how a model was trained, as far as it is told and has a meaning here.

    Args:
        stored: parameters under their names or their legacy keys.
        model: the network.

    Returns:
        The configuration; what is missing or has no meaning here has its default.
    """
    options: dict[str, Any] = {}
    for item in fields(TrainingConfig):
        value = _stored(stored, item.name)
        if item.name in _NOT_TAKEN_OVER or value is None:
            continue
        if _accepts(TrainingConfig, item.name, value):
            options[item.name] = value
    try:
        return TrainingConfig(model=model, **options)
    except ConfigError as error:
        # Each is valid, together they contradict one another; a model is opened to predict.
        logger.info("The training options of the model are not taken over: %s", error)
        return TrainingConfig(model=model)


def _stored(stored: Mapping[str, Any], name: str) -> Any:
    value = stored.get(KEY_MAPPINGS.get(name, name), stored.get(name))
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def _accepts(owner: type[ModelConfig] | type[TrainingConfig], name: str, value: Any) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            owner(**{name: value})
    except (ConfigError, TypeError, ValueError, OverflowError):
        logger.info("The model's option %s = %.80r has no meaning here and is left at its default.", name, value)
        return False
    return True
