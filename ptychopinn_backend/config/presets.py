"""Named sets of options: what to train with when only a scan is given.

'fast' is a good image in minutes, 'fine' the best one this package gives, 'legacy' the historical 'cnn' with its
defaults, and 'auto' looks at the scan. The numbers behind the choices are in docs/fidelity.md.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.config.scan_traits import DescribedScan, scan_traits

logger = logging.getLogger(__name__)

_BACK_PROJECTION: Final = {
    "architecture": "backprojection_unet",
    "gridsize": 3,
    "n_filters_scale": 2,
    "batch_size": 1,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "scheduler": "WarmupCosine",
    "lr_min_ratio": 0.01,
    "learning_rate": 1e-3,
    # Gradients of single groups differ in size: twice this rate, or a longer memory of squares, may diverge.
    "adam_beta2": 0.99,
    "gradient_clip_val": 1.0,
    # A patch of this generator carries its own scale; a second, shared one only makes every step noisier.
    "intensity_scale_trainable": False,
    "validation_fraction": 0.0,
    "nll_weight": 0.0,
    "mse_weight": 1.0,
    "target_photon_fraction": 0.0,
    "held_out_fraction": 0.04,
}

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "fast": {**_BACK_PROJECTION, "nepochs": 16, "lr_warmup_epochs": 4},
        "fine": {**_BACK_PROJECTION, "nepochs": 60, "lr_warmup_epochs": 6},
        "legacy": {"architecture": "cnn"},
    }
)
"""Preset name -> option name -> value."""

PRETRAINING: Final[Mapping[str, Any]] = MappingProxyType(
    {**_BACK_PROJECTION, "held_out_fraction": 0.0, "nepochs": 10, "lr_warmup_epochs": 1, "groups_per_epoch": 200}
)
"""Options of pre-training on simulated objects, where an epoch is only a number of groups."""

EPOCH_PATTERNS: Final = 1024
"""Most patterns an epoch of a preset visits, so that a large scan takes no longer than a small one."""

AUTO: Final = "auto"
"""The preset that is chosen from the scans by `choose_preset`."""
DEFAULT_PRESET: Final = AUTO

AUTO_VISITS: Final = 14 * EPOCH_PATTERNS
"""Patterns that a training with 'auto' visits at least, epochs together: a scan with few positions needs as many steps
as one with many. With 128 x 128 pixels they take five minutes on two cores."""
_WARMUP_PART: Final = 10
"""One of so many epochs raises the learning rate."""

NOISY_COUNTS: Final = 10.0
"""Counts in the light of a pattern below which the noise of counting is no longer that of a square root, and so large
that a network would learn it."""
_NOISY: Final[Mapping[str, Any]] = MappingProxyType(
    {"nll_weight": 1.0, "mse_weight": 0.0, "target_photon_fraction": 0.2}
)

MINIMUM_OVERLAP: Final = 0.3
"""Neighbouring patches that share less of the probe's diameter than this are trained one by one."""
_PROBE_SCANS: Final = 4


class PresetChoice(NamedTuple):
    """A preset and why it was chosen."""

    name: str
    """A name in `PRESETS`."""
    gridsize: int | None
    """Neighbouring patterns of a group along each side, or None for the preset's own."""
    reason: str
    """One line for the log."""


@dataclass(frozen=True)
class FittedPreset:
    """A preset with values that suit the scans."""

    name: str
    """A name in `PRESETS`."""
    reason: str
    """Why 'auto' chose it; empty where it was named."""
    options: Mapping[str, Any]
    """Option name -> value."""

    def __str__(self) -> str:
        """Return the name, with the reason where there is one."""
        return f"{self.name} ({self.reason})" if self.reason else self.name


def choose_preset(scans: Sequence[DescribedScan]) -> PresetChoice:
    """Choose a preset for scans; the caller logs the reason.

    The network that is given the physics wins at every dose, width and phase of the probe that was measured
    (docs/fidelity.md), so that the overlap alone decides: patterns whose patches hardly meet are trained one by one.

    Args:
        scans: what will be trained on; the scan with the least overlap decides.

    Returns:
        The choice.
    """
    traits = [found for found in map(scan_traits, scans[:_PROBE_SCANS]) if found is not None]
    if not traits:
        single = all(scan.n_patterns < 2 for scan in scans)
        return PresetChoice("fast", None, "a single pattern" if single else "no probe to tell the overlap by")
    least = min(traits, key=lambda found: found.overlap)
    if least.overlap < MINIMUM_OVERLAP:
        return PresetChoice("fast", 1, f"{least}: patches hardly overlap")
    return PresetChoice("fast", None, str(least))


