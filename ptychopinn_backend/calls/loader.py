"""The module `loader` of existing scripts: groups from a function that returns a grouped dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ptychopinn_backend import params
from ptychopinn_backend.arrays import AnyArray, require_shape
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.stitching.assembly import reassemble_position

__all__ = ["PtychoDataContainer", "RawData", "container_of", "load", "reassemble_position"]

_PARTS: Final = ("train", "test")


def load(
    cb: Callable[[], Any], probeGuess: AnyArray, which: str | None = None, create_split: bool = False
) -> PtychoDataContainer:
    """Return the groups that a function gives (legacy name).

    Args:
        cb: returns the dictionary of `RawData.generate_grouped_data`; with `create_split` also the fraction of the
            groups that train, (dictionary, fraction).
        probeGuess: (N, N) or (mode, N, N) complex.
        which: part that is kept with `create_split`: 'train', the first groups, or 'test', the others.
        create_split: keep one part.

    Returns:
        The groups; the probe is normalised with 'probe_scale' of `params.cfg`.

    Raises:
        DataError: the function returns something else, or its arrays do not fit each other.
        ConfigError: `which` is neither part, or the fraction leaves one of them empty.
    """
    given = cb()
    grouped, fraction = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if not create_split:
        return container_of(grouped, probeGuess)
    require_choice("which", which, _PARTS)
    if fraction is None:
        raise DataError(
            "create_split = True, and the function returns no fraction. Return (dictionary, fraction of the groups "
            "that train), or set create_split to False."
        )
    groups = container_of(grouped, probeGuess)
    n_train = round(fraction * groups.n_groups) if isinstance(fraction, int | float) else -1
    if not 0 < n_train < groups.n_groups:
        raise ConfigError(
            f"A fraction of {fraction!r} of {groups.n_groups} groups leaves nothing to train or nothing to test. Give "
            "a number between 0 and 1."
        )
    order = np.arange(groups.n_groups)
    return groups.subset(order[:n_train] if which == _PARTS[0] else order[n_train:])


def container_of(grouped: Any, probe: AnyArray) -> PtychoDataContainer:
    """Return the groups of a grouped dictionary, with N and gridsize as its arrays say.

    Args:
        grouped: dictionary of `RawData.generate_grouped_data`.
        probe: (N, N) or (mode, N, N) complex.

    Returns:
        The groups; the probe is normalised with 'probe_scale' of `params.cfg`.

    Raises:
        DataError: it is no such dictionary, or its arrays do not fit each other.
    """
    needed = ("diffraction", "nn_indices", "coords_nn")
    if not isinstance(grouped, Mapping) or any(name not in grouped for name in needed):
        found = sorted(map(str, grouped)) if isinstance(grouped, Mapping) else type(grouped).__name__
        raise DataError(
            f"Groups are given as {found}; a dictionary with {', '.join(needed)} is needed. Give what "
            "RawData.generate_grouped_data returns."
        )
    diffraction = np.asarray(grouped["diffraction"])
    require_shape("diffraction", diffraction, (None, None, None, None), "(group, N, N, channel)")
    gridsize = round(diffraction.shape[3] ** 0.5)
    scale = params.get("probe_scale", ModelConfig.probe_scale)
    model = ModelConfig(N=diffraction.shape[1], gridsize=max(gridsize, 1), probe_scale=scale)
    return PtychoDataContainer.from_grouped_data(grouped, probe, model)
