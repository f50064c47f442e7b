"""What the option sets on reconstruction and simulation of existing configurations drive here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.config.checks import require_choice, require_positive_integer
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_fates import CORE
from ptychopinn_backend.legacy.option_sets import DataConfig, DatagenConfig, InferenceConfig

ASSEMBLIES: Final = {"probe": "probe", "uniform": "central"}
"""patch_weighting -> assembly."""
_KINDS: Final = ("lines", "dead_leaves", "natural_patch")
_SCANS: Final = {"grid": "raster", "nongrid": "random"}
_PARTS: Final = {
    "detector": "DetectorSimulationConfig",
    "object": "SyntheticObjectConfig",
    "probe": "ProbeSimulationConfig",
    "scan": "ScanSimulationConfig",
}


def reconstruct_options(inference: InferenceConfig) -> dict[str, Any]:
    """Return arguments of `reconstruct`.

    Args:
        inference: the options.

    Returns:
        'assembly', 'crop_px' and 'batch_size'. The window is for `Reconstruction.without_edge`, the number of the
        experiment for `scan_of_experiment`.

    Raises:
        ConfigError: the object shall not cover the scan.
    """
    require_covered(inference)
    return {
        "assembly": ASSEMBLIES[inference.patch_weighting],
        "crop_px": inference.middle_trim,
        "batch_size": inference.batch_size,
    }


def require_covered(inference: InferenceConfig) -> None:
    """Raise `ConfigError` where the object shall be smaller than the scan."""
    if not inference.pad_eval:
        raise ConfigError(
            "pad_eval = False is not offered: the object always covers the scan. Set pad_eval to True, and window to "
            "the pixels to cut from its edges."
        )


def scan_of_experiment(path: Path, number: int) -> Path:
    """Return the scan that `experiment_number` means.

    Args:
        path: a scan file, or a folder of them.
        number: of the file in the folder, in the order of names, from 0.

    Returns:
        The file.

    Raises:
        ConfigError: there is no such scan.
    """
    if not path.is_dir():
        if number:
            raise ConfigError(
                f"experiment_number = {number}, but '{path}' is a single scan. Set experiment_number to 0, or name the "
                "folder of the scans."
            )
        return path
    scans = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if number >= len(scans):
        raise ConfigError(
            f"experiment_number = {number}, but '{path}' holds {len(scans)} scans. Choose one from 0 to "
            f"{len(scans) - 1}."
            if scans
            else f"'{path}' holds no scan. Name the folder of the scans."
        )
    return scans[number]


def simulation_plan(data: DataConfig, datagen: DatagenConfig) -> dict[str, Any]:
    """Return what 'ptychopinn simulate' makes of the option sets, as its YAML file would hold it.

    Args:
        data: pattern size and photons.
        datagen: objects, probes and positions.

    Returns:
        Keys of specs/simulation.md; a list 'scans' with an entry for each probe.

    Raises:
        ConfigError: the object is smaller than a pattern.
    """
    probes = [
        {"name": f"probe_{index:03d}", "probe": "file", "probe_file": path}
        for index, path in enumerate(datagen.probe_paths)
    ]
    return {
        "size": data.N,
        "photons": data.nphotons,
        "patterns": datagen.diff_per_object,
        "object": datagen.object_class,
        "step_px": step_that_fills(datagen.image_size, data.N, datagen.diff_per_object),
        "beam_stop_px": datagen.beamstop_diameter,
        "scans": [{**entry, "repeat": datagen.objects_per_probe} for entry in probes or [{}]],
    }


def step_that_fills(image_size: tuple[int, int], N: int, patterns: int) -> float:
    """Return the step with which a scan covers an object.

    Args:
        image_size: (row, column) of the object in pixels.
        N: side of a patch in pixels.
        patterns: scan points.

    Returns:
        Mean distance of neighbouring points in pixels.

    Raises:
        ConfigError: the object is no larger than a patch.
    """
    height, width = (length - N for length in image_size)
    if min(height, width) <= 0:
        raise ConfigError(
            f"image_size = {tuple(image_size)} leaves a scan no room for patches of {N} x {N} pixels. Choose more than "
            f"{N} along both sides."
        )
    return math.sqrt(height * width / patterns)


def is_core_simulation(content: Mapping[str, Any]) -> bool:
    """Return whether a file holds a `SimulationConfig` of the core: its parts are sections."""
    return any(isinstance(content.get(part), dict) for part in _PARTS)


def core_simulation_plan(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what 'ptychopinn simulate' makes of a `SimulationConfig` of the core.

    Args:
        content: of the file.

    Returns:
        Keys of specs/simulation.md; 'scans' with one entry, repeated for every object.

    Raises:
        ConfigError: an option that is unknown, is refused, or has no valid value.
    """
    parts = {part: _checked_part(part, content.get(part) or {}) for part in _PARTS}
    for name in content:
        if name not in CORE["SimulationConfig"]:
            raise ConfigError(
                f"'{name}' is not an option of SimulationConfig. See docs/migration.md, and leave it out."
            )
    shape, patterns = (
        parts["object"].get("image_size", (392, 392)),
        parts["object"].get("diffractions_per_object", 7000),
    )
    N = content.get("N", 64)
    for name, value in (("N", N), ("diffractions_per_object", patterns)):
        require_positive_integer(name, value)
    if not isinstance(shape, list | tuple) or len(shape) != 2:
        raise ConfigError(f"image_size = {shape!r} must be two numbers. Write for example [392, 392].")
    for length in shape:
        require_positive_integer("image_size", length)
    plan: dict[str, Any] = {
        "size": N,
        "patterns": patterns,
        "photons": parts["detector"].get("photons_per_pattern", 1e9),
        "beam_stop_px": parts["detector"].get("beamstop_diameter") or 0.0,
        "step_px": step_that_fills((shape[0], shape[1]), N, patterns),
        "object": parts["object"].get("kind", "lines"),
        "scan": _scan(parts["scan"].get("kind", "grid")),
        "scans": [{"repeat": parts["object"].get("objects_per_probe", 4)}],
        **_probe(parts["probe"]),
    }
    require_choice("object.kind", plan["object"], _KINDS[:2])
    if not parts["object"].get("set_phi", False):
        plan |= {"phase_min_rad": 0.0, "phase_max_rad": 0.0}
    if plan["scan"] == "raster" and "offset" in parts["scan"]:
        plan["step_px"] = parts["scan"]["offset"]
    if content.get("seed") is not None:
        plan["seed"] = content["seed"]
    return plan


def _checked_part(part: str, options: Any) -> Mapping[str, Any]:
    fates = CORE[_PARTS[part]]
    if not isinstance(options, dict):
        raise ConfigError(f"{part} = {options!r} must be an object of options. Write {{...}}.")
    for name, value in options.items():
        if name not in fates:
            raise ConfigError(f"'{name}' is not an option of {_PARTS[part]}. See docs/migration.md, and leave it out.")
        fate = fates[name]
        if not fate.becomes and not fate.is_usual(value):
            raise ConfigError(
                f"{part}.{name} = {value!r} is not offered: {fate.note}. Set it to {fate.usual[0]!r}, or leave it out."
            )
    return options


def _scan(kind: Any) -> str:
    require_choice("scan.kind", kind, tuple(_SCANS))
    return _SCANS[kind]


def _probe(options: Mapping[str, Any]) -> dict[str, Any]:
    require_choice("probe.source", options.get("source", "custom"), ("custom", "ideal"))
    if options.get("source", "custom") == "custom" and options.get("source_path") is not None:
        return {"probe": "file", "probe_file": options["source_path"]}
    diameter = options.get("mask_diameter")
    return {"probe": "disk", **({} if diameter is None else {"probe_diameter_px": diameter})}