def fitted_preset(
    name: str, scans: Sequence[DescribedScan], gridsize: int | None = None, *, log: bool = True
) -> FittedPreset:
    """Return a preset fitted to the size of the scans.

    Args:
        name: 'auto', 'fast', 'fine' or 'legacy'.
        scans: the scans it will train on.
        gridsize: given explicitly, or None for the preset's own.
        log: what 'auto' chooses is logged.

    Returns:
        The preset. An epoch of one with groups visits about as many patterns as the scans hold, but no more than
        `EPOCH_PATTERNS`, drawn anew every time.

    Raises:
        ConfigError: unknown name.
    """
    require_preset(name)
    chosen: int | None = None
    reason = ""
    is_auto = name == AUTO
    if is_auto:
        choice = choose_preset(scans)
        name, chosen, reason = choice
    options = dict(PRESETS[name])
    if "gridsize" in options:
        options["gridsize"] = _possible_gridsize(chosen or options["gridsize"], scans) if gridsize is None else gridsize
        members = options["gridsize"] ** 2
        visited = min(sum(scan.n_patterns for scan in scans), EPOCH_PATTERNS)
        options["groups_per_epoch"] = max(1, math.ceil(visited / members))
        if members == 1:
            options["batch_size"] = 8
    if is_auto:
        reason += _grouping(options["gridsize"], chosen, gridsize)
        found = _evidence(scans, options)
        options |= found.options
        reason = f"{reason}; {found.reason}"
        if log:
            logger.info("Preset %s chosen: %s.", name, reason)
    return FittedPreset(name, reason, options)


def _grouping(gridsize: int, chosen: int | None, given: int | None) -> str:
    """Return how neighbours are trained, as the end of the reason."""
    if gridsize > 1:
        return f": neighbours are trained together, {gridsize**2} at a time"
    if given is not None:
        return ": patterns are trained one by one, as asked for"
    return ", so patterns are trained one by one" if chosen == 1 else ": too few patterns for groups of neighbours"


class _Evidence(NamedTuple):
    options: Mapping[str, Any]
    reason: str


def _evidence(scans: Sequence[DescribedScan], options: Mapping[str, Any]) -> _Evidence:
    """Return what the number of patterns and their counts decide: how long to train, and with which likelihood."""
    visited = options["groups_per_epoch"] * options["gridsize"] ** 2
    nepochs = max(options["nepochs"], math.ceil(AUTO_VISITS / visited))
    warmup = max(options["lr_warmup_epochs"], nepochs // _WARMUP_PART)
    found: dict[str, Any] = {"nepochs": nepochs, "lr_warmup_epochs": warmup}
    length = f"{nepochs} epochs of {visited} patterns"
    counts = [scan.counts_in_light for scan in scans]
    known = [value for value in counts if value is not None]
    if not known or len(known) < len(counts):
        return _Evidence(found, f"{length}; squared amplitudes, for the counts are not known")
    fewest = min(known)
    if fewest < NOISY_COUNTS:
        split = f"Poisson likelihood of photons the network is not shown, for {fewest:.2g} counts where the light is"
        return _Evidence({**found, **_NOISY}, f"{length}; {split}")
    return _Evidence(found, f"{length}; squared amplitudes, for {fewest:.2g} counts where the light is")


def unfitted_options(name: str) -> Mapping[str, Any]:
    """Return the options of a preset before the scans are known.

    Args:
        name: of the preset. What 'auto' chooses decides the same options as 'fast', whose values stand until then.

    Returns:
        Option name -> value.

    Raises:
        ConfigError: unknown name.
    """
    require_preset(name)
    return PRESETS["fast" if name == AUTO else name]


def require_preset(name: str) -> None:
    """Raise `ConfigError` unless a preset has this name; the nearest one is suggested."""
    require_choice("preset", name, (AUTO, *PRESETS))


def preset_options(name: str, scans: Sequence[DescribedScan], gridsize: int | None = None) -> dict[str, Any]:
    """Return the options of `fitted_preset` alone, with the same arguments."""
    return dict(fitted_preset(name, scans, gridsize).options)


def pretraining_preset(scans: Sequence[DescribedScan]) -> FittedPreset:
    """Return the options of pre-training on simulated objects, fitted to the size of the scans.

    Args:
        scans: the instruments.

    Returns:
        The preset.
    """
    options = {**PRETRAINING, "gridsize": _possible_gridsize(PRETRAINING["gridsize"], scans)}
    return FittedPreset("pre-training", "", options)


def _possible_gridsize(wanted: int, scans: Sequence[DescribedScan]) -> int:
    # A group is drawn from the neighbours of its seed point, so it needs one point more than it has members.
    fewest = min(scan.n_patterns for scan in scans)
    return min(wanted, max(1, math.isqrt(max(1, fewest - 1))))
