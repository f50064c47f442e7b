"""Calibration as a step of a run: where the evidence asks for it, and kept beside the model it was trained with."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.calibration import Calibration, CalibrationOptions, calibrate, calibrated_scan
from ptychopinn_backend.config.checks import require_choice
from ptychopinn_backend.config.inputs import CALIBRATE
from ptychopinn_backend.data.held_out import FEWEST_PATTERNS
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import scan_r_factors
from ptychopinn_backend.factory import fast_transforms
from ptychopinn_backend.files.npz import read_npz, write_npz
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

logger = logging.getLogger(__name__)

AUTO, NEVER, ALWAYS = CALIBRATE

LEAST_GAIN: Final = 0.02
"""Part of the deviance of held-out patterns that refined probe and positions have to take away."""
MOST_DOUBT: Final = 0.02
"""Chance, by a paired t-test over the logarithms of the held-out patterns' deviances, that the gain is none."""
MISFIT: Final = 1.3
"""R-factor over that of photon noise from which on a reconstruction asks for calibration."""
_LOOKED_AT: Final = 64
_STEPS_A_PIXEL: Final = 100
_OFF_ROUND: Final = 0.3183
_NAME: Final = "calibration-{}.npz"
_ARRAYS: Final = ("probe", "positions_xy")


def calibrated_for_training(scan: RawData, choice: str, folder: Path | None) -> RawData:
    """Return a scan with the probe and positions to train with.

    Args:
        scan: as it was read.
        choice: 'auto' refines probe and positions and takes them where patterns that were held out from both fits are
            explained better than by the given ones; 'always' takes them where calibration believes in itself; 'never'
            changes nothing.
        folder: where what was found is kept for later reconstructions of the scan; None keeps nothing.

    Returns:
        The scan, with other probe and positions where they were taken.

    Raises:
        ConfigError: another choice.
        DataError: 'always', and the scan cannot be calibrated.
    """
    require_choice("calibrate", choice, CALIBRATE)
    if choice == NEVER:
        return scan
    if choice == AUTO and (reason := _why_not(scan)) is not None:
        logger.info("The scan is not calibrated: %s.", reason)
        return scan
    start = "none" if scan.probeGuess is None else "scan"
    # Evened patterns would be no counts any more, and neither split nor have a Poisson likelihood.
    with fast_transforms():
        found = calibrate(scan, CalibrationOptions(probe=start, strengths=False))
    taken, reason = worth_taking(found) if choice == AUTO else (found.believed, found.reason)
    if not taken:
        logger.info("Probe and positions stay as given. %s", reason)
        return scan
    logger.warning("Probe and positions were refined: %s", reason)
    found = replace(found, believed=True)
    if folder is not None:
        _keep(scan, found, folder)
    return calibrated_scan(scan, found)


def reconstruct_calibrated(
    model: TrainedModel, scan: RawData, choice: str, folder: Path | None, **options: Any
) -> Reconstruction:
    """Reconstruct a scan with the calibration its model was trained with, or with one of its own where it asks for it.

    Args:
        model: a trained model.
        scan: the scan.
        choice: 'auto' takes the calibration kept for this scan, and without one calibrates where the R-factor of the
            reconstruction is far above photon noise; 'always' calibrates; 'never' takes the scan as it is.
        folder: of the model, where calibrations are kept; None looks for none.
        **options: further arguments of `reconstruct`.

    Returns:
        The reconstruction; `positions_xy` and `probe` are those that were used.

    Raises:
        ConfigError: another choice.
        DataError: the scan cannot be reconstructed.
    """
    require_choice("calibrate", choice, CALIBRATE)
    kept = None if choice == NEVER or folder is None else _kept(scan, folder)
    if kept is not None:
        logger.info("Probe and positions are those that training refined for this scan.")
        return reconstruct(model, kept, **options)
    if choice == ALWAYS:
        return reconstruct(model, calibrated_for_training(scan, ALWAYS, None), **options)
    made = reconstruct(model, scan, **options)
    if choice == NEVER or not _asks(made, scan):
        return made
    refined = calibrated_for_training(scan, AUTO, None)
    return made if refined is scan else reconstruct(model, refined, **options)


