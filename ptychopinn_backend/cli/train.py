"""`ptychopinn train`: scans in, `wts.h5.zip`, `history.csv` and a loss figure out."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.options import (
    backend_option,
    calibrate_option,
    devices_option,
    quiet_option,
    reading_options,
    settings_option,
)
from ptychopinn_backend.cli.progress import trained_in_folder

if TYPE_CHECKING:
    from ptychopinn_backend.config.reading import Reading


@click.command(name="train")
@click.argument("scans", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for the results.  [output_dir of the file]"
)
@backend_option
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file with configuration keys.")
@click.option("--validation", type=click.Path(path_type=Path), help="Scan to validate on instead of a held-out part.")
@click.option(
    "--dataset",
    type=click.Path(path_type=Path),
    help="Folder of a data set on disk. With SCANS it is made if it is missing; without SCANS it is used as it is.  "
    "[OUTPUT/dataset when SCANS need more than a quarter of the memory, otherwise none]",
)
@click.option(
    "--preset",
    help="auto, fast, fine or legacy: tested options, which those you give override. auto looks at the scan.  "
    "[auto, unless an architecture is given]",
)
@click.option("--gridsize", type=int, help="Neighbouring patterns of a group along each side.  [by the preset]")
@click.option("--epochs", "nepochs", type=int, help="Passes over the groups.  [by the preset]")
@click.option(
    "--minutes",
    type=float,
    help="Time the whole command may take. There are fewer epochs if they would take longer.  [no limit]",
)
@click.option("--batch-size", type=int, help="Groups per step, a power of two.  [by the preset]")
@click.option("--groups", "n_groups", type=int, help="Groups drawn from each scan.  [one per scan point]")
@click.option("--neighbors", "neighbor_count", type=int, help="Nearest neighbours that a group is drawn from.")
@click.option("--learning-rate", type=float, help="Initial learning rate.  [by the preset]")
@click.option("--photons", "dose", type=float, help="Photons per pattern that the model is told.  [measured]")
@click.option("--architecture", help="Generator; names the network.  [by the preset]")
@click.option("--filters-scale", "n_filters_scale", type=int, help="Width of the network.  [by the preset]")
@click.option("--seed", type=int, help="Seed of weights, shuffling and split.  [42]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda or mps.  [auto]")
@devices_option
@click.option("--num-nodes", type=int, help="Number of machines; see docs/distributed.md.  [1]")
@click.option("--strategy", help="How several processes train: ddp, ddp_spawn or fsdp.  [ddp]")
@click.option("--precision", help="32-true, bf16-mixed or 16-mixed.  [by preset and device]")
@settings_option
@reading_options
@calibrate_option
@click.option(
    "--no-held-out",
    "held_out_fraction",
    flag_value=0.0,
    type=float,
    default=None,
    help="Train on all patterns. Otherwise presets hold out a few per cent to judge the object.",
)
@click.option("--init", type=click.Path(path_type=Path), help="Archive of either backend whose weights to start from.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the output folder.")
@quiet_option
def command(
    scans: tuple[Path, ...],
    output: Path | None,
    backend: str | None,
    config_file: Path | None,
    settings: dict[str, Any],
    reading: Reading,
    dose: float | None,
    resume: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a model on one or several SCANS: files of any format of 'ptychopinn formats', or folders.

    Writes OUTPUT/wts.h5.zip (the model), OUTPUT/run.yaml (the plan of the run; '--config OUTPUT/run.yaml' repeats it),
    OUTPUT/history.csv and OUTPUT/loss.png. Options override the YAML file.
    """
    started_s = perf_counter()
    from ptychopinn_backend.checking.quick import warn_of_faults
    from ptychopinn_backend.cli.launch import started_processes
    from ptychopinn_backend.config.inputs import TRAIN, reading_inputs
    from ptychopinn_backend.config.presets import DEFAULT_PRESET
    from ptychopinn_backend.config.yaml_file import given_options
    from ptychopinn_backend.factory import require_installed
    from ptychopinn_backend.runs.pace import within_minutes
    from ptychopinn_backend.runs.planning import draft, prepare
    from ptychopinn_backend.runs.request import request_of_command
    from ptychopinn_backend.runs.scan_input import scan_input
    from ptychopinn_backend.seam.process_rank import is_first_process

    named = {**settings, **given_options({**options, "nphotons": dose, **reading_inputs(reading), "scans": scans})}
    request = request_of_command(
        TRAIN, config_file, named, default_preset=DEFAULT_PRESET, backend=backend, output=output
    )
    asked, inputs = draft(request), request.inputs
    require_installed(asked.training.backend)
    if started_processes(asked.execution, asked.training.backend):
        return
    if not inputs.scans and inputs.dataset is None:
        raise click.UsageError("No SCANS were given. Name scan files or folders, or a data set with --dataset.")
    source = scan_input(
        inputs.scans,
        validation=inputs.validation or None,
        dataset=inputs.dataset,
        place=request.output,
        reading=inputs.how_to_read,
        calibrate=inputs.calibrate or "auto",
    )
    run = within_minutes(prepare(request, source), started_s)
    is_first = is_first_process(run.plan.execution)
    for scan in source.sizes if is_first else ():
        warn_of_faults(scan)
    quiet = quiet or not is_first
    if not quiet:
        model = run.plan.training.model
        described = f"{model.architecture}, gridsize {model.gridsize}, {run.plan.training.total_epochs} epochs"
        click.echo(f"Preset {run.plan.preset}: {described}", err=True)
    trained_in_folder(run, resume=resume, quiet=quiet, verb="Trained")
