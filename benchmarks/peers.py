"""Ours beside Pty-Chi's LSQML on one scan, regime by regime, at equal computing time on one thread.

    python -m benchmarks.peers SCAN.npz OUT [--reference REFERENCE.npz] [--guess GUESS.npz] [--regime e8 ...]

Ours is `ptychopinn train` and `ptychopinn infer` with nothing but the scan. LSQML gets the processor time that both
took together, its better noise model, the refinement that the regime calls for, and of its states the one that explains
the held-out patterns best. Both are judged alike: R-free of the same held-out patterns at their true positions, and
the correlation of the phase with the reference over the pixels that get at least a quarter of the median light.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.ndimage import map_coordinates

from benchmarks.regimes import REGIMES, in_regime
from ptychopinn_backend.arrays import AnyArray, BoolArray, Complex64Array
from ptychopinn_backend.config.presets import NOISY_COUNTS
from ptychopinn_backend.data.held_out import held_out_rows
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation.free_fit import free_fit
from ptychopinn_backend.evaluation.metrics import remove_phase_ramp
from ptychopinn_backend.evaluation.scores import align_objects
from ptychopinn_backend.stitching.assembly import ObjectFrame, light_on
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

_REFINED = {"j": ["--positions"], "i": ["--probe"]}
_LEAST_LIGHT = 0.25
_COMMAND = (sys.executable, "-c", "import sys; from ptychopinn_backend.cli import main; sys.exit(main())")


@click.command()
@click.argument("scan_file", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), help="NPZ with object and origin_rc.")
@click.option("--guess", type=click.Path(path_type=Path), help="The scan with a probe that is only a guess.")
@click.option("--regime", "regimes", multiple=True, default=REGIMES, help="All without it.")
@click.option("--backend", default="pytorch", show_default=True)
@click.option("--peer/--no-peer", default=True, help="Run the peer as well.")
@click.option("--peer-path", default="", help="Folder with Pty-Chi, where it is not installed in this environment.")
def main(
    scan_file: Path,
    folder: Path,
    reference: Path | None,
    guess: Path | None,
    regimes: tuple[str, ...],
    backend: str,
    peer: bool,
    peer_path: str,
) -> None:
    """Print one line of JSON for each regime and program, and add it to OUT/peers.jsonl."""
    whole = RawData.from_file(scan_file)
    other = None if guess is None else RawData.from_file(guess)
    target = _target(whole, reference)
    folder.mkdir(parents=True, exist_ok=True)
    for regime in regimes:
        if regime == "init" and other is None:
            continue
        scan = in_regime(whole, regime, other)
        # Where errors were added, the true positions judge; regimes that leave patterns out keep the rows they took.
        true = replace(scan, xcoords=whole.xcoords, ycoords=whole.ycoords) if regime[0] == "j" else scan
        path = folder / f"{regime}.npz"
        scan.to_file(path)
        ours, seconds = _ours(path, folder / regime, backend)
        rows = held_out_rows(scan.positions_xy)
        _tell(folder, _judged("ours", regime, ours, true, rows, target) | {"seconds": round(seconds, 1)})
        if peer:
            theirs = _theirs(scan, regime, path, folder / regime, seconds, peer_path)
            _tell(folder, _judged("lsqml", regime, theirs, true, rows, target))


def _target(scan: RawData, reference: Path | None) -> tuple[Complex64Array, tuple[float, float]]:
    if reference is None:
        assert scan.objectGuess is not None, "give --reference, or a scan with its true object"
        return scan.objectGuess, (0.0, 0.0)
    with np.load(reference) as found:
        row, column = found["origin_rc"]
        return found["object"].astype(np.complex64), (float(row), float(column))


def _tell(folder: Path, line: dict[str, Any]) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    with (folder / "peers.jsonl").open("a") as file:
        file.write(text + "\n")


def _run(command: list[str], extra_path: str = "") -> float:
    """Run a program on one thread and return the processor time it took, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), extra_path)))
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ours(scan: Path, folder: Path, backend: str) -> tuple[Reconstruction, float]:
    model, result = folder / "model", folder / "result"
    seconds = _run([*_COMMAND, "train", str(scan), "-o", str(model), "--backend", backend, "--seed", "0"])
    seconds += _run([*_COMMAND, "infer", str(model), str(scan), "-o", str(result)])
    return Reconstruction.load_npz(next(result.rglob("reconstruction.npz"))), seconds


