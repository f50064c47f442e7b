"""`ptychopinn train`: scans in, `wts.h5.zip`, `history.csv` and a loss figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.options import (
    backend_option,
    devices_option,
    measurement_option,
    quiet_option,
    settings_option,
)
from ptychopinn_backend.cli.progress import EpochProgress

if TYPE_CHECKING:
    from ptychopinn_backend.config.presets import DescribedScan
    from ptychopinn_backend.config.yaml_file import RunConfig


@click.command(name="train")
@click.argument("scans", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@backend_option
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file with configuration keys.")
@click.option("--validation", type=click.Path(path_type=Path), help="Scan to validate on instead of a held-out part.")
@click.option(
    "--dataset",
    type=click.Path(path_type=Path),
    help="Folder of a data set on disk: made from SCANS where it is not there yet, or used as it is without SCANS.  "
    "[OUTPUT/dataset when SCANS need more than a quarter of the memory, otherwise none]",
)
@click.option(
    "--preset",
    help="auto, fast, fine or legacy: tried options, under all those given; auto looks at the scan.  [auto, unless an "
    "architecture is given]",
)
@click.option("--gridsize", type=int, help="Neighbouring patterns of a group along each side.  [1]")
@click.option("--epochs", "nepochs", type=int, help="Passes over the groups.  [50]")
@click.option("--batch-size", type=int, help="Groups per step, a power of two.  [16]")
@click.option("--groups", "n_groups", type=int, help="Groups drawn from each scan.  [one per scan point]")
@click.option("--neighbors", "neighbor_count", type=int, help="Nearest neighbours a group is drawn from.")
@click.option("--learning-rate", type=float, help="Initial learning rate.  [0.001]")
@click.option("--photons", "nphotons", type=float, help="Expected photons per pattern.  [measured]")
@click.option("--architecture", help="Generator.  [cnn]")
@click.option("--filters-scale", "n_filters_scale", type=int, help="Width of the network.  [2]")
@click.option("--seed", type=int, help="Seed of weights, shuffling and split.  [42]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda or mps.  [auto]")
@devices_option
@click.option("--num-nodes", type=int, help="Number of machines; see docs/distributed.md.  [1]")
@click.option("--strategy", help="How several processes train: ddp, ddp_spawn or fsdp.  [ddp]")
@click.option("--precision", help="32-true, bf16-mixed or 16-mixed.  [32-true]")
@settings_option
@measurement_option
@click.option("--init", type=click.Path(path_type=Path), help="Archive of either backend whose weights to start from.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the output folder.")
@quiet_option
def command(
    scans: tuple[Path, ...],
    output: Path,
    backend: str | None,
    config_file: Path | None,
    dataset: Path | None,
    preset: str | None,
    validation: Path | None,
    settings: dict[str, Any],
    measurement: str | None,
    init: Path | None,
    resume: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a model on one or several SCANS: NPZ files, training data of Ptychodus in HDF5, or folders of them.

    Writes OUTPUT/wts.h5.zip (the model), OUTPUT/history.csv and OUTPUT/loss.png. Options win over the YAML file.
    """
    from ptychopinn_backend.cli.launch import started_processes
    from ptychopinn_backend.config.yaml_file import load_run_config
    from ptychopinn_backend.files.training_lock import training_lock
    from ptychopinn_backend.runs.results import save_training
    from ptychopinn_backend.runs.scan_input import scan_input
    from ptychopinn_backend.runs.train import train_source
    from ptychopinn_backend.seam.process_rank import is_first_process

    overrides = {**settings, **{name: value for name, value in options.items() if value is not None}}
    asked = load_run_config(config_file, overrides)
    if started_processes(asked, backend):
        return
    is_first = is_first_process(asked.execution)
    quiet = quiet or not is_first
    if not scans and dataset is None:
        raise click.UsageError("No SCANS were given. Name scan files or folders, or a data set with --dataset.")
    scan_data = scan_input(scans, dataset=dataset, place=output, measurement=measurement)
    preset, run, given = _configured(preset, scan_data.sizes, config_file, {**scan_data.fixed, **overrides}, init)
    if not quiet:
        model_text = f"{run.training.model.architecture}, gridsize {run.training.model.gridsize}"
        click.echo(f"Preset {preset or 'none'}: {model_text}, {run.training.total_epochs} epochs", err=True)
    config, data = scan_data.prepare(run.training, run.execution.seed, given, validation)
    with training_lock(output if is_first else None):
        with EpochProgress(config.total_epochs, quiet=quiet) as progress:
            model = train_source(
                data.training,
                replace(config, output_dir=output),
                run.execution,
                validation=data.validation,
                backend=backend,
                on_epoch=progress,
                checkpoint_folder=output / "checkpoints",
                resume=resume,
                init=init,
            )
        written = save_training(model, output) if is_first else []
    if not quiet:
        click.echo(f"Trained with {model.backend_name}: {', '.join(str(path) for path in written)}")


def _configured(
    preset: str | None,
    scans: Sequence[DescribedScan],
    config_file: Path | None,
    overrides: Mapping[str, Any],
    init: Path | None,
) -> tuple[str | None, RunConfig, frozenset[str]]:
    """Return the preset in force with its reason, the configuration, and the names the user gave, which win."""
    from ptychopinn_backend.config.generators import uses_back_projection
    from ptychopinn_backend.config.presets import AUTO, DEFAULT_PRESET, choose_preset, options_below, preset_options
    from ptychopinn_backend.config.yaml_file import load_run_config
    from ptychopinn_backend.runs.warm_start import archived_model_options

    run = load_run_config(config_file, overrides)
    given = run.given
    network = {} if init is None else archived_model_options(init)
    # The presets of choice are tuned for networks with back-projection.
    if (
        preset is None
        and "architecture" not in given
        and (not network or uses_back_projection(network["architecture"]))
    ):
        preset = DEFAULT_PRESET
    options: dict[str, Any] = {}
    if preset is not None:
        gridsize = run.training.model.gridsize if "gridsize" in given else network.get("gridsize")
        options = preset_options(preset, scans, gridsize)
    if options or network:
        run = load_run_config(config_file, {**options_below({**options, **network}, given), **overrides})
    if preset == AUTO:
        choice = choose_preset(scans)
        preset = f"{choice.name} ({choice.reason})"
    return preset, run, given
