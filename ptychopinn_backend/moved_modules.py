"""Modules that moved into rooms stay importable by the names they had."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

PACKAGE: Final = "ptychopinn_backend"
MOVED: Final = {
    "archive_container": "archive.container",
    "archive_json": "archive.typed_json",
    "archive_weights": "archive.weights",
    "atomic_file": "files.atomic_file",
    "config_checks": "config.checks",
    "config_file": "config.yaml_file",
    "data.npz": "files.npz",
    "data.simulation.plan": "runs.simulation_plan",
    "data.source": "groups",
    "epoch_log": "seam.epoch_log",
    "execution": "config.execution",
    "figures": "evaluation.figures",
    "freed_memory": "runs.freed_memory",
    "generators": "config.generators",
    "interface": "seam.interface",
    "metrics": "evaluation.metrics",
    "model_config": "config.model",
    "params_bridge": "legacy.params_bridge",
    "parity_report": "runs.parity_report",
    "polish": "stitching.polish",
    "presets": "config.presets",
    "pretraining": "runs.pretraining",
    "process_rank": "seam.process_rank",
    "reconstruct": "runs.reconstruct",
    "reconstruction_file": "stitching.reconstruction_file",
    "reconstruction_log": "runs.reconstruction_log",
    "scan_input": "runs.scan_input",
    "schedule": "seam.schedule",
    "stitch": "stitching.assembly",
    "stitch_alignment": "stitching.alignment",
    "stitch_weight": "stitching.weight",
    "torch_config_sets": "legacy.option_sets",
    "trained_model": "runs.trained_model",
    "training_data": "runs.training_data",
    "training_lock": "files.training_lock",
    "training_run": "seam.training_run",
    "untrusted_hdf5": "files.untrusted_hdf5",
    "warm_start": "runs.warm_start",
}
"""Earlier name -> present name, both below the package."""


class _Alias(Loader):
    """Gives the module of today under its earlier name: one object, whatever name it is imported by."""

    def __init__(self, present: str) -> None:
        self._present = present

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._present)
        # The import system writes the alias' spec into the module; `exec_module` puts its own one back.
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _MovedModules(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != PACKAGE or name not in MOVED:
            return None
        return ModuleSpec(fullname, _Alias(f"{PACKAGE}.{MOVED[name]}"))


def keep_earlier_names() -> None:
    """Let the import system find the modules by their earlier names; calling it again changes nothing."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
