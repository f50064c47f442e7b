"""Entry points of the spawned child: the only place of the plugin where the engine computes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from ptychodus.api.reconstruct import ReconstructOutput, TrainOutput

from ptychodus_plugin.messages import RECONSTRUCT_GOAL, Chosen, FreeFits, Goal, Judged, ModelSaved
from ptychodus_plugin.payloads import ReconstructPayload, TrainPayload
from ptychodus_plugin.product import drawable_losses, losses_of, object_frame, product_of, raw_data_of
from ptychodus_plugin.product_checks import check_patterns
from ptychodus_plugin.training_folder import BEST_MODEL_FILE, CHECKPOINT_FOLDER, MODEL_FILE, results_folder
from ptychopinn_backend.checking.quick import warn_of_faults
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError, warnings_passed_to
from ptychopinn_backend.evaluation import scan_fit
from ptychopinn_backend.files.training_lock import training_lock
from ptychopinn_backend.runs.calibrating import NEVER, reconstruct_calibrated
from ptychopinn_backend.runs.half_turn import warn_of_half_turns
from ptychopinn_backend.runs.planning import prepare
from ptychopinn_backend.runs.scan_input import scan_input
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.two_halves import half_data_resolution_px
from ptychopinn_backend.runs.unfinished import warn_of_replaced
from ptychopinn_backend.seam.child_process import ParentLink
from ptychopinn_backend.seam.interface import EpochReport
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger("ptychopinn_backend.ptychodus")

PARTIAL_STEP: Final = 10
"""Per cent of the groups between two partial objects: stitching them costs time, and a batch run writes a file each."""
MOST_JUDGED: Final = 1024
"""Patterns, spread evenly, that are asked how well the object explains them."""


def run_reconstruct(host: ParentLink) -> None:
    """Reconstruct one scan; sends partial products while patches are predicted, and the complete one at the end.

    Args:
        host: gives a `ReconstructPayload`, takes the host's `ReconstructOutput` and at the end `Judged`.
    """
    with warnings_passed_to(logger.warning):
        _reconstruct(host)


def _reconstruct(host: ParentLink) -> None:
    payload: ReconstructPayload = host.take()
    model = TrainedModel.load(payload.archive, execution=payload.execution, setting=payload.backend, to_predict=True)
    scan = raw_data_of(payload.parameters)
    warn_of_faults(scan)
    warn_of_half_turns([scan])
    product = payload.parameters.product
    losses = drawable_losses(model.history)

    def send(reconstruction: Reconstruction, progress: int) -> None:
        output = product_of(product, reconstruction, scan, losses)
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
    reconstruction = reconstruct_calibrated(
        model,
        scan,
        payload.calibrate,
        results_folder(payload.archive),
        n_groups=scan.n_patterns * payload.groups_per_position if many else None,
        neighbor_count=min(payload.neighbor_count, max(scan.n_patterns - 1, 1)),
        assembly=payload.assembly,
        crop_px=payload.crop_px,
        polish_steps=payload.polish_steps,
        last_pass=payload.use_all_patterns,
        frame=object_frame(product.object_),
        on_progress=on_progress,
    )
    logger.info(
        "Reconstructed with %s from %d groups around %d positions.", reconstruction.backend, groups, scan.n_patterns
    )
    send(reconstruction, RECONSTRUCT_GOAL)
    _judge(host, model, scan, reconstruction, payload)


def _judge(
    host: ParentLink, model: TrainedModel, scan: RawData, made: Reconstruction, payload: ReconstructPayload
) -> None:
    """Tell how good a reconstruction is: what is known at once, then the resolution, which takes as long again."""
    places = scan.positions_xy if made.positions_xy is None else made.positions_xy
    used = replace(scan, xcoords=places[:, 0], ycoords=places[:, 1], probeGuess=made.probe)
    rows = np.unique(np.linspace(0, scan.n_patterns - 1, min(scan.n_patterns, MOST_JUDGED)).astype(np.intp))
    try:
        fit = scan_fit(made, used if len(rows) == scan.n_patterns else used.select(rows))
    except DataError as error:
        logger.info("The reconstruction is not judged: %s", error)
        return
    judged = Judged(
        r_factor=fit.r_factor,
        noise_r_factor=fit.poisson_floor_r_factor,
        r_free=made.info.get("r_free"),
        elapsed_s=made.info["elapsed_s"],
        polish_steps=made.info["polish_steps"],
        refined=places is not scan.positions_xy and not np.array_equal(places, scan.positions_xy),
        pixel_nm=1e9 * payload.parameters.product.object_.get_pixel_geometry().width_m,
        deviance=fit.deviance,
        noise_deviance=fit.poisson_deviance,
        free_deviance=made.info.get("free_deviance"),
    )
    host.put(judged)
    if not payload.halves_resolution:
        return
    try:
        resolution = half_data_resolution_px(model, used, judged.polish_steps)
    except DataError as error:
        logger.info("No resolution from two halves of the patterns: %s", error)
        return
    host.put(judged._replace(resolution_px=resolution))


def run_train(host: ParentLink) -> None:
    """Train one model; sends both loss curves after every epoch and the archive's path at the end.

    Args:
        host: gives a `TrainPayload`, takes `Chosen`, `Goal`, `ModelSaved`, `FreeFits` and the host's `TrainOutput`.
    """
    with warnings_passed_to(logger.warning):
        _train(host)


def _train(host: ParentLink) -> None:
    payload: TrainPayload = host.take()
    inputs, output = payload.request.inputs, payload.output_path
    scans = scan_input(
        inputs.scans if payload.parameters is None else [raw_data_of(payload.parameters)],
        validation=inputs.validation or None,
        place=output,
        calibrate=inputs.calibrate or NEVER,
    )
    for size in scans.sizes:
        check_patterns((size.n_patterns, size.N, size.N), size.N, 1)
        warn_of_faults(size)
    run = prepare(payload.request, scans)
    preset = run.plan.decision("preset")
    host.put(Chosen(str(preset.value), preset.why))
    history: dict[str, list[float]] = {}
    fits: dict[int, float] = {}
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
        if report.r_free is not None:
            fits[report.epoch] = report.r_free
            host.put(FreeFits(tuple(fits), tuple(fits.values())))
        terms = ", ".join(f"{name} {value:.5g}" for name, value in report.losses.items())
        logger.info("Epoch %d of %d: %s", report.epoch, report.n_epochs, terms)

    warn_of_replaced(output / MODEL_FILE)
    with training_lock(checkpoints, output):
        run.plan.write(output)
        model = run.train(on_epoch=on_epoch, checkpoint_folder=checkpoints, best_archive=best)
        archive = model.save(output / MODEL_FILE)
    logger.info("Model written to %s.", archive)
    host.put(ModelSaved(archive))