def _why_not(scan: RawData) -> str | None:
    if scan.probeGuess is None:
        return "it has no probe to begin with; 'ptychopinn calibrate --probe none' looks for one"
    if scan.n_patterns < FEWEST_PATTERNS:
        return f"{scan.n_patterns} patterns are too few to hold any out"
    objects = len(np.unique(scan.scan_index))
    if objects > 1:
        return f"it shows {objects} objects"
    return None


def worth_taking(found: Calibration) -> tuple[bool, str]:
    """Return whether refined probe and positions are worth the place of the given ones, and why.

    Args:
        found: a calibration.

    Returns:
        Whether, and one or two sentences.
    """
    # Half a second that most runs need not wait for.
    from scipy.stats import ttest_rel

    before, after = found.before, found.after
    if not found.believed or before is None:
        return found.believed, found.reason
    if not after.deviance < (1 - LEAST_GAIN) * before.deviance:
        return False, f"{found.reason} That is less than {LEAST_GAIN:.0%}."
    # Ratios, since patterns of unequal light have unequal deviances.
    doubt = float(ttest_rel(np.log(before.each), np.log(after.each), alternative="greater").pvalue)
    if not doubt < MOST_DOUBT:
        return False, f"{found.reason} {len(after.each)} patterns differ too much to tell (chance {doubt:.2g})."
    return True, found.reason


def _asks(made: Reconstruction, scan: RawData) -> bool:
    if _why_not(scan) is not None:
        return False
    rows = np.unique(np.linspace(0, scan.n_patterns - 1, min(scan.n_patterns, _LOOKED_AT)).astype(np.intp))
    try:
        found, floor = scan_r_factors(made, scan.select(rows))
    except DataError:
        return False
    if found > MISFIT * floor:
        logger.info("R %.4f is far above that of photon noise, %.4f: the scan is calibrated.", found, floor)
    return found > MISFIT * floor


def _digest(scan: RawData) -> str:
    """Return what tells a scan from others: positions to a hundredth of a pixel, probe and some patterns.

    One scan that is read from its files and one that Ptychodus hands over differ in the last bits of their positions;
    the offset keeps positions on round numbers away from the edge between two steps.
    """
    steps = np.floor(scan.positions_xy * _STEPS_A_PIXEL + _OFF_ROUND).astype(np.int64)
    parts: list[AnyArray] = [steps, scan.diff3d[[0, scan.n_patterns // 2, -1]]]
    if scan.probeGuess is not None:
        parts.append(scan.probeGuess)
    digest = hashlib.sha256(str(scan.diff3d.shape).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def _keep(scan: RawData, found: Calibration, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    members: dict[str, Any] = {name: getattr(found, name) for name in _ARRAYS}
    write_npz(folder / _NAME.format(_digest(scan)), {**members, "summary": np.array(json.dumps(found.summary()))})


def _kept(scan: RawData, folder: Path) -> RawData | None:
    path = folder / _NAME.format(_digest(scan))
    if not path.is_file():
        return None
    members = read_npz(path, (*_ARRAYS, "summary"))
    positions = members["positions_xy"]
    if positions.shape != scan.positions_xy.shape:
        raise DataError(f"{path} does not fit the scan it is named after. Delete it, and train again.")
    return replace(
        scan,
        xcoords=positions[:, 0].astype(np.float64),
        ycoords=positions[:, 1].astype(np.float64),
        xcoords_start=scan.xcoords if scan.xcoords_start is None else scan.xcoords_start,
        ycoords_start=scan.ycoords if scan.ycoords_start is None else scan.ycoords_start,
        probeGuess=members["probe"].astype(np.complex64),
        metadata=scan.metadata | {"calibration": json.loads(str(members["summary"]))},
    )
