"""The plan of a run, made from the request and the scans: the one place that decides which giver of an option wins.

These are the givers, from the strongest to the weakest:

1. options by name, then the configuration file, then the constructor of `PtychoModel`;
2. the groups of a data set;
3. the network of an archive to start from;
4. the preset;
5. the settings of a program that has a value for every option;
6. the scans;
7. the defaults.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.config.inputs import PRETRAIN, InputConfig
from ptychopinn_backend.config.presets import FittedPreset, fitted_preset, pretraining_preset, unfitted_options
from ptychopinn_backend.config.yaml_file import RunConfig, run_config
from ptychopinn_backend.data.pattern_size import require_network_size
from ptychopinn_backend.factory import backend_class, choose_backend
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.runs.held_out_groups import HeldOut
from ptychopinn_backend.runs.plan import DEFAULT, Decision, RunPlan
from ptychopinn_backend.runs.request import COMMAND_LINE, Layer, RunRequest
from ptychopinn_backend.runs.scan_input import ScanInput
from ptychopinn_backend.runs.train import train_locked
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.training_data import with_length_of_epochs
from ptychopinn_backend.runs.warm_start import StartArchive
from ptychopinn_backend.seam.interface import EpochCallback

logger = logging.getLogger(__name__)

_PLANNED: Final = (ModelConfig, TrainingConfig, ExecutionConfig)
_NOT_OPTIONS: Final = ("model", "n_images", "train_data_file", "test_data_file")


def draft(request: RunRequest) -> RunConfig:
    """Return the configuration as far as it is known without scans and archives, for an early check.

    Args:
        request: the requested run.

    Returns:
        The configuration. Values that a preset fits to the scans are not final.

    Raises:
        ConfigError: an option breaks its rule.
    """
    chosen = _Chosen(request.given)
    preset = _preset_name(request, None)
    if preset is not None:
        chosen.below(_without_epochs_of_stages(Layer(f"preset {preset}", unfitted_options(preset)), request.settings))
    for layer in _layers(request.settings):
        chosen.below(layer)
    chosen.raise_neighbors({name for layer in request.given for name in layer.options})
    chosen.take_backend(request.backend)
    return chosen.config()


class PreparedRun(NamedTuple):
    """A plan and the data for which it was made."""

    plan: RunPlan
    training: GroupSource
    """Groups to train on."""
    validation: GroupSource | None
    """Groups to validate on, or None."""
    start: StartArchive | None
    """Archive whose weights to start from, or None."""
    held_out: tuple[HeldOut, ...] = ()
    """Held-out patterns that judge the training."""

    def train(
        self,
        *,
        on_epoch: EpochCallback | None = None,
        checkpoint_folder: Path | None = None,
        best_archive: Path | None = None,
        log_folder: Path | None = None,
        resume: bool = False,
    ) -> TrainedModel:
        """Train as planned. The caller must hold the lock of the folder.

        Args:
            on_epoch: called after every epoch; True stops the training.
            checkpoint_folder: folder for the best and the last state; None writes no state.
            best_archive: file that holds the best weights from the first epoch on; None writes none.
            log_folder: folder for the history and the pictures of the run; None takes `checkpoint_folder`.
            resume: True continues from the last state in `checkpoint_folder`.

        Returns:
            The trained model with the best weights of the training.
        """
        return train_locked(
            self.training,
            self.validation,
            self.plan.training,
            self.plan.execution,
            on_epoch=on_epoch,
            checkpoint_folder=checkpoint_folder,
            best_archive=best_archive,
            log_folder=log_folder,
            resume=resume,
            start=self.start,
            held_out=self.held_out,
        )


def prepare(request: RunRequest, scans: ScanInput) -> PreparedRun:
    """Decide every option of a run, and group its scans.

    Args:
        request: the requested run.
        scans: scans to train on.

    Returns:
        The plan with its data.

    Raises:
        ConfigError: an option breaks its rule.
        DataError: a scan does not fit the configuration.
        ArchiveError: the archive to start from cannot be used.
    """
    start = None if request.inputs.init is None else StartArchive.read(request.inputs.init)
    chosen = _Chosen(request.given)
    given = chosen.names()
    chosen.below(Layer("data set", scans.fixed))
    if start is not None:
        chosen.below(Layer(f"archive {start.path.name}", start.options))
    preset = _preset(request, scans, start, chosen.value("gridsize"))
    if preset is not None:
        chosen.below(_without_epochs_of_stages(Layer(f"preset {preset.name}", preset.options), request.settings))
    for layer in _layers(request.settings):
        chosen.below(layer)
    if "N" not in chosen.names():
        require_network_size(scans.sizes[0].N)
    chosen.below(Layer("scan", {"N": scans.sizes[0].N}))
    chosen.raise_neighbors(given)
    chosen.take_backend(request.backend)
    if preset is not None and uses_back_projection(chosen.value("architecture")):
        chosen.take_precision()
    every_point = chosen.value("n_groups") is None
    config = chosen.config()
    data = scans.group(config.training, config.execution.seed, every_point=every_point)
    chosen.below(Layer("scan", {"nphotons": data.mean_photons}), why="mean of a pattern")
    epoch = with_length_of_epochs(config.training, data.training.n_groups).groups_per_epoch
    if epoch != config.training.groups_per_epoch:
        why = "an epoch visits as many groups as there are"
        chosen.override(Decision("groups_per_epoch", epoch, "target_photon_fraction", why))
    plan = _plan(request, scans, chosen, preset)
    logger.info("Plan of this run:\n%s", plan.table())
    return PreparedRun(plan, data.training, data.validation, start, data.held_out)


def _preset_name(request: RunRequest, start: StartArchive | None) -> str | None:
    if request.inputs.preset is not None:
        return request.inputs.preset
    # The default presets are tuned for networks with back-projection.
    if start is not None and not uses_back_projection(start.content.model.architecture):
        return None
    named = any("architecture" in layer.options for layer in request.given)
    return None if named else request.default_preset


def _preset(
    request: RunRequest, scans: ScanInput, start: StartArchive | None, gridsize: int | None
) -> FittedPreset | None:
    if request.command == PRETRAIN:
        return pretraining_preset(scans.sizes)
    name = _preset_name(request, start)
    return None if name is None else fitted_preset(name, scans.sizes, gridsize)


class _Chosen:
    """Options in force; the first giver of an option wins."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._options: dict[str, Decision] = {}
        for layer in layers:
            self.below(layer)

    def below(self, layer: Layer, why: str = "") -> None:
        """Add the options of a giver that is weaker than all givers before it."""
        options = dict(layer.options)
        if _is_staged({name: decision.value for name, decision in self._options.items()}):
            # Stages have their own numbers of epochs, so the number of a weaker giver has no effect.
            options.pop("nepochs", None)
        wanted = options.pop("n_images", None)
        if options.get("n_groups") is None:
            # No number means one group for each scan point. The same holds if no giver names a number.
            options.pop("n_groups", None)
            if wanted is not None:
                warnings.warn("n_images is deprecated; use n_groups instead.", DeprecationWarning, stacklevel=3)
                options["n_groups"] = wanted
        for name, value in options.items():
            self._options.setdefault(name, Decision(name, value, layer.by, why))

    def override(self, decision: Decision) -> None:
        """Set a decision that no giver may change."""
        self._options[decision.name] = decision

    def names(self) -> frozenset[str]:
        return frozenset(self._options)

    def value(self, name: str) -> Any:
        return self._options[name].value if name in self._options else None

    def raise_neighbors(self, given: Iterable[str]) -> None:
        """Raise the number of neighbours to the size of a group, unless somebody named the number."""
        if "neighbor_count" in given:
            return
        needed = (self.value("gridsize") or ModelConfig.gridsize) ** 2
        known = self._options.get("neighbor_count")
        present = TrainingConfig.neighbor_count if known is None else known.value
        if needed > present:
            self._options["neighbor_count"] = Decision("neighbor_count", needed, "group size", "at least its patterns")

    def take_backend(self, explicit: str | None) -> None:
        """Choose the backend."""
        named = self._options.get("backend")
        choice = choose_backend(explicit, setting=None if named is None else named.value, to_train=True)
        by = named.by if named is not None and choice.origin == "the setting" else choice.origin
        self._options["backend"] = Decision("backend", choice.name, by)

    def take_precision(self) -> None:
        """Let the network compute in bfloat16, if the device gains by it and nobody chose the precision.

        The presets give equally good images with it (docs/fidelity.md). Weights, physics and losses stay in float32.
        """
        if "precision" in self._options:
            return
        backend = backend_class(self.value("backend"))
        if backend.gains_by_bfloat16(self.config().execution):
            self._options["precision"] = Decision("precision", "bf16-mixed", "device", "it has units for bfloat16")

    def config(self) -> RunConfig:
        """Return the configuration of the options in force."""
        options = {name: decision.value for name, decision in self._options.items()}
        return run_config({name: value for name, value in options.items() if name not in _NOT_OPTIONS})

    def decisions(self, config: RunConfig) -> Iterable[Decision]:
        """Yield the decision on every option, with its value from the configuration."""
        for owner, values in zip(_PLANNED, (config.training.model, config.training, config.execution), strict=True):
            for item in fields(owner):
                if item.name not in _NOT_OPTIONS:
                    known = self._options.get(item.name, Decision(item.name, None, DEFAULT))
                    yield replace(known, value=getattr(values, item.name))


