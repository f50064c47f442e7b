"""Measure networks on simulated scans at equal computing time, and write the table of docs/fidelity_table.md.

Every cell simulates a scan, trains for a given CPU time on one thread, and compares the stitched object with the truth,
after a quarter, half and all of the epochs; the last also after the polish. Rows are appended to a JSON file as they
are done, and cells that are there already are skipped, so that a run may be ended at any time.

    taskset -c 1 env OMP_NUM_THREADS=1 python benchmarks/fidelity_table.py --seconds 30
    python benchmarks/fidelity_table.py --render
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from ptychopinn_backend.config.presets import preset_options
from ptychopinn_backend.config.yaml_file import load_run_config
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scaling import default_intensity_scale
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.evaluation import evaluate
from ptychopinn_backend.factory import create_backend
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.runs.reconstruct import DEFAULT_POLISH_STEPS, reconstruct
from ptychopinn_backend.runs.train import fit_to_scans
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.runs.training_data import group_scans
from ptychopinn_backend.seam.interface import BackendSetup, EpochReport

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
PROBES: Final[dict[str, dict[str, Any]]] = {
    "zone_plate": {"probe": "zone_plate"},
    "disk": {"probe": "disk"},
    "flat_disk": {"probe": "disk", "probe_curvature_rad": 0.0},
}
PRESET_OF: Final = {"cnn": "legacy", "backprojection_unet": "fast"}
MEASURES: Final = ("phase_psnr_db", "phase_ssim", "amplitude_psnr_db", "amplitude_ssim", "frc_half_bit_px", "r_factor")
INTRODUCTION: Final = (
    "Made by `benchmarks/fidelity_table.py`: simulated scans, a training on one thread, the stitched object against\n"
    "the truth. Phase and amplitude are PSNR and SSIM; FRC is the half-period at the half-bit threshold. CPU time is\n"
    "that of the whole training; the least is four epochs."
)
PATTERNS: Final = 300
SEED: Final = 7


@dataclass(frozen=True)
class Cell:
    """One training."""

    N: int
    """Pattern side in pixels."""
    probe: str
    """A key of `PROBES`."""
    photons: float
    """Photons a pattern."""
    gridsize: int
    """Patterns of a group along each side."""
    architecture: str
    """Generator."""


def measured(model: TrainedModel, scan: RawData, polish_steps: int) -> dict[str, float]:
    """Return the figures of merit of a model against the true object."""
    assert scan.objectGuess is not None
    found = reconstruct(model, scan, polish_steps=polish_steps)
    report = evaluate(found, scan, truth=(scan.objectGuess, (0.0, 0.0)))
    return {name: round(float(report[name]), 4) for name in MEASURES}


def trained(
    cell: Cell, scan: RawData, epochs: int, seconds: float | None = None
) -> tuple[TrainedModel, list[dict[str, Any]], float]:
    """Train for some epochs and return the model, rows on the way, and the CPU seconds training took."""
    options = {
        **preset_options(PRESET_OF[cell.architecture], [scan], cell.gridsize),
        "gridsize": cell.gridsize,
        "nepochs": epochs,
        "lr_warmup_epochs": min(4, epochs // 4),
        "backend": "pytorch",
        "seed": SEED,
        "accelerator": "cpu",
    }
    run = load_run_config(None, options)
    config = fit_to_scans(run.training, [scan], options.keys())
    data = group_scans([scan], [], config, SEED, every_point=True)
    scale = default_intensity_scale(config.nphotons, cell.N)
    setup = BackendSetup(config.model, config, run.execution, scale, data.training.probes)
    model = TrainedModel(create_backend("pytorch", setup), {}, {}, "pytorch")
    rows: list[dict[str, Any]] = []
    aside_s = 0.0

    def on_epoch(report: EpochReport) -> None:
        nonlocal aside_s
        if seconds is not None and report.epoch in (epochs // 4, epochs // 2):
            start = time.process_time()
            rows.append({"epochs": report.epoch, "polish_steps": 0, **measured(model, scan, 0)})
            aside_s += time.process_time() - start

    start = time.process_time()
    model.backend.fit(data.training, data.validation, on_epoch=on_epoch)
    return model, rows, time.process_time() - start - aside_s


def epochs_within(cell: Cell, scan: RawData, seconds: float) -> int:
    """Return how many epochs take about so much CPU time, at least four."""
    # The first epoch of a process pays for what is compiled and allocated once.
    trained(cell, scan, 1)
    return max(4, round(seconds / trained(cell, scan, 1)[2]))


def measure(cell: Cell, seconds: float) -> list[dict[str, Any]]:
    """Return the rows of a cell."""
    spec = SimulationConfig(size=cell.N, patterns=PATTERNS, photons=cell.photons, **PROBES[cell.probe])
    scan = simulate_scan(spec, SEED)
    epochs = epochs_within(cell, scan, seconds)
    model, rows, took_s = trained(cell, scan, epochs, seconds)
    for steps in (0, DEFAULT_POLISH_STEPS):
        rows.append({"epochs": epochs, "polish_steps": steps, **measured(model, scan, steps)})
    return [{**asdict(cell), "seconds": seconds, "cpu_s": round(took_s, 1), **row} for row in rows]


def cells() -> list[Cell]:
    """Return all cells, the most telling ones first."""
    order = itertools.product((64, 128), (1, 2), ("zone_plate", "flat_disk", "disk"), (1e6, 1e4, 1e9), PRESET_OF)
    return [Cell(N, probe, photons, gridsize, name) for N, gridsize, probe, photons, name in order]


def _by_cell(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]]:
    keys = ("N", "gridsize", "probe", "photons", "seconds")
    found: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = {}
    for row in sorted(rows, key=lambda row: tuple(row[key] for key in keys)):
        by_network = found.setdefault(tuple(row[key] for key in keys), {})
        by_network.setdefault(row["architecture"], []).append(row)
    return found


def ends(rows: list[dict[str, Any]]) -> str:
    """Return the ends of the trainings as Markdown: cnn, then backprojection_unet, in each place."""
    lines = [
        "| N | gridsize | probe | photons | phase PSNR, dB | amplitude PSNR, dB | FRC, px | R | polished: phase | "
        "amplitude | R |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    figures = (("phase_psnr_db", ".1f"), ("amplitude_psnr_db", ".1f"), ("frc_half_bit_px", ".2f"), ("r_factor", ".3f"))
    for (N, gridsize, probe, photons, _), by_network in _by_cell(rows).items():
        both = [by_network[name][-2:] for name in PRESET_OF]
        raw = [" / ".join(format(row[0][key], how) for row in both) for key, how in figures]
        polished = [" / ".join(format(row[1][key], how) for row in both) for key, how in figures if "frc" not in key]
        lines.append(f"| {N} | {gridsize} | {probe} | {photons:.0e} | {' | '.join(raw + polished)} |")
    return "\n".join(lines) + "\n"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, cnn and backprojection_unet side by side."""
    lines = [
        "| N | gridsize | probe | photons | CPU s | network | epochs | phase | amplitude | FRC | R |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell, by_network in _by_cell(rows).items():
        for name, entries in by_network.items():
            for row in entries:
                how = f"{name} + polish" if row["polish_steps"] else name
                what = [str(value) if not isinstance(value, float) else f"{value:.0e}" for value in cell[:4]]
                lines.append(
                    f"| {' | '.join(what)} | {row['cpu_s']:g} | {how} | {row['epochs']} | "
                    f"{row['phase_psnr_db']:.1f} dB, {row['phase_ssim']:.2f} | "
                    f"{row['amplitude_psnr_db']:.1f} dB, {row['amplitude_ssim']:.2f} | "
                    f"{row['frc_half_bit_px']:.2f} px | {row['r_factor']:.3f} |"
                )
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=DOCS / "fidelity_table.json", show_default=True)
@click.option("--seconds", type=float, default=30.0, show_default=True, help="CPU time of a training.")
@click.option("--sizes", "sizes", type=int, multiple=True, help="Only these N.")
@click.option("--probes", type=click.Choice(list(PROBES)), multiple=True, help="Only these probes.")
@click.option("--doses", type=float, multiple=True, help="Only these photons per pattern.")
@click.option("--gridsizes", type=int, multiple=True, help="Only these gridsizes.")
@click.option("--render", is_flag=True, help="Only write the table.")
def main(
    results: Path,
    seconds: float,
    sizes: tuple[int, ...],
    probes: tuple[str, ...],
    doses: tuple[float, ...],
    gridsizes: tuple[int, ...],
    render: bool,
) -> None:
    """Measure the cells that are not in RESULTS yet, and write the table beside it."""
    rows: list[dict[str, Any]] = json.loads(results.read_text()) if results.is_file() else []
    done = {Cell(**{name: row[name] for name in asdict(cells()[0])}) for row in rows}
    for cell in () if render else cells():
        wanted = ((cell.N, sizes), (cell.probe, probes), (cell.photons, doses), (cell.gridsize, gridsizes))
        if cell in done or any(chosen and value not in chosen for value, chosen in wanted):
            continue
        rows += measure(cell, seconds)
        click.echo(f"{cell}: {rows[-2]}")
        with atomic_file(results, "w") as file:
            json.dump(rows, file, indent=1)
    with atomic_file(results.with_suffix(".md"), "w") as file:
        file.write(
            f"# Networks at equal computing time\n\n{INTRODUCTION}\n\n## At the end\n\n"
            f"`cnn` / `backprojection_unet`.\n\n{ends(rows)}\n## On the way\n\n{table(rows)}"
        )


if __name__ == "__main__":
    main()
