"""What a setting of the library is: its key in the settings file, the configuration field it sets, how it is shown.

The settings themselves are in one table for each settings group of Ptychodus: `model_options`, `training_options`,
`inference_options`. Keys that the host has keep its defaults and bounds, so that settings files written without this
package open unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from ptychopinn_backend.config import ONNX
from ptychopinn_backend.config.presets import AUTO, PRESETS

CUSTOM: Final = "custom"
"""The preset that leaves every option to the user."""
PRODUCT: Final = "product"
FOLDER: Final = "folder"
TRAIN_ON: Final = (AUTO, PRODUCT, FOLDER)
"""What training takes its patterns from."""
Value: TypeAlias = bool | int | float | str
PRESET_CHOICES: Final = (AUTO, CUSTOM, "fast", "fine")
_DECIDED: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({**PRESETS, CUSTOM: {}, AUTO: PRESETS["fast"]})


def decided_by(preset: str) -> Mapping[str, Any]:
    """Return what a preset decides, before it is fitted to the scans.

    Args:
        preset: a name; 'custom' and an unknown one decide nothing. What 'auto' chooses decides the same options as
            'fast', whose values stand until the scans are known.

    Returns:
        Option name -> value.
    """
    return _DECIDED.get(preset, {})


@dataclass(frozen=True)
class Selection:
    """The choices that decide which other options apply."""

    backend: str
    reconstructor: str
    architecture: str
    scheduler: str
    optimizer: str
    preset: str = CUSTOM
    """The preset in force; 'custom' where the settings say 'auto' and a changed option overrides it."""


DECISIVE_KEYS: Final = frozenset({"Backend", "Preset", "Architecture", "Scheduler", "Optimizer"})
"""The settings a `Selection` is made of."""


FOURIER_GENERATORS: Final = ("fno", "ffno", "hybrid", "hybrid_resnet", "fno_vanilla")


def always(selection: Selection) -> bool:
    """Return True."""
    return True


def pinn(selection: Selection) -> bool:
    """Return whether training is against the measured counts."""
    return selection.reconstructor == "pinn"


def pytorch(selection: Selection) -> bool:
    """Return whether PyTorch is selected."""
    return selection.backend == "pytorch"


def trains(selection: Selection) -> bool:
    """Return whether the selected backend trains."""
    return selection.backend != ONNX


@dataclass(frozen=True)
class Option:
    """One setting."""

    key: str
    """Name in the settings file."""
    default: Value
    """Value of a key that the host lacks; for one it has, its own default, repeated for the documentation."""
    label: str
    """Text beside the widget."""
    help: str
    """Tool tip, and the description in the documentation."""
    config: str = ""
    """'model', 'training' or 'execution', a dot, and the field it sets; empty for what the plugin itself uses."""
    box: str = ""
    """Group box the widget is shown in; empty for the one of its table."""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    """Valid values of a text option."""
    offered_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Backends that offer one of them, where not all do."""
    power_of_two: bool = False
    is_path: bool = False
    """The value of the parameter is a `Path`."""
    left_open: Value | None = None
    """Value that leaves the field to the plan of a run; None where every value decides it."""
    zero_is_none: bool = False
    """0 in the settings file is None in the configuration."""
    at_minimum: str = ""
    """What a number's widget shows instead of its smallest value; empty for the value itself."""
    applies: Callable[[Selection], bool] = always
    """Whether the option has any effect for a selection, presets apart."""

    def in_force(self, selection: Selection) -> bool:
        """Return whether the option decides anything for a selection; it is hidden otherwise."""
        return self.applies(selection) and not self.decided(selection.preset)

    def decided(self, preset: str) -> bool:
        """Return whether a preset decides this option."""
        return self.config.partition(".")[2] in decided_by(preset)
