"""Pictures of the predictions of a model during its training, for the log of the run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ptychopinn_backend.arrays import Complex64Array, IntArray
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.files.pictures import failure
from ptychopinn_backend.groups import GroupSource, SelectedGroups
from ptychopinn_backend.runs.reconstruct import group_positions, patch_weight
from ptychopinn_backend.seam.epoch_log import EpochLog, open_log
from ptychopinn_backend.seam.interface import Backend, EpochCallback, EpochReport
from ptychopinn_backend.stitching.assembly import ObjectAssembler, ObjectFrame
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


class ReconstructionLog:
    """Epoch callback that logs patches, and a stitched object, every `recon_log_every_n_epochs` epochs.

    The pictures show groups that the model trains on, with the weights that it has at that moment.
    """

    def __init__(
        self, backend: Backend, source: GroupSource, log: EpochLog, on_epoch: EpochCallback | None = None
    ) -> None:
        """Choose the groups for the pictures.

        Args:
            backend: the model in training; its execution options say what the pictures show, and when.
            source: the groups that it trains on.
            log: log that takes the pictures.
            on_epoch: called afterwards with the same report; the callback passes on its answer.

        Raises:
            ConfigError: a group does not exist, or a stitched object needs positions that the groups do not have.
        """
        execution = backend.setup.execution
        self._backend, self._log, self._on_epoch = backend, log, on_epoch
        self._every = execution.recon_log_every_n_epochs
        self._groups = chosen_groups(execution, source.n_groups)
        self._patches = SelectedGroups(source, self._groups)
        self._stitched = _groups_to_stitch(execution, source) if execution.recon_log_stitch else None

    def __call__(self, report: EpochReport) -> bool | None:
        """Log the pictures of an epoch.

        Args:
            report: the epoch that has just ended.

        Returns:
            The value that `on_epoch` returned; True stops the training.
        """
        if self._every is not None and report.epoch % self._every == 0:
            self._picture(report.epoch)
        return self._on_epoch(report) if self._on_epoch is not None else None

    def _picture(self, epoch: int) -> None:
        from ptychopinn_backend.evaluation.figures import patches_png, reconstruction_png

        patches = np.concatenate(list(self._backend.predict(self._patches, self._batch_size)))
        names = [f"group {index}" for index in self._groups]
        self._keep("patches", epoch, lambda: patches_png(patches[..., 0], names))
        if self._stitched is not None:
            stitched = self._stitch(self._stitched)
            self._keep("object", epoch, lambda: reconstruction_png(stitched))

    def _keep(self, name: str, epoch: int, draw: Callable[[], bytes]) -> None:
        try:
            self._log.picture(name, epoch, draw())
        except Exception as error:
            # A picture that fails must not end the training.
            warnings.warn(failure(f"'{name}' of epoch {epoch}", error), UserWarning, stacklevel=2)

    @property
    def _batch_size(self) -> int:
        setup = self._backend.setup
        return setup.execution.inference_batch_size or setup.training.batch_size

    def _stitch(self, source: PtychoDataContainer) -> Reconstruction:
        model = self._backend.setup.model
        positions = group_positions(source)
        everywhere = positions.reshape(-1, 2)
        frame = ObjectFrame.covering(everywhere, model.N)
        probe: Complex64Array = source.probes[source.scan_index[0]]
        assembler = ObjectAssembler(frame, model.N, patch_weight("probe", probe, model))
        done = 0
        for patches in self._backend.predict(source, self._batch_size):
            by_pattern = np.ascontiguousarray(np.moveaxis(patches, -1, 1)).reshape(-1, model.N, model.N)
            assembler.add(by_pattern, positions[done : done + len(patches)].reshape(-1, 2))
            done += len(patches)
        stitched = assembler.result()
        return Reconstruction(
            object=stitched.object,
            origin_rc=stitched.frame.origin_rc,
            probe=probe,
            weight=stitched.weight,
            backend=self._backend.name,
            positions_xy=everywhere,
        )


def picture_log(execution: ExecutionConfig, folder: Path | None) -> EpochLog:
    """Return the log for the pictures.

    Args:
        execution: execution options, which name the logger.
        folder: folder of the run, or None.

    Returns:
        The log.

    Raises:
        ConfigError: there is no folder or no logger.
    """
    if folder is None or execution.logger_backend == "none":
        missing = "logger_backend is 'none'" if folder is not None else "no checkpoint_folder was given"
        raise ConfigError(
            f"recon_log_every_n_epochs = {execution.recon_log_every_n_epochs} asks for pictures in the log of the run, "
            f"and there is none: {missing}. Give a folder and a logger, or set recon_log_every_n_epochs to None."
        )
    return open_log(execution.logger_backend, folder)


def chosen_groups(execution: ExecutionConfig, n_groups: int) -> IntArray:
    """Return the groups whose patches the pictures show.

    Args:
        execution: `recon_log_fixed_indices` names the groups. If it is empty, `recon_log_num_patches` groups are taken,
            spread evenly.
        n_groups: number of groups in the source.

    Returns:
        Indices of the groups (picture,).

    Raises:
        ConfigError: an index is too large for the source.
    """
    fixed = execution.recon_log_fixed_indices
    if not fixed:
        return spread(n_groups, execution.recon_log_num_patches)
    if max(fixed) >= n_groups:
        raise ConfigError(
            f"recon_log_fixed_indices = {list(fixed)} names group {max(fixed)}, and the training has {n_groups}. "
            f"Use indices up to {n_groups - 1}."
        )
    return np.asarray(fixed, dtype=np.int64)


def spread(n_groups: int, wanted: int | None) -> IntArray:
    """Return at most `wanted` indices, spread evenly over the groups, with the first and the last; None takes all."""
    if wanted is None or wanted >= n_groups:
        return np.arange(n_groups)
    return np.linspace(0, n_groups - 1, wanted).round().astype(np.int64)


def _groups_to_stitch(execution: ExecutionConfig, source: GroupSource) -> PtychoDataContainer:
    """Return the groups of the first scan, or some of them."""
    if not isinstance(source, PtychoDataContainer):
        raise ConfigError(
            f"recon_log_stitch = True needs groups that know their positions, which a {type(source).__name__} does "
            "not. Train on a scan or a data set, or set recon_log_stitch to False."
        )
    of_scan = np.flatnonzero(source.scan_index == source.scan_index[0])
    return source.subset(of_scan[spread(len(of_scan), execution.recon_log_max_stitch_samples)])