def _theirs(scan: RawData, regime: str, path: Path, folder: Path, seconds: float, peer_path: str) -> Reconstruction:
    result = folder / "lsqml.npz"
    light = scan.counts_in_light
    noise = ["--poisson"] if light is not None and light < NOISY_COUNTS else []
    program = [sys.executable, "-m", "benchmarks.ptychi_solver", str(path), str(result), "--seconds", str(seconds)]
    _run([*program, *noise, *_REFINED.get(regime[0], [])], peer_path)
    return Reconstruction.load_npz(result)


def _judged(
    name: str,
    regime: str,
    made: Reconstruction,
    scan: RawData,
    rows: AnyArray,
    target: tuple[Complex64Array, tuple[float, float]],
) -> dict[str, Any]:
    fit = free_fit(made, scan, rows)
    line: dict[str, Any] = {"program": name, "regime": regime}
    if fit is not None:
        line |= {"r_free": round(fit.r, 4), "free_deviance": round(fit.deviance, 3)}
    try:
        line["phase_correlation"] = round(phase_correlation(made, scan, target), 4)
    except DataError as error:
        line["phase_correlation"] = str(error)
    return line | {key: value for key, value in made.info.items() if key in ("epochs", "polish_steps")}


def phase_correlation(made: Reconstruction, scan: RawData, target: tuple[Complex64Array, tuple[float, float]]) -> float:
    """Return the correlation of the phase with that of a reference, planes removed, over the pixels that are lit."""
    obj, origin = target
    shift = align_objects(made, obj, origin, scan.positions_xy).shift_rc_px
    first = np.ceil(scan.positions_xy.min(axis=0)[::-1] + origin)
    last = np.floor(scan.positions_xy.max(axis=0)[::-1] + origin)
    grid = np.mgrid[first[0] : last[0] + 1, first[1] : last[1] + 1]
    there = grid + np.reshape(np.subtract(made.origin_rc, origin) + shift, (2, 1, 1))
    cut, moved = _sampled(obj, grid), _sampled(made.object, there)
    assert scan.probeGuess is not None
    probe = scan.probeGuess.reshape(-1, scan.N, scan.N)
    frame = ObjectFrame((obj.shape[0], obj.shape[1]), origin)
    light = map_coordinates(light_on(frame, probe, scan.positions_xy, scan.mean_photons), grid, order=1)
    lit = light >= _LEAST_LIGHT * np.median(light[light > 0.05 * light.max()])
    cut = remove_phase_ramp(np.where(lit, cut, 0))
    moved = remove_phase_ramp(np.where(lit, moved, 0), cut)
    phases = [_flat(image, lit)[lit] for image in (moved, cut)]
    return float(np.corrcoef(*phases)[0, 1])


def _sampled(obj: Complex64Array, places: AnyArray) -> Complex64Array:
    parts = [map_coordinates(part, places, order=1, mode="nearest") for part in (obj.real, obj.imag)]
    return np.asarray(parts[0] + 1j * parts[1], np.complex64)


def _flat(image: Complex64Array, lit: BoolArray) -> AnyArray:
    """Return the phase without its mean, and without the plane that fits the lit pixels."""
    turned = np.angle(image * np.exp(-1j * np.angle(np.sum(image[lit]))))
    rows, columns = np.indices(image.shape)
    basis = np.stack([np.ones(image.size), rows.ravel(), columns.ravel()], axis=1)
    fitted, *_ = np.linalg.lstsq(basis[lit.ravel()], turned[lit], rcond=None)
    return np.asarray(turned - (basis @ fitted).reshape(image.shape))


if __name__ == "__main__":
    main()
