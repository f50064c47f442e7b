"""Named sets of options for training, so that a good image needs no tuning; an option given explicitly wins.

'fast' and 'fine' use the generator with back-projection on groups of overlapping patterns: the patches of a group are
averaged before they are compared with the counts, which makes neighbours agree. They differ in epochs alone. 'legacy'
is the historical 'cnn' with its defaults. The numbers behind the choices are in docs/fidelity.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from ptychopinn_backend.config_checks import require_choice

_BACK_PROJECTION: Final = {
    "architecture": "backprojection_unet",
    "gridsize": 3,
    "n_filters_scale": 2,
    "batch_size": 1,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "scheduler": "WarmupCosine",
    "lr_min_ratio": 0.01,
    "learning_rate": 2e-3,
    "gradient_clip_val": 1.0,
    # A patch of this generator carries its own scale; a second, shared one only makes every step noisier.
    "intensity_scale_trainable": False,
    "validation_fraction": 0.0,
    "nll_weight": 0.0,
    "mse_weight": 1.0,
}

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "fast": {**_BACK_PROJECTION, "nepochs": 16, "lr_warmup_epochs": 4},
        "fine": {**_BACK_PROJECTION, "nepochs": 60, "lr_warmup_epochs": 6},
        "legacy": {"architecture": "cnn"},
    }
)
"""Preset name -> option name -> value."""

DEFAULT_PRESET: Final = "fast"


class SizedScan(Protocol):
    """What a preset must know of a scan."""

    @property
    def n_patterns(self) -> int:
        """Number of scan points."""


def preset_options(name: str, scans: Sequence[SizedScan], gridsize: int | None = None) -> dict[str, Any]:
    """Return the options of a preset, fitted to the size of the scans.

    Args:
        name: 'fast', 'fine' or 'legacy'.
        scans: the scans it will train on.
        gridsize: given explicitly, or None for the preset's own.

    Returns:
        Option name -> value. An epoch of a preset with groups visits about as many patterns as the scans hold.

    Raises:
        ConfigError: unknown name.
    """
    require_choice("preset", name, tuple(PRESETS))
    options = dict(PRESETS[name])
    if "gridsize" not in options:
        return options
    fewest = min(scan.n_patterns for scan in scans)
    # A group is drawn from the neighbours of its seed point, so it needs one point more than it has members.
    wanted = gridsize if gridsize is not None else options["gridsize"]
    options["gridsize"] = wanted if gridsize is not None else min(wanted, max(1, math.isqrt(max(1, fewest - 1))))
    members = options["gridsize"] ** 2
    options["groups_per_epoch"] = max(1, math.ceil(sum(scan.n_patterns for scan in scans) / members))
    if members == 1:
        options["batch_size"] = 8
    return options
