"""`ptychopinn demo`: the whole path on a simulated scan, with numbers at the end."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from ptychopinn_backend.cli.options import backend_option, quiet_option
from ptychopinn_backend.cli.progress import EpochProgress, nothing_kept
from ptychopinn_backend.files.atomic_file import atomic_file

ROWS = (
    ("amplitude PSNR", "amplitude_psnr_db", "{:.1f} dB"),
    ("amplitude SSIM", "amplitude_ssim", "{:.3f}"),
    ("phase PSNR", "phase_psnr_db", "{:.1f} dB"),
    ("FRC half-bit", "frc_half_bit_px", "{:.2f} px"),
    ("R-factor", "r_factor", "{:.3f}"),
    ("R of noise alone", "poisson_floor_r_factor", "{:.3f}"),
    ("deviance per pixel", "deviance", "{:.4g}"),
    ("deviance of noise", "poisson_deviance", "{:.4g}"),
    ("training", "training_s", "{:.1f} s"),
    ("inference", "inference_s", "{:.1f} s"),
)


@click.command(name="demo")
@click.option("-o", "--output", default="demo_output", type=click.Path(path_type=Path), show_default=True)
@backend_option
@click.option("--preset", default="fast", show_default=True, help="fast, fine or legacy.")
@click.option("--epochs", type=int, help="Passes over the groups.  [as the preset says]")
@click.option("--patterns", default=400, show_default=True, help="Scan points of the simulated scan.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--sparse",
    is_flag=True,
    help="Reconstruct from all, a quarter and an eighth of the positions, beside a classical solver.",
)
@quiet_option
@nothing_kept()
def command(
    output: Path,
    backend: str | None,
    preset: str,
    epochs: int | None,
    patterns: int,
    seed: int,
    sparse: bool,
    quiet: bool,
) -> None:
    """Simulate a scan, train on it, reconstruct it and measure the result; no download."""
    if sparse:
        from ptychopinn_backend.cli.demo_sparse import sparse_demo

        sparse_demo(output, backend, epochs, patterns, seed, quiet=quiet)
        return
    from ptychopinn_backend.config.presets import PRESETS
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.data.simulation import SimulationConfig, simulate
    from ptychopinn_backend.evaluation import evaluate
    from ptychopinn_backend.model_api import PtychoModel
    from ptychopinn_backend.runs.results import save_reconstruction, save_training

    output.mkdir(parents=True, exist_ok=True)
    simulated = simulate(SimulationConfig(patterns=patterns, object="siemens"), seed=seed)
    simulated.to_file(output / "scan.npz")
    scan = RawData.from_file(output / "scan.npz")
    model = PtychoModel(N=scan.N, preset=preset, backend=backend)
    n_epochs = epochs or PRESETS[preset].get("nepochs", 20)
    started = perf_counter()
    with EpochProgress(n_epochs, quiet=quiet) as progress:
        model.train(output / "scan.npz", nepochs=n_epochs, seed=seed, on_epoch=progress)
    trained = perf_counter()
    save_training(model.trained, output, model.plan)
    loaded = PtychoModel.load(output, backend=model.backend)
    inferring = perf_counter()
    reconstruction = loaded.infer(scan)
    inferred = perf_counter()
    losses = loaded.history["loss"]
    save_reconstruction(reconstruction, output, truth=scan.objectGuess, losses=losses)
    truth = None if scan.objectGuess is None else (scan.objectGuess, (0.0, 0.0))
    metrics: dict[str, Any] = {
        "backend": reconstruction.backend,
        "training_s": trained - started,
        "inference_s": inferred - inferring,
        **evaluate(reconstruction, scan, truth=truth),
    }
    with atomic_file(output / "metrics.json", "w") as file:
        json.dump(metrics, file, indent=2)
    if not quiet:
        _print_table(metrics, f"Backend {reconstruction.backend}, {patterns} patterns, {n_epochs} epochs")
        click.echo(f"See {output}/reconstruction.png and {output}/loss.png")


def _print_table(metrics: dict[str, Any], title: str) -> None:
    click.echo(f"\n{title}")
    for name, key, text in ROWS:
        if key in metrics:
            click.echo(f"  {name:<18}{text.format(metrics[key]):>12}")
