"""`PtychoModel`: train and infer from raw NPZ files in a few lines, without touching `params.cfg`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, overload

from ptychopinn_backend.arrays import Complex64Array
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.execution import ExecutionConfig, changed_options
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.config.presets import require_preset
from ptychopinn_backend.config.yaml_file import given_options, run_config_from_mapping
from ptychopinn_backend.data.dataset import ScanDataset
from ptychopinn_backend.data.dataset.scan_files import read_one_scan
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.factory import resolve_backend
from ptychopinn_backend.files.training_lock import training_lock
from ptychopinn_backend.runs.calibrating import NEVER
from ptychopinn_backend.runs.half_turn import warn_of_half_turns
from ptychopinn_backend.runs.pace import within_minutes
from ptychopinn_backend.runs.plan import RunPlan
from ptychopinn_backend.runs.planning import PreparedRun, prepare
from ptychopinn_backend.runs.reconstruct import predict, reconstruct
from ptychopinn_backend.runs.request import Layer, RunRequest, asked_options
from ptychopinn_backend.runs.scan_input import AnyScan, Scans, listed, scan_input
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.unfinished import folder_to_resume
from ptychopinn_backend.seam.interface import EpochCallback
from ptychopinn_backend.seam.process_rank import is_first_process
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

_BY_TRAIN = dict.fromkeys(("scans", "validation", "dataset"), "train")
"""Inputs that are arguments of `train`."""


class PtychoModel:
    """A model from Python.

    >>> model = PtychoModel(N=64, gridsize=1)                      # doctest: +SKIP
    >>> model.train("scan.npz", nepochs=20)                        # doctest: +SKIP
    >>> model.infer("scan.npz").save_npz("reconstruction.npz")     # doctest: +SKIP
    """

    def __init__(
        self,
        architecture: str | None = None,
        N: int = 64,
        gridsize: int | None = None,
        *,
        preset: str | None = None,
        backend: str | None = None,
        **options: Any,
    ) -> None:
        """Choose the network; training or loading fills it.

        Args:
            architecture: generator name; None takes the preset's, or 'cnn'.
            N: pattern side in pixels.
            gridsize: neighbouring patterns of a group along each side; None takes the preset's, or 1.
            preset: a tested set of options for network and training: 'fast', 'fine', 'legacy', or 'auto', which looks
                at the scan. Options you give override it.
            backend: 'tensorflow' or 'pytorch'; None follows `PTYCHOPINN_BACKEND`, then the
                default of the package (`factory.DEFAULT_BACKEND`).
            **options: further fields of `ModelConfig`.

        Raises:
            ConfigError: an unknown option (the nearest is suggested) or an invalid value.
        """
        named = {"architecture": architecture, "gridsize": gridsize}
        self._given = {"N": N, **{name: value for name, value in named.items() if value is not None}, **options}
        if preset is not None:
            require_preset(preset)
        self._preset = preset
        self.config: ModelConfig = run_config_from_mapping({"model": self._given}).training.model
        self._asked_backend = backend
        self.backend: str = resolve_backend(explicit=backend)
        self.plan: RunPlan | None = None
        """What the last training was asked for and what that was resolved to; None before one."""
        self._trained: TrainedModel | None = None

    @property
    def trained(self) -> TrainedModel:
        """The trained model.

        Raises:
            ConfigError: neither trained nor loaded yet.
        """
        if self._trained is None:
            raise ConfigError("This PtychoModel holds no weights yet. Call train(...) or PtychoModel.load(...) first.")
        return self._trained

    @property
    def history(self) -> dict[str, list[float]]:
        """One value per epoch for every loss term."""
        return self.trained.history

    def train(
        self,
        npz: Scans,
        *,
        validation: Scans | None = None,
        dataset: str | Path | None = None,
        on_epoch: EpochCallback | None = None,
        checkpoint_folder: str | Path | None = None,
        resume: bool = False,
        init: str | Path | None = None,
        execution: ExecutionConfig | None = None,
        **options: Any,
    ) -> PtychoModel:
        """Train on one or several scans.

        Args:
            npz: a scan file, a folder of them, a `RawData`, or a list of those; or a data set, opened or by its folder.
            validation: scans to validate on, given in the same way; None keeps some groups for it.
            dataset: folder of a data set on disk. It is made from the files, or used if they made it before.
                None takes scans into memory; if they need much of it, a data set is made in `checkpoint_folder`.
            on_epoch: called after every epoch; True stops training.
            checkpoint_folder: where the plan (`run.yaml`), the best and the last state are written; None writes none.
            resume: go on from the last state in that folder.
            init: archive of either backend to start from; its network is used unless an option says otherwise.
            execution: run-time options.
            **options: fields of `TrainingConfig` and `ExecutionConfig`, for example nepochs, batch_size, and inputs:
                `minutes` limits the time of the training, `calibrate` ('auto', 'always', 'never', the default) refines
                probe and positions first, `preset` replaces that of the constructor. By default nphotons is measured,
                and every scan point gives a group.

        Returns:
            This model, trained.
        """
        started_s = perf_counter()
        checkpoints = None if checkpoint_folder is None else Path(checkpoint_folder)
        if resume:
            folder_to_resume(checkpoints)
        layers = [
            Layer("train", {**given_options(options), "init": init}),
            Layer("ExecutionConfig", {} if execution is None else changed_options(execution)),
            Layer("PtychoModel", {**self._given, "preset": self._preset}),
        ]
        given, inputs, givers = asked_options(layers)
        _require_of_train(inputs, options)
        held_out = validation if validation is not None else inputs.validation or None
        source = scan_input(
            npz,
            validation=held_out,
            dataset=None if dataset is None else Path(dataset),
            place=checkpoints,
            reading=inputs.how_to_read,
            calibrate=inputs.calibrate or NEVER,
        )
        inputs = replace(inputs, scans=_files(npz), validation=_files(held_out))
        request = RunRequest(given, inputs, backend=self._asked_backend, givers={**_BY_TRAIN, **givers})
        run = within_minutes(prepare(request, source), started_s)
        trained = _trained_in(checkpoints, run, on_epoch, resume=resume)
        self.config, self.plan, self._trained = run.plan.training.model, run.plan, trained
        self.backend = trained.backend_name
        return self

    @overload
    def infer(self, npz: AnyScan | ScanDataset, stitching: Literal[True] = True, **options: Any) -> Reconstruction: ...

    @overload
    def infer(self, npz: AnyScan | ScanDataset, stitching: Literal[False], **options: Any) -> Complex64Array: ...

    def infer(
        self, npz: AnyScan | ScanDataset, stitching: bool = True, **options: Any
    ) -> Reconstruction | Complex64Array:
        """Reconstruct a scan.

        Args:
            npz: scan file, `RawData`, or a data set with one scan, opened or by its folder.
            stitching: True returns the object; False returns the patches.
            **options: those of `reconstruct` (frame, n_groups, batch_size, assembly, on_progress, ...) or, without
                stitching, of `predict`.

        Returns:
            The reconstruction, or the patches (group, N, N, channel).
        """
        scan = _read(npz)
        warn_of_half_turns([scan])
        if stitching:
            return reconstruct(self.trained, scan, **options)
        return predict(self.trained, scan, **options).patches

    def save(self, path: str | Path) -> Path:
        """Write the archive.

        Args:
            path: the file, or an existing folder, which gets a `wts.h5.zip` and the plan as `run.yaml`.

        Returns:
            Path of the archive.
        """
        archive = self.trained.save(path)
        if self.plan is not None and Path(path).is_dir():
            self.plan.write(Path(path))
        return archive

    @classmethod
    def load(
        cls, path: str | Path, *, backend: str | None = None, execution: ExecutionConfig | None = None
    ) -> PtychoModel:
        """Open an archive of either backend.

        Args:
            path: archive or the folder that holds `wts.h5.zip`.
            backend: backend to compute with; None follows `PTYCHOPINN_BACKEND`, then the archive.
            execution: run-time options.

        Returns:
            The model, ready to infer.
        """
        trained = TrainedModel.load(path, backend, execution)
        model = cls.__new__(cls)
        model.config, model.backend, model._trained = trained.model, trained.backend_name, trained
        model._asked_backend, model._preset, model.plan = trained.backend_name, None, None
        model._given = {item.name: getattr(trained.model, item.name) for item in fields(ModelConfig)}
        return model


def _trained_in(
    checkpoints: Path | None, run: PreparedRun, on_epoch: EpochCallback | None, *, resume: bool
) -> TrainedModel:
    is_first = is_first_process(run.plan.execution)
    with training_lock(checkpoints if is_first else None):
        if is_first and checkpoints is not None:
            run.plan.write(checkpoints)
        return run.train(on_epoch=on_epoch, checkpoint_folder=checkpoints, resume=resume)


def _require_of_train(inputs: InputConfig, options: Mapping[str, Any]) -> None:
    """Refuse what `train` has another place for, or none."""
    if inputs.scans:
        raise ConfigError(f"The scans are the first argument of train, and '{inputs.scans[0]}' is given too. Keep one.")
    if "backend" in options:
        raise ConfigError(
            f"backend = {options['backend']!r} is an argument of PtychoModel, not of train. "
            "Write PtychoModel(..., backend=...)."
        )
    if inputs.n_objects is not None:
        raise ConfigError(f"n_objects = {inputs.n_objects} has no effect on train. Leave n_objects out.")


def _read(item: AnyScan | ScanDataset) -> RawData:
    if isinstance(item, RawData):
        return item
    return read_one_scan(item.folder if isinstance(item, ScanDataset) else Path(item))


def _files(scans: Scans | None) -> tuple[Path, ...]:
    """Return the files of scans, for the plan; none where arrays are among them, which a file cannot name."""
    items = [] if scans is None or isinstance(scans, ScanDataset) else listed(scans)
    paths = tuple(Path(item) for item in items if not isinstance(item, RawData))
    return paths if len(paths) == len(items) else ()
