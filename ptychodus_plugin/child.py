"""Entry points of the spawned child: the only place of the plugin where the engine computes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from ptychodus.api.reconstruct import ReconstructOutput, TrainOutput

from ptychodus_plugin.configuration import ReconstructPayload, TrainPayload, check_patterns
from ptychodus_plugin.messages import RECONSTRUCT_GOAL, Goal, ModelSaved
from ptychodus_plugin.product import drawable_losses, losses_of, object_frame, product_of, raw_data_of
from ptychodus_plugin.training_folder import BEST_MODEL_FILE, CHECKPOINT_FOLDER, MODEL_FILE
from ptychopinn_backend.errors import warnings_passed_to
from ptychopinn_backend.files.training_lock import training_lock
from ptychopinn_backend.runs.planning import prepare
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.scan_input import scan_input
from ptychopinn_backend.runs.trained_model import TrainedModel
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
    with warnings_passed_to(logger.warning):
        _reconstruct(host)


def _reconstruct(host: ParentLink) -> None:
    payload: ReconstructPayload = host.take()
    model = TrainedModel.load(payload.archive, payload.backend, payload.execution, to_predict=True)
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

    many = payload.groups_per_position > 1 and model.model.gridsize > 1
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


def run_train(host: ParentLink) -> None:
    """Train one model; sends both loss curves after every epoch and the archive's path at the end.

    Args:
        host: gives a `TrainPayload`, takes `Goal`, `ModelSaved` and the host's `TrainOutput`.
    """
    with warnings_passed_to(logger.warning):
        _train(host)


def _train(host: ParentLink) -> None:
    payload: TrainPayload = host.take()
    inputs, output = payload.request.inputs, payload.output_path
    scans = scan_input(inputs.scans, validation=inputs.validation or None, place=output)
    for size in scans.sizes:
        check_patterns((size.n_patterns, size.N, size.N), size.N, 1)
    run = prepare(payload.request, scans)
    history: dict[str, list[float]] = {}
    checkpoints = output / CHECKPOINT_FOLDER
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

    with training_lock(checkpoints, output):
        model = run.train(on_epoch=on_epoch, checkpoint_folder=checkpoints, best_archive=best)
        archive = model.save(output / MODEL_FILE)
        run.plan.write(output)
    logger.info("Model written to %s.", archive)
    host.put(ModelSaved(archive))
