"""Reconstruction of an object from a trained model and a scan.

The network predicts the patches batch by batch. They are stitched, the object is scaled to the counts, and it is
polished.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ptychopinn_backend.arrays import BoolArray, Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.checks import require_choice, require_non_negative_integer
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.held_out import MOST_COPIED_BYTES, held_out_rows
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import count_photons
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.forward import overlap_weights
from ptychopinn_backend.runs.half_object import FEWEST_PATTERNS, HalfObjectMaker
from ptychopinn_backend.runs.polishing import law_of, polished
from ptychopinn_backend.runs.probe_choice import ProbeChoice, choose_probe
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.uncertainty import with_uncertainty
from ptychopinn_backend.stitching.assembly import (
    ObjectAssembler,
    ObjectFrame,
    central_weight,
    counts_scale,
    light_on,
    lit_pixels,
    probe_weight,
    require_crop,
)
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger(__name__)

DEFAULT_POLISH_STEPS = 8
"""Default number of polish steps; docs/fidelity.md shows their effect."""
ASSEMBLIES = ("probe", "central")

ProgressCallback = Callable[[int, int, Callable[[], Reconstruction]], None]
"""Called with the groups that are done, the number of all groups, and a function that returns the current result."""


def reconstruct(
    model: TrainedModel,
    scan: RawData,
    *,
    n_groups: int | None = None,
    neighbor_count: int | None = None,
    batch_size: int | None = None,
    assembly: str = "probe",
    crop_px: int | None = None,
    frame: ObjectFrame | None = None,
    polish_steps: int | None = DEFAULT_POLISH_STEPS,
    held_out: bool = False,
    last_pass: bool = False,
    uncertainty: bool = True,
    seed: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> Reconstruction:
    """Reconstruct the object of a scan. Patches are stitched batch by batch, so they are never all in memory.

    Args:
        model: a trained model.
        scan: the scan; its probe and positions place the patches.
        n_groups: number of groups; None takes one for every scan point, a larger number several for each.
        neighbor_count: number of nearest neighbours from which a group is drawn; None takes the training value.
        batch_size: number of groups per pass; None takes the execution option, or 8 if that is not set.
        assembly: 'probe' weights patches by the intensity of the probe, 'central' averages the centres of patches.
        crop_px: side in pixels of the centre of each patch that is stitched, 1 to N; None takes N/2 for 'central' and N
            for 'probe'.
        frame: array in which the object is returned; None covers the scan.
        polish_steps: number of data-consistency steps on the stitched object (`polish.polish`); 0 takes none. None lets
            held-out patterns choose the number, and takes the likelihood that suits the counts. If no pattern can be
            held out, None takes 8.
        held_out: True leaves out a few patterns, spread evenly (`data.held_out`), which judge the object. `info` then
            has 'r_free', 'free_deviance' and the rows of these patterns, 'held_out'.
        last_pass: True reconstructs again with all patterns in the end. 'r_free' stays that of the held-out patterns.
        uncertainty: True adds the uncertainties of amplitude and phase; see `uncertainty`.
        seed: seed for drawing neighbours; None takes that of the training.
        on_progress: called after every batch; its objects are not polished and have no uncertainty.

    Returns:
        The object in `frame`, scaled so that object times probe gives the measured counts. `info` names this probe
        ('probe', see `probe_choice.ProbeChoice`), the time of the whole ('elapsed_s') and the time of the polish in it
        ('polish_s'), both in seconds.

    Raises:
        DataError: the scan does not fit the model, shows several objects, or has no probe and the archive none either.
        ConfigError: `assembly` is unknown, the crop is larger than a patch, or `polish_steps` is negative.
    """
    if polish_steps is not None:
        require_non_negative_integer("polish_steps", polish_steps)
    require_choice("assembly", assembly, ASSEMBLIES)
    _require_one_object(scan)
    if crop_px is not None:
        require_crop(crop_px, model.model.N)
    asked = _Asked(n_groups, neighbor_count, batch_size, assembly, crop_px, frame, uncertainty, seed, on_progress)
    kept, rows = _without_held_out(scan) if held_out or polish_steps is None else (scan, np.zeros(0, np.intp))
    made = _stitched_and_polished(model, scan, kept, rows, polish_steps, asked)
    return _of_all_patterns(made, model, scan, asked) if last_pass and len(rows) else made


def _of_all_patterns(made: Reconstruction, model: TrainedModel, scan: RawData, asked: _Asked) -> Reconstruction:
    """Return the object of all patterns, with the judgement of the held-out patterns on the object without them."""
    asked = asked._replace(uncertainty_factor=made.info.get("uncertainty_factor"))
    again = _stitched_and_polished(model, scan, scan, np.zeros(0, np.intp), made.info["polish_steps"], asked)
    judged = {name: made.info[name] for name in ("r_free", "free_deviance") if name in made.info}
    return replace(again, info=again.info | judged)


class _Asked(NamedTuple):
    """Arguments of `reconstruct` that every pass shares."""

    n_groups: int | None
    neighbor_count: int | None
    batch_size: int | None
    assembly: str
    crop_px: int | None
    frame: ObjectFrame | None
    uncertainty: bool
    seed: int | None
    on_progress: ProgressCallback | None
    uncertainty_factor: float | None = None


def _stitched_and_polished(
    model: TrainedModel, scan: RawData, kept: RawData, rows: IntArray, polish_steps: int | None, asked: _Asked
) -> Reconstruction:
    started = perf_counter()
    model = model.one_by_one()
    choice = choose_probe(model, kept)
    source = _groups(model, choice.scan, asked.n_groups, asked.neighbor_count, asked.seed)
    N = model.model.N
    frame = asked.frame or ObjectFrame.covering(scan.positions_xy, N)
    weight = patch_weight(asked.assembly, choice.probe, model.model, asked.crop_px)
    assembler = ObjectAssembler(frame, N, weight)
    asks_half = asked.uncertainty and kept.n_patterns >= FEWEST_PATTERNS
    half = HalfObjectMaker(frame, N, weight, kept) if asks_half else None
    counts = count_photons(scan.diff3d)

    def so_far() -> Reconstruction:
        made = _scaled(assembler, kept, choice, model, perf_counter() - started)
        return replace(made, positions_xy=scan.positions_xy, pattern_counts=counts)

    positions = group_positions(source)
    done = 0
    for patches in model.backend.predict(source, model.inference_batch(asked.batch_size)):
        count = len(patches)
        by_pattern = np.ascontiguousarray(np.moveaxis(patches, -1, 1)).reshape(-1, N, N)
        groups = slice(done, done + count)
        centres = positions[groups].reshape(-1, 2)
        assembler.add(by_pattern, centres)
        if half is not None:
            half.add(by_pattern, centres, source.pattern_rows[groups].ravel())
        done += count
        if asked.on_progress is not None:
            asked.on_progress(done, source.n_groups, so_far)
    made = _polished(so_far(), scan, kept, rows, polish_steps, started)
    if half is None:
        return made
    before = perf_counter()
    judged = polish_steps is None and len(rows) > 0
    second = half.result(made.probe, made.info["polish_steps"], _valid_pixels(scan), law_of(scan) if judged else None)
    light = light_on(frame, made.probe, kept.positions_xy, kept.mean_photons)
    made = with_uncertainty(made, second, light, scan, rows, asked.uncertainty_factor)
    took = perf_counter() - before
    return replace(made, info=made.info | {"elapsed_s": made.info["elapsed_s"] + took, "uncertainty_s": took})


def _without_held_out(scan: RawData) -> tuple[RawData, IntArray]:
    """Return the scan without its held-out patterns, and their rows. A scan too large to copy keeps all patterns."""
    if scan.diff3d.nbytes > MOST_COPIED_BYTES:
        return scan, np.zeros(0, np.intp)
    rows = held_out_rows(scan.positions_xy)
    kept = np.setdiff1d(np.arange(scan.n_patterns), rows)
    return (scan.select(kept) if len(rows) else scan), rows


@dataclass(frozen=True)
class PredictedPatches:
    """Patches as the network predicts them, before they are stitched."""

    patches: Complex64Array
    """Patches (group, N, N, channel)."""
    positions_xy: Float64Array
    """Centre of every patch (group, channel, 2), axis 2 = (x, y), object pixels."""


def predict(
    model: TrainedModel,
    scan: RawData,
    *,
    n_groups: int | None = None,
    neighbor_count: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
) -> PredictedPatches:
    """Predict the patches of a scan and keep all of them in memory.

    Args:
        model: a trained model.
        scan: the scan.
        n_groups: number of groups; None takes one for every scan point.
        neighbor_count: number of nearest neighbours from which a group is drawn; None takes the training value.
        batch_size: number of groups per pass; None takes the execution option, or 8 if that is not set.
        seed: seed for drawing neighbours; None takes that of the training.

    Returns:
        The patches and their positions.

    Raises:
        DataError: the scan does not fit the model, or neither the scan nor the archive has a probe.
    """
    source = _groups(model, choose_probe(model, scan).scan, n_groups, neighbor_count, seed)
    batches = list(model.backend.predict(source, model.inference_batch(batch_size)))
    return PredictedPatches(np.concatenate(batches), group_positions(source))


def _require_one_object(scan: RawData) -> None:
    objects = np.unique(scan.scan_index)
    if len(objects) > 1:
        raise DataError(
            f"The scan shows {len(objects)} objects (scan_index {', '.join(map(str, objects[:5]))}"
            f"{', ...' if len(objects) > 5 else ''}), which cannot share one array. Reconstruct each of "
            "scan.by_object().values() by itself, as 'ptychopinn infer' does."
        )


def _groups(
    model: TrainedModel, scan: RawData, n_groups: int | None, neighbor_count: int | None, seed: int | None
) -> PtychoDataContainer:
    return PtychoDataContainer.from_raw_data(
        scan,
        model.model,
        n_groups=n_groups,
        neighbor_count=neighbor_count or max(model.training.neighbor_count, model.model.channels),
        seed=model.draw_seed if seed is None else seed,
        enable_oversampling=n_groups is not None and n_groups > scan.n_patterns,
    )


def group_positions(source: PtychoDataContainer) -> Float64Array:
    """Return the centre of every patch of every group (group, channel, 2), axis 2 = (x, y), object pixels."""
    return source.coords_true[:, 0].transpose(0, 2, 1)


def patch_weight(assembly: str, probe: Complex64Array, model: ModelConfig, crop_px: int | None = None) -> Float32Array:
    """Return the weight of every patch pixel for stitching.

    Args:
        assembly: 'probe' weights by the intensity of the probe, 'central' takes only the centre.
        probe: probe (mode, N, N).
        model: configuration of the network; it decides which part of a patch the network fills.
        crop_px: side of the centre in pixels; None takes N/2 for 'central' and N for 'probe'.

    Returns:
        Weights (N, N).
    """
    side = crop_px or (model.N if assembly == "probe" else model.N // 2)
    centre = central_weight(model.N, side)
    weight = probe_weight(probe) * centre if assembly == "probe" else centre
    if uses_back_projection(model.architecture):
        return weight
    return np.asarray(weight * overlap_weights(model, probe[np.newaxis])[0], dtype=np.float32)


def _scaled(
    assembler: ObjectAssembler, scan: RawData, choice: ProbeChoice, model: TrainedModel, elapsed_s: float
) -> Reconstruction:
    stitched = assembler.result()
    obj, scale = at_scale_of_counts(
        stitched.object, stitched.frame, choice.probe, scan.positions_xy, scan.diff3d, scan.bad_pixels
    )
    info = {"scale": scale, "elapsed_s": elapsed_s, "n_patterns": scan.n_patterns, "probe": choice.origin}
    info["scan_index"] = int(scan.scan_index[0])
    if choice.agreement is not None:
        info["probe_agreement"] = choice.agreement
    logger.info("Object scaled by %.4g so that probe times object gives the measured counts.", scale)
    return Reconstruction(
        object=obj,
        origin_rc=stitched.frame.origin_rc,
        probe=choice.probe,
        weight=stitched.weight,
        backend=model.backend_name,
        positions_xy=scan.positions_xy,
        info=info,
    )


def at_scale_of_counts(
    obj: Complex64Array,
    frame: ObjectFrame,
    probe: Complex64Array,
    positions_xy: Float64Array,
    amplitudes: Float32Array,
    bad_pixels: BoolArray | None,
) -> tuple[Complex64Array, float]:
    """Return an object scaled so that object times probe gives the measured counts.

    Args:
        obj: object (row, column).
        frame: array of the object.
        probe: probe (mode, N, N).
        positions_xy: positions (pattern, 2), axis 1 = (x, y), pixels.
        amplitudes: square roots of the counts (pattern, N, N).
        bad_pixels: mask (N, N), True for bad pixels; None if all are good.

    Returns:
        The scaled object and the factor.

    Raises:
        DataError: the model predicts no light.
    """
    scale = counts_scale(obj, frame, probe, positions_xy, amplitudes, None if bad_pixels is None else ~bad_pixels)
    return np.asarray(obj * scale, dtype=np.complex64), scale


def without_dark_pixels(
    obj: Complex64Array, frame: ObjectFrame, probe: Complex64Array, positions_xy: Float64Array, mean_photons: float
) -> Complex64Array:
    """Return an object that is 0 at the pixels that got too little light to be known.

    Args:
        obj: object (row, column).
        frame: array of the object.
        probe: probe (mode, N, N).
        positions_xy: positions (pattern, 2), axis 1 = (x, y), pixels.
        mean_photons: mean number of photons in a pattern.

    Returns:
        Object (row, column).
    """
    return np.where(lit_pixels(light_on(frame, probe, positions_xy, mean_photons)), obj, np.complex64(0))


def _valid_pixels(scan: RawData) -> BoolArray | None:
    return None if scan.bad_pixels is None else ~scan.bad_pixels


def _polished(
    stitched: Reconstruction, scan: RawData, kept: RawData, rows: IntArray, steps: int | None, started_s: float
) -> Reconstruction:
    before = perf_counter()
    found = polished(stitched, scan, kept, rows, steps, _valid_pixels(scan))
    obj = found.object
    if found.steps > 0:
        frame = ObjectFrame((obj.shape[0], obj.shape[1]), stitched.origin_rc)
        obj, _ = at_scale_of_counts(obj, frame, stitched.probe, kept.positions_xy, kept.diff3d, kept.bad_pixels)
    frame = ObjectFrame((obj.shape[0], obj.shape[1]), stitched.origin_rc)
    obj = without_dark_pixels(obj, frame, stitched.probe, scan.positions_xy, scan.mean_photons)
    now = perf_counter()
    logger.info(
        "%d patterns reconstructed in %.2f s, of which %.2f s for %d steps of polish.",
        scan.n_patterns,
        now - started_s,
        now - before,
        found.steps,
    )
    info: dict[str, Any] = {"elapsed_s": now - started_s, "polish_s": now - before, "polish_steps": found.steps}
    info |= {"n_patterns": scan.n_patterns}
    if len(rows):
        info["held_out"] = rows.tolist()
    if found.fit is not None:
        info |= {"r_free": found.fit.r, "free_deviance": found.fit.deviance}
    return replace(stitched, object=obj, info=stitched.info | info)
