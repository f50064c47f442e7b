"""`ptychopinn pretrain`: the instrument of a scan in, a model that knows it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.options import backend_option, quiet_option, reading_options, settings_option
from ptychopinn_backend.cli.progress import trained_in_folder

if TYPE_CHECKING:
    from ptychopinn_backend.config.reading import Reading


@click.command(name="pretrain", short_help="Train a model on simulated objects with the probe of a scan.")
@click.option(
    "--probe-from",
    "scans",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Scan that gives probe, positions, dose and bad pixels. May be given several times.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for the results.  [output_dir of the file]"
)
@backend_option
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file with configuration keys.")
@click.option("--objects", "n_objects", type=click.IntRange(min=1), help="Objects for each scan.  [64]")
@click.option("--epochs", "nepochs", type=int, help="Epochs of simulated groups.  [10]")
@click.option("--groups", "groups_per_epoch", type=int, help="Groups simulated per epoch.  [200]")
@click.option("--gridsize", type=int, help="Neighbouring patterns of a group along each side.  [3]")
@click.option("--learning-rate", type=float, help="Highest learning rate.  [0.001]")
@click.option("--seed", type=int, help="Seed of objects, noise and weights.  [42]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda or mps.  [auto]")
@click.option("--precision", help="32-true, bf16-mixed or 16-mixed.  [by preset and device]")
@settings_option
@reading_options
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the output folder.")
@quiet_option
def command(
    output: Path | None,
    backend: str | None,
    config_file: Path | None,
    settings: dict[str, Any],
    reading: Reading,
    resume: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a model on simulated objects, with the probe, positions, dose and bad pixels of a scan.

    The scan's patterns are not used, so this may run before the measurement ends. Afterwards 'ptychopinn infer OUTPUT
    SCAN' gives an image in a single pass, and 'ptychopinn train SCAN --init OUTPUT' refines it. Writes
    OUTPUT/wts.h5.zip, OUTPUT/run.yaml, OUTPUT/history.csv and OUTPUT/loss.png.
    """
    from ptychopinn_backend.config.inputs import PRETRAIN, reading_inputs
    from ptychopinn_backend.config.yaml_file import given_options
    from ptychopinn_backend.runs.planning import prepare
    from ptychopinn_backend.runs.pretraining import Instruments
    from ptychopinn_backend.runs.request import request_of_command
    from ptychopinn_backend.runs.scan_input import read_all

    named = {**settings, **given_options({**options, **reading_inputs(reading)})}
    request = request_of_command(PRETRAIN, config_file, named, backend=backend, output=output)
    inputs = request.inputs
    if not inputs.scans:
        raise click.UsageError("Missing option '--probe-from'. Name a scan that gives the probe.")
    run = prepare(request, Instruments(read_all(inputs.scans, inputs.how_to_read), inputs.n_objects))
    trained_in_folder(run, resume=resume, quiet=quiet, verb="Pre-trained")
