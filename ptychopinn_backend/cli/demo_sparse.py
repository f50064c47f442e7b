"""`ptychopinn demo --sparse`: one object from fewer and fewer positions, beside a classical solver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.atomic_file import atomic_file

if TYPE_CHECKING:
    from ptychopinn_backend.data.raw_data import RawData

PARTS: Final = (1, 4, 8)
"""One of so many positions is kept."""
_PHOTONS: Final = 1e6


def sparse_demo(
    output: Path, backend: str | None, epochs: int | None, patterns: int, seed: int, *, quiet: bool
) -> None:
    """Reconstruct one simulated object from all, a quarter and an eighth of its positions.

    Each time a network learns from these patterns alone, with the options that `ptychopinn train` chooses by itself.
    The classical solver has the same patterns, and chooses its law of noise, prior and length by held-out patterns too.

    Args:
        output: folder for scans, `sparse.png` and `sparse.json`; made when missing.
        backend: 'tensorflow', 'pytorch', or None for the default.
        epochs: passes over the groups; None as the scan asks for.
        patterns: positions of the whole scan.
        seed: of scan and training.
        quiet: say nothing.
    """
    from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
    from ptychopinn_backend.data.spread_points import spread_points
    from ptychopinn_backend.evaluation.sparse_figure import Column, save_sparse_figure

    output.mkdir(parents=True, exist_ok=True)
    spec = SimulationConfig(patterns=patterns, object="siemens", photons=_PHOTONS, probe="zone_plate")
    whole = simulate_scan(spec, seed)
    columns: list[Column] = []
    figures: list[dict[str, Any]] = []
    for part in PARTS:
        scan = whole.select(spread_points(whole.positions_xy, patterns // part))
        scan.to_file(output / f"scan_{scan.n_patterns}.npz")
        column, found = _from(scan, backend, epochs, seed, quiet=quiet)
        columns.append(column)
        figures.append(found)
        if not quiet:
            click.echo(
                f"{scan.n_patterns} positions: R-free {found['r_free']:.3f} here, {found['classical_r_free']:.3f} by "
                "the classical solver"
            )
    assert whole.objectGuess is not None
    save_sparse_figure(columns, whole, output / "sparse.png")
    with atomic_file(output / "sparse.json", "w") as file:
        json.dump(figures, file, indent=2)
    if not quiet:
        click.echo(f"See {output}/sparse.png")


def _from(
    scan: RawData, backend: str | None, epochs: int | None, seed: int, *, quiet: bool
) -> tuple[Any, dict[str, Any]]:
    """Return the column of the figure for one scan, and its figures of merit."""
    from ptychopinn_backend.calibration.classical import classical_object
    from ptychopinn_backend.cli.progress import EpochProgress
    from ptychopinn_backend.data.held_out import held_out_rows
    from ptychopinn_backend.evaluation.free_fit import free_fit
    from ptychopinn_backend.evaluation.sparse_figure import Column
    from ptychopinn_backend.model_api import PtychoModel

    model = PtychoModel(N=scan.N, preset="auto", backend=backend)
    with EpochProgress(epochs, quiet=quiet) as progress:
        model.train(scan, nepochs=epochs, seed=seed, on_epoch=progress)
    ours, classical = model.infer(scan, polish_steps=None), classical_object(scan)
    rows = held_out_rows(scan.positions_xy)
    fits = [free_fit(made, scan, rows) for made in (ours, classical)]
    if None in fits:
        raise DataError(
            f"{scan.n_patterns} positions are too few to hold any out, or lie too far apart for these to judge. Give "
            "--patterns 160 or more."
        )
    r_free, other = (fit.r for fit in fits if fit is not None)
    column = Column(scan, (ours, r_free), (classical, other))
    return column, {"positions": scan.n_patterns, "r_free": r_free, "classical_r_free": other}
