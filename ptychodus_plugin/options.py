"""Every setting of the library: its key in the settings file, the configuration field it sets and how it is shown.

One table an existing settings group of Ptychodus. Keys, defaults and bounds marked `inherited` are the host's own and
stay as they are, so that settings files written without this package open unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from ptychopinn_backend.generators import generator_names
from ptychopinn_backend.presets import AUTO, PRESETS

CUSTOM: Final = "custom"
"""The preset that leaves every option to the user."""
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


def always(selection: Selection) -> bool:
    """Return True."""
    return True


def pinn(selection: Selection) -> bool:
    """Return whether training is against the measured counts."""
    return selection.reconstructor == "pinn"


def pytorch(selection: Selection) -> bool:
    """Return whether PyTorch is selected."""
    return selection.backend == "pytorch"


@dataclass(frozen=True)
class Option:
    """One setting."""

    key: str
    """Name in the settings file."""
    default: Value
    """Value of a new key; for an inherited key the host's default, repeated for the documentation."""
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
    pytorch_only: tuple[str, ...] = ()
    """Those of them that the TensorFlow backend refuses."""
    inherited: bool = False
    """The host creates this parameter."""
    power_of_two: bool = False
    zero_is_none: bool = False
    """0 in the settings file is None in the configuration."""
    applies: Callable[[Selection], bool] = always
    """Whether the option has any effect for a selection, presets apart."""

    def in_force(self, selection: Selection) -> bool:
        """Return whether the option decides anything for a selection; it is hidden otherwise."""
        return self.applies(selection) and not self.decided(selection.preset)

    def decided(self, preset: str) -> bool:
        """Return whether a preset decides this option."""
        return self.config.partition(".")[2] in decided_by(preset)


BACKEND_BOX: Final = "Backend"

MODEL_OPTIONS: Final = (
    Option(
        "Backend",
        "tensorflow",
        "Backend:",
        "Framework that trains and predicts. The environment variable PTYCHOPINN_BACKEND overrides it.",
        box=BACKEND_BOX,
        choices=("tensorflow", "pytorch"),
    ),
    Option(
        "Accelerator",
        "auto",
        "Accelerator:",
        "Device: 'auto' takes a GPU where there is one.",
        config="execution.accelerator",
        box=BACKEND_BOX,
        choices=("auto", "cpu", "gpu", "cuda", "mps"),
        pytorch_only=("mps",),
    ),
    Option(
        "Devices",
        1,
        "Devices:",
        "Number of devices that train together.",
        config="execution.devices",
        box=BACKEND_BOX,
        minimum=1,
        applies=pytorch,
    ),
    Option(
        "Precision",
        "32-true",
        "Precision:",
        "Arithmetic of training: single precision, or mixed with 16 bits.",
        config="execution.precision",
        box=BACKEND_BOX,
        choices=("32-true", "16-mixed", "bf16-mixed"),
        pytorch_only=("16-mixed",),
    ),
    Option(
        "Preset",
        AUTO,
        "Preset:",
        "Tried options for a good image: 'fast' and 'fine' set network and training, and 'fine' trains longer. 'auto' "
        "chooses from the data, unless one of those options differs from its default. 'custom' leaves all to you.",
        choices=PRESET_CHOICES,
        applies=pinn,
    ),
    Option(
        "Architecture",
        "cnn",
        "Architecture:",
        "Network from diffraction patterns to object patches.",
        config="model.architecture",
        choices=generator_names(),
    ),
    Option(
        "NumFiltersScale",
        2,
        "Num. Filters Scale Factor:",
        "Multiplies the number of feature maps of every convolution.",
        config="model.n_filters_scale",
        inherited=True,
    ),
    Option(
        "GridSize",
        1,
        "Grid Size:",
        "Neighbouring patterns solved together along each side: 2 means groups of 2 x 2 = 4 patterns.",
        config="model.gridsize",
        inherited=True,
    ),
    Option(
        "AmpActivation",
        "sigmoid",
        "Amplitude Activation Function:",
        "Activation of the amplitude output.",
        config="model.amp_activation",
        choices=("sigmoid", "swish", "softplus", "relu"),
        inherited=True,
    ),
    Option(
        "ObjectBig",
        True,
        "Object Big:",
        "One patch for every pattern, averaged where the patches of a group overlap; off: one patch for the group.",
        config="model.object_big",
        inherited=True,
        applies=pinn,
    ),
    Option(
        "ProbeBig",
        True,
        "Probe Big:",
        "Adds a low-resolution border outside the central half of the patch, for wide probes. Needs Pad Object.",
        config="model.probe_big",
        inherited=True,
        applies=pinn,
    ),
    Option(
        "ProbeMask",
        False,
        "Probe Mask:",
        "Cuts the probe to a circle before it illuminates the patch.",
        config="model.probe_mask",
        inherited=True,
        applies=pinn,
    ),
    Option(
        "ProbeMaskDiameter",
        0.0,
        "Probe Mask Diameter:",
        "Diameter of that circle in pixels; 0 is half the pattern size.",
        config="model.probe_mask_diameter",
        minimum=0.0,
        zero_is_none=True,
        applies=pinn,
    ),
    Option(
        "ProbeMaskSigma",
        1.0,
        "Probe Mask Edge:",
        "Width of the soft edge of that circle in pixels; 0 is a hard edge.",
        config="model.probe_mask_sigma",
        minimum=0.0,
        applies=pinn,
    ),
    Option(
        "PadObject",
        True,
        "Pad Object:",
        "The network fills the central half of the patch, as the oversampling of the patterns asks; off: all of it.",
        config="model.pad_object",
        inherited=True,
    ),
    Option(
        "ProbeScale",
        4.0,
        "Probe Scale Factor:",
        "The normalised probe has mean amplitude 1 / factor.",
        config="model.probe_scale",
        inherited=True,
        applies=pinn,
    ),
    Option(
        "GaussianSmoothingSigma",
        0.0,
        "Gaussian Smoothing Sigma:",
        "Smoothing of the illuminated patch in pixels, against noise at the cost of resolution; 0 is none.",
        config="model.gaussian_smoothing_sigma",
        inherited=True,
        applies=pinn,
    ),
)

INFERENCE_OPTIONS: Final = (
    Option(
        "ModelPath",
        "/path/to/model.zip",
        "Model File:",
        "Archive to reconstruct with as long as none was trained or loaded in this session; set by Load Model.",
        inherited=True,
    ),
    Option(
        "NumNearestNeighbors",
        7,
        "Number of Neighbors:",
        "Nearest scan positions from which a position draws its group; raised where the grid size needs more.",
        inherited=True,
    ),
    Option(
        "NumSamples",
        1,
        "Samples per Position:",
        "Groups drawn around every scan position, all averaged: 1 reconstructs the whole scan once. "
        "No effect with grid size 1.",
        inherited=True,
    ),
    Option(
        "PatchAssembly",
        "probe",
        "Patch Assembly:",
        "How patches become one object: weighted by the probe, or only their central part.",
        choices=("probe", "central"),
    ),
    Option(
        "BatchSize",
        0,
        "Batch Size:",
        "Groups predicted at a time; 0 leaves it to the engine.",
        config="execution.inference_batch_size",
        minimum=0,
        zero_is_none=True,
    ),
)
