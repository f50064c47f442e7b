"""The option sets of existing PyTorch configurations that concern results: reconstruction and simulation.

`ptychopinn_backend.legacy.option_sets` has the others, and these too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ptychopinn_backend.config.checks import (
    require_bool,
    require_choice,
    require_non_negative_integer,
    require_positive_integer,
    unwrap_numpy_scalars,
)
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_checks import check, check_list, to_pairs


@dataclass(frozen=True)
class InferenceConfig:
    """How existing PyTorch configurations reconstruct."""

    middle_trim: int = 32
    """Side in pixels of the central part of each patch that is stitched."""
    batch_size: int = 1000
    """Groups per pass."""
    experiment_number: int = 0
    """Scan of a set that is reconstructed."""
    pad_eval: bool = True
    """Pad the object to the extent of the scan."""
    window: int = 20
    """Pixels cut from the stitched object's edge for evaluation."""
    patch_weighting: str = "probe"
    """Weights of overlapping patches: probe or uniform."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: an option breaks its rule.
        """
        unwrap_numpy_scalars(self)
        check(self, require_positive_integer, ("middle_trim", "batch_size"))
        check(self, require_non_negative_integer, ("experiment_number", "window"))
        require_bool("pad_eval", self.pad_eval)
        require_choice("patch_weighting", self.patch_weighting, ("probe", "uniform"))


@dataclass(frozen=True)
class DatagenConfig:
    """How existing PyTorch configurations simulate."""

    objects_per_probe: int = 4
    """Objects simulated with each probe."""
    diff_per_object: int = 7000
    """Patterns of each object."""
    object_class: str = "dead_leaves"
    """Kind of object."""
    image_size: tuple[int, int] = (250, 250)
    """Object size (row, column) in pixels."""
    probe_paths: list[str] = field(default_factory=list)
    """Files with probes."""
    beamstop_diameter: int = 4
    """Diameter of the beam stop in pixels; 0 is none."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: an option breaks its rule.
        """
        unwrap_numpy_scalars(self)
        to_pairs(self, ("image_size",))
        check(self, require_positive_integer, ("objects_per_probe", "diff_per_object"))
        for length in self.image_size:
            require_positive_integer("image_size", length)
        if not isinstance(self.object_class, str) or not self.object_class:
            raise ConfigError(f"object_class = {self.object_class!r} must name a kind of object. Use 'dead_leaves'.")
        require_non_negative_integer("beamstop_diameter", self.beamstop_diameter)
        check_list(self, "probe_paths")
