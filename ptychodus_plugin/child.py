"""Entry points of the spawned child: the only place of the plugin where the engine computes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ptychodus.api.reconstruct import ReconstructOutput, TrainOutput

from ptychodus_plugin.configuration import ReconstructPayload, TrainPayload, check_patterns, fit_preset
from ptychodus_plugin.messages import RECONSTRUCT_GOAL, Goal, ModelSaved
from ptychodus_plugin.product import drawable_losses, losses_of, object_frame, product_of, raw_data_of
from ptychodus_plugin.training_folder import BEST_MODEL_FILE, CHECKPOINT_FOLDER, MODEL_FILE
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import measured_photons, train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.warm_start import StartArchive
from ptychopinn_backend.seam.child_process import ParentLink
from ptychopinn_backend.seam.interface import EpochReport
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger("ptychopinn_backend.ptychodus")

PARTIAL_STEP: Final = 10
"""Per cent of the groups between two partial objects: stitching them costs time, and a batch run writes a file each."""


def run_reconstruct(host: ParentLink) -> None:
    """Reconstruct one scan; sends partial products while patches are predicted, and the complete one at the end.

    Args:
        host: gives a `ReconstructPayload`, takes the host's `ReconstructOutput`.
    """
    payload: ReconstructPayload = host.take()
    model = TrainedModel.load(payload.archive, backend=payload.backend, execution=payload.execution)
    scan = raw_data_of(payload.parameters)
    product = payload.parameters.product
    losses = drawable_losses(model.history)

    def send(reconstruction: Reconstruction, progress: int) -> None:
        output = product_of(product, reconstruction.object, reconstruction.probe, losses)
        host.put(ReconstructOutput(output, progress=progress))

    sent = groups = 0

    def on_progress(done: int, total: int, so_far: Callable[[], Reconstruction]) -> None:
        nonlocal sent, groups
        groups = total
        progress = RECONSTRUCT_GOAL * done // total
        if done < total and progress >= sent + PARTIAL_STEP:
            sent = progress
            send(so_far(), progress)

    many = payload.groups_per_position > 1 and model.one_by_one().model.gridsize > 1
    reconstruction = reconstruct(
        model,
        scan,
        n_groups=scan.n_patterns * payload.groups_per_position if many else None,
        neighbor_count=min(payload.neighbor_count, max(scan.n_patterns - 1, 1)),
        assembly=payload.assembly,
        polish_steps=payload.polish_steps,
        frame=object_frame(product.object_),
        on_progress=on_progress,
    )
    logger.info(
        "Reconstructed with %s from %d groups around %d positions.", reconstruction.backend, groups, scan.n_patterns
    )
    send(reconstruction, RECONSTRUCT_GOAL)


def network_to_start_from(payload: TrainPayload) -> dict[str, Any]:
    """Return the network of the archive a training starts from, as options; empty without one.

    Args:
        payload: what to train on and how.

    Returns:
        Field of `ModelConfig` -> value; what the network is trained for stays the reconstructor's.
    """
    options = {} if payload.init is None else StartArchive.read(payload.init).options
    options.pop("model_type", None)
    return options


def run_train(host: ParentLink) -> None:
    """Train one model; sends both loss curves after every epoch and the archive's path at the end.

    Args:
        host: gives a `TrainPayload`, takes `Goal`, `ModelSaved` and the host's `TrainOutput`.
    """
    payload: TrainPayload = host.take()
    scans = [RawData.from_file(path) for path in payload.training_files]
    validation = [RawData.from_file(path) for path in payload.validation_files]
    N = scans[0].N
    config = replace(payload.config, n_images=None, model=replace(payload.config.model, N=N))
    config = fit_preset(config, payload.preset, scans, network_to_start_from(payload))
    check_patterns(scans[0].diff3d.shape, N, config.model.gridsize)
    if payload.measure_photons:
        config = replace(config, nphotons=measured_photons(scans))
    history: dict[str, list[float]] = {}
    checkpoints = payload.output_path / CHECKPOINT_FOLDER
    checkpoints.mkdir(parents=True, exist_ok=True)
    best = checkpoints / BEST_MODEL_FILE

    def on_epoch(report: EpochReport) -> None:
        for name, value in report.losses.items():
            history.setdefault(name, []).append(value)
        output = TrainOutput(
            training_loss=losses_of(history),
            validation_loss=losses_of(history, "val_loss"),
            progress=report.epoch,
        )
        if report.epoch == 1:
            host.put(Goal(report.n_epochs))
            host.put(ModelSaved(best))
        host.put(output)
        terms = ", ".join(f"{name} {value:.5g}" for name, value in report.losses.items())
        logger.info("Epoch %d of %d: %s", report.epoch, report.n_epochs, terms)

    model = train_scans(
        scans,
        config,
        payload.execution,
        validation=validation,
        backend=config.backend,
        every_point=payload.all_positions,
        on_epoch=on_epoch,
        checkpoint_folder=checkpoints,
        best_archive=best,
        init=payload.init,
    )
    archive = model.save(payload.output_path / MODEL_FILE)
    logger.info("Model written to %s.", archive)
    host.put(ModelSaved(archive))
