"""`ptychopinn pretrain`: the instrument of a scan in, a model that knows it out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.options import backend_option, quiet_option, reading_options, settings_option
from ptychopinn_backend.cli.progress import EpochProgress

if TYPE_CHECKING:
    from ptychopinn_backend.config.reading import Reading


@click.command(name="pretrain", short_help="Train a model on simulated objects with the probe of a scan.")
@click.option(
    "--probe-from",
    "scans",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Scan that gives probe, positions, dose and bad pixels; again for further ones.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@backend_option
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file with configuration keys.")
@click.option("--objects", type=click.IntRange(min=1), default=64, show_default=True, help="Objects for each scan.")
@click.option("--epochs", "nepochs", type=int, help="Rounds of simulated groups.  [10]")
@click.option("--groups", "groups_per_epoch", type=int, help="Groups simulated in an epoch.  [200]")
@click.option("--gridsize", type=int, help="Neighbouring patterns of a group along each side.  [3]")
@click.option("--learning-rate", type=float, help="Highest learning rate.  [0.001]")
@click.option("--seed", type=int, help="Seed of objects, noise and weights.  [42]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda or mps.  [auto]")
@click.option("--precision", help="32-true, bf16-mixed or 16-mixed.  [32-true]")
@settings_option
@reading_options
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the output folder.")
@quiet_option
def command(
    scans: tuple[Path, ...],
    output: Path,
    backend: str | None,
    config_file: Path | None,
    objects: int,
    settings: dict[str, Any],
    reading: Reading,
    resume: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a model on simulated objects, with the probe, positions, dose and bad pixels of a scan.

    The scan's patterns are not used, so this may run before the measurement ends. Afterwards 'ptychopinn infer OUTPUT
    SCAN' gives an image in a single pass, and 'ptychopinn train SCAN --init OUTPUT' refines it. Writes
    OUTPUT/wts.h5.zip, OUTPUT/history.csv and OUTPUT/loss.png.
    """
    from ptychopinn_backend.config.presets import pretraining_options
    from ptychopinn_backend.config.yaml_file import load_run_config
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.files.training_lock import training_lock
    from ptychopinn_backend.runs.pretraining import pretrain
    from ptychopinn_backend.runs.results import save_training
    from ptychopinn_backend.runs.train import fit_to_scans

    instruments = [RawData.from_file(path, reading=reading) for path in scans]
    overrides = {**settings, **{name: value for name, value in options.items() if value is not None}}
    given = load_run_config(config_file, overrides).given
    below = {name: value for name, value in pretraining_options(instruments).items() if name not in given}
    run = load_run_config(config_file, {**below, **overrides})
    config = fit_to_scans(replace(run.training, output_dir=output), instruments, given)
    kept = output / "checkpoints" if run.execution.enable_checkpointing else None
    progress = EpochProgress(config.nepochs, quiet=quiet)
    with progress.kept_in(kept), training_lock(output):
        with progress:
            model = pretrain(
                instruments,
                config,
                run.execution,
                n_objects=objects,
                backend=backend,
                on_epoch=progress,
                checkpoint_folder=output / "checkpoints",
                resume=resume,
            )
        written = save_training(model, output)
    if not quiet:
        click.echo(f"Pre-trained with {model.backend_name}: {', '.join(str(path) for path in written)}")
