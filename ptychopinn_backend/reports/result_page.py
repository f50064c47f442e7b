"""The page of a training and of a reconstruction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptychopinn_backend.archive import package_version
from ptychopinn_backend.arrays import Complex64Array
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import align_objects, object_correlation, pattern_r_factors, scan_fit
from ptychopinn_backend.evaluation.matching import matched_scan
from ptychopinn_backend.evaluation.metrics import frc_resolution_px
from ptychopinn_backend.files.fingerprint import fingerprint
from ptychopinn_backend.files.page import Html, facts, heading, paragraph, picture, table, write_page
from ptychopinn_backend.reports import result_pictures
from ptychopinn_backend.reports.result import Result
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

_SHOWN_INFO: Final = ("probe", "r_free", "free_deviance", "polish_steps", "elapsed_s", "n_patterns", "scale")
_TITLES: Final = {
    "reference": "Against a reference",
    "truth": "Against the truth",
    "halves": "Even against odd patterns",
}


@dataclass(frozen=True, eq=False)
class Beside:
    """What a reconstruction is laid beside."""

    scan: RawData | None = None
    """The patterns it was made of."""
    scan_files: tuple[Path, ...] = ()
    """Where they lie."""
    objects: Mapping[str, tuple[Complex64Array, tuple[float, float]]] = field(default_factory=dict)
    """'reference' or 'truth' -> object and its origin."""
    halves: tuple[Reconstruction, Reconstruction] | None = None
    """Reconstructions of the even and of the odd patterns."""


def write_result_page(result: Result, beside: Beside, path: Path) -> None:
    """Write what is known of a result as one page.

    Args:
        result: a training, a reconstruction, or both.
        beside: what it is measured against.
        path: the file; missing folders are made.

    Raises:
        OSError: the folder cannot be written.
    """
    title = f"Report of {result.path.resolve().name}"
    write_page(path, title, str(result.path), _parts(result, beside), package_version())


def _parts(result: Result, beside: Beside) -> Iterator[Html]:
    if result.reconstruction is not None:
        yield from _reconstruction(result.reconstruction, result, beside)
    if result.metadata is not None:
        yield from _training(result.metadata, result.history, result.plan)
    yield heading("Files")
    info = {} if result.reconstruction is None else result.reconstruction.info
    inputs = [*_recorded(result.inputs), *_recorded(info)]
    now = {str(file): fingerprint(file).words for file in (*result.files, *beside.scan_files)}
    yield facts({**dict(inputs), **now})


def _reconstruction(made: Reconstruction, result: Result, beside: Beside) -> Iterator[Html]:
    yield heading("Object")
    yield picture(lambda: result_pictures.object_of(made), "Amplitude and phase of the object", is_wide=True)
    if made.weight is not None:
        weight = made.weight
        yield picture(lambda: result_pictures.plane(weight, "Light over the object", "weight"), "Light over the object")
    for name, values in result.uncertainty.items():
        words = name.replace("_", " ").capitalize()
        known = np.where(made.object != 0, values, np.nan)
        label = "standard deviation (rad)" if name.startswith("phase") else "standard deviation"
        yield picture(partial(result_pictures.plane, known, words, label), words)
    if beside.scan is not None:
        yield from _fit(made, beside.scan)
    for name, (target, origin) in beside.objects.items():
        yield from _correlation(name, made, target, origin, made.positions_xy)
    if beside.halves is not None:
        even, odd = beside.halves
        yield from _correlation("halves", even, odd.object, odd.origin_rc, made.positions_xy)
    told: dict[str, object] = {name: _shown(made.info[name]) for name in _SHOWN_INFO if name in made.info}
    rows, columns = made.object.shape
    yield heading("Reconstruction")
    yield facts({"backend": made.backend or "unknown", "object": f"{rows} x {columns} px", **told})


def _fit(made: Reconstruction, scan: RawData) -> Iterator[Html]:
    yield heading("How well it explains the counts")
    try:
        matched = matched_scan(made, scan)
        fit = scan_fit(made, matched.raw)
        by_pattern = pattern_r_factors(made, matched.raw)
    except DataError as error:
        yield paragraph(f"Not measured. {error}")
        return
    yield facts(
        {
            "R-factor": f"{fit.r_factor:.4f} (photon noise alone: {fit.poisson_floor_r_factor:.4f})",
            "deviance per pixel": f"{fit.deviance:.4g} (photon noise alone: {fit.poisson_deviance:.4g})",
            "patterns": f"{matched.raw.n_patterns}",
        }
    )
    for doubt in matched.doubts:
        yield paragraph(doubt)
    positions = matched.raw.positions_xy
    yield picture(
        lambda: result_pictures.r_over_scan(positions, by_pattern), "R-factor by pattern over the scan", is_wide=True
    )
    worst = np.argsort(by_pattern)[::-1][:5]
    yield table(("worst patterns", "R"), [(str(row), f"{by_pattern[row]:.3f}") for row in worst.tolist()])


def _correlation(
    name: str, made: Reconstruction, target: Complex64Array, origin_rc: tuple[float, float], positions_xy: Any
) -> Iterator[Html]:
    yield heading(_TITLES[name])
    try:
        if positions_xy is None:
            raise DataError("The reconstruction holds no positions, by which objects are laid upon each other.")
        curve = object_correlation(align_objects(made, target, origin_rc, positions_xy))
    except DataError as error:
        yield paragraph(f"Not compared. {error}")
        return
    resolution = frc_resolution_px(curve)
    yield picture(lambda: result_pictures.ring_correlation(curve, resolution), f"Ring correlation: {_TITLES[name]}")


def _training(metadata: Mapping[str, Any], history: Mapping[str, Sequence[float]], plan: str) -> Iterator[Html]:
    yield heading("Training")
    if any(history.values()):
        yield picture(lambda: result_pictures.curves(history), "Losses of the training")
        last = {name: f"{values[-1]:.6g}" for name, values in history.items() if values}
        yield facts({"epochs": max(map(len, history.values())), **last})
    yield heading("Settings")
    if plan:
        yield Html(f"<details><summary>run.yaml</summary>{facts({'': plan}).text}</details>")
    else:
        yield facts({**metadata["model"], **metadata["training"]})
    yield heading("Versions")
    yield facts(
        {
            "backend": metadata["backend"],
            "ptychopinn-backend": metadata["package_version"],
            **metadata["versions"],
            "created": metadata["created"],
        }
    )


def _shown(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _recorded(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the inputs that a reconstruction says it was made of."""
    inputs = info.get("inputs")
    for item in inputs if isinstance(inputs, list) else []:
        if isinstance(item, dict):
            hashed = f"SHA-256 {item['sha256']}" if item.get("sha256") else "not hashed"
            yield f"read then: {item.get('name')}", f"{item.get('size_bytes')} bytes, {hashed}"
    if isinstance(info.get("versions"), dict):
        yield "versions then", json.dumps(info["versions"])
