"""Calibration of probe and positions as one step of a training or a reconstruction.

A scan is calibrated if its patterns ask for it. The result of a training's calibration is kept beside the model.
"""

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
"""Least part of the deviance of held-out patterns that refined probe and positions must remove."""
MOST_DOUBT: Final = 0.02
"""Largest chance that the gain is none, by a paired t-test on the logarithms of the held-out patterns' deviances."""
MISFIT: Final = 1.3
"""A reconstruction asks for calibration if its R-factor exceeds that of photon noise by more than this factor."""
_LOOKED_AT: Final = 64
_STEPS_A_PIXEL: Final = 100
_OFF_ROUND: Final = 0.3183
_NAME: Final = "calibration-{}.npz"
_ARRAYS: Final = ("probe", "positions_xy")


def calibrated_for_training(scan: RawData, choice: str, folder: Path | None) -> RawData:
    """Return a scan with the probe and positions to train with.

    Args:
        scan: the scan as it was read.
        choice: 'auto' refines probe and positions, and takes them if they explain held-out patterns better than the
            given ones do. Neither fit sees the held-out patterns. 'auto' leaves a scan as it is if it has no probe,
            too few patterns or several objects. 'always' takes the refined ones if the calibration believes in its
            own result (`Calibration.believed`). 'never' changes nothing.
        folder: folder that keeps the calibration for later reconstructions of the scan; None keeps nothing.

    Returns:
        The scan, with refined probe and positions if they were taken.

    Raises:
        ConfigError: `choice` is none of the three words.
        DataError: `choice` is 'always', and the scan cannot be calibrated.
    """
    require_choice("calibrate", choice, CALIBRATE)
    if choice == NEVER:
        return scan
    if choice == AUTO and (reason := _why_not(scan)) is not None:
        logger.info("The scan is not calibrated: %s.", reason)
        return scan
    start = "none" if scan.probeGuess is None else "scan"
    # Patterns of evened strength are no longer counts: they cannot be split, and they have no Poisson likelihood.
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
    """Reconstruct a scan, with refined probe and positions if they are kept for it or if it needs them.

    Args:
        model: a trained model.
        scan: the scan.
        choice: 'auto' and 'always' take the calibration that is kept for this scan. If none is kept, 'auto' calibrates
            if the R-factor of the reconstruction is far above that of photon noise (`MISFIT`), and 'always' calibrates
            in any case. 'never' takes the scan as it is.
        folder: folder of the model, where calibrations are kept; None looks for none.
        **options: further arguments of `reconstruct`.

    Returns:
        The reconstruction. Its `positions_xy` and `probe` are those that were used.

    Raises:
        ConfigError: `choice` is none of the three words.
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
    """Return whether refined probe and positions should replace the given ones, and why.

    Args:
        found: the calibration.

    Returns:
        Whether they should, and the reason in one or two sentences.
    """
    # This import takes half a second, and most runs do not need it.
    from scipy.stats import ttest_rel

    before, after = found.before, found.after
    if not found.believed or before is None:
        return found.believed, found.reason
    if not after.deviance < (1 - LEAST_GAIN) * before.deviance:
        return False, f"{found.reason} That is less than {LEAST_GAIN:.0%}."
    # Ratios are tested, since patterns of unequal light have unequal deviances.
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
    """Return a hash that tells a scan from others, from positions to a hundredth of a pixel, probe and three patterns.

    The positions of a scan differ in their last bits between a scan read from files and the same scan from Ptychodus.
    The offset keeps positions with round numbers away from the edge between two steps.
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
