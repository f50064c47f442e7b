"""`ptychopinn parity-report`: both backends on the same scan, with a table, a figure and a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ptychopinn_backend.cli.options import quiet_option
from ptychopinn_backend.cli.progress import EpochProgress, nothing_kept


@click.command(name="parity-report")
@click.argument("scan", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--output", default="parity_report", type=click.Path(path_type=Path), show_default=True)
@click.option("--training-groups", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--test-groups", type=click.IntRange(min=1), default=512, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--architecture", default="cnn", show_default=True)
@click.option("--gridsize", type=int, default=1, show_default=True)
@click.option("--filters-scale", type=int, default=1, show_default=True)
@click.option("--size", type=int, default=64, show_default=True, help="Pattern side of the simulated scan.")
@click.option("--seed", type=int, default=0, show_default=True)
@quiet_option
@nothing_kept()
def command(
    scan: Path | None,
    output: Path,
    training_groups: int,
    test_groups: int,
    epochs: int,
    architecture: str,
    gridsize: int,
    filters_scale: int,
    size: int,
    seed: int,
    quiet: bool,
) -> None:
    """Train TensorFlow and PyTorch on the same SCAN (simulated when none is given) and compare what comes out.

    Writes parity_report.md, .json and .png. Exit code 3 when a difference exceeds its limit.
    """
    from ptychopinn_backend.config import ModelConfig, TrainingConfig
    from ptychopinn_backend.config.execution import ExecutionConfig
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
    from ptychopinn_backend.files.atomic_file import writing
    from ptychopinn_backend.runs.parity_report import as_markdown, compare_backends, split_scan, write_parity_report
    from ptychopinn_backend.runs.train import fit_to_scans

    # A folder that cannot be made is told before two trainings, not after them.
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    if scan is None:
        whole = simulate_scan(
            SimulationConfig(size=size, patterns=training_groups + test_groups, object="random_field"), seed=seed
        )
    else:
        whole = RawData.from_file(scan)
    training, test = split_scan(whole, training_groups, test_groups, seed)
    model = ModelConfig(N=whole.N, architecture=architecture, gridsize=gridsize, n_filters_scale=filters_scale)
    config = fit_to_scans(TrainingConfig(model=model, nepochs=epochs), [training], {"N"})
    execution = replace(ExecutionConfig(), seed=seed, accelerator="cpu")

    def progress(name: str) -> EpochProgress:
        if not quiet:
            click.echo(f"{name}:", err=True)
        return EpochProgress(epochs, quiet=quiet)

    report = compare_backends(training, test, config, execution, on_epoch=progress)
    write_parity_report(report, output, whole)
    if not quiet:
        click.echo(as_markdown(report))
    if not report.passed:
        raise click.exceptions.Exit(3)