def _is_staged(options: Mapping[str, Any]) -> bool:
    """Return whether options give a training stages with their own numbers of epochs."""
    return any(bool(value) for name, value in options.items() if name.startswith("stage_") and name.endswith("_epochs"))


def _without_epochs_of_stages(layer: Layer, settings: Layer | None) -> Layer:
    if settings is None or not _is_staged(settings.options):
        return layer
    return Layer(layer.by, {name: value for name, value in layer.options.items() if name != "nepochs"})


def _plan(request: RunRequest, scans: ScanInput, chosen: _Chosen, preset: FittedPreset | None) -> RunPlan:
    if request.output is not None:
        chosen.override(Decision("output_dir", request.output, request.givers.get("output", COMMAND_LINE)))
    config = chosen.config()
    every_point = chosen.value("n_groups") is None
    decisions = [*_of_inputs(request, preset), *chosen.decisions(config)]
    if every_point:
        shown = Decision("n_groups", "every point", DEFAULT, "one group for each scan point")
        decisions = [shown if item.name == "n_groups" else item for item in decisions]
    dataset = scans.dataset
    # The plan names the values in force, since the command line and arrays have different defaults.
    inputs = replace(request.inputs, command=request.command, dataset=dataset, calibrate=scans.calibrate).absolute()
    return RunPlan(request.command, inputs, config.training, config.execution, every_point, tuple(decisions))


def _of_inputs(request: RunRequest, preset: FittedPreset | None) -> Iterable[Decision]:
    for item in fields(InputConfig):
        value = getattr(request.inputs, item.name)
        if value not in (None, ()) and item.name not in ("command", "preset"):
            yield Decision(item.name, value, request.givers.get(item.name, "scan"))
    by = request.givers.get("preset", DEFAULT)
    if preset is None:
        yield Decision("preset", "none", by)
    else:
        yield Decision("preset", preset.name, by if preset.reason == "" else "auto", preset.reason)


def _layers(settings: Layer | None) -> tuple[Layer, ...]:
    return () if settings is None else (_without_epochs_of_stages(settings, settings),)
