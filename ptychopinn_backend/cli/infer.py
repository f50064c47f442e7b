"""`ptychopinn infer`: an archive and a scan in, the object out."""

from __future__ import annotations

from pathlib import Path

import click

from ptychopinn_backend.cli.options import backend_option, measurement_option, quiet_option


@click.command(name="infer")
@click.argument("archive", type=click.Path(path_type=Path))
@click.argument("scan", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@backend_option
@click.option("--groups", "n_groups", type=int, help="Groups to reconstruct from.  [one per scan point]")
@click.option("--neighbors", "neighbor_count", type=int, help="Nearest neighbours a group is drawn from.  [as trained]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Groups per pass; memory grows with it.  [64]")
@click.option(
    "--assembly",
    type=click.Choice(["probe", "central"]),
    default="probe",
    show_default=True,
    help="Weigh patches by the probe's intensity, or average their centres.",
)
@click.option("--seed", type=int, help="Seed of the neighbour draw.  [42]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda or mps.  [auto]")
@measurement_option
@quiet_option
def command(
    archive: Path,
    scan: Path,
    output: Path,
    backend: str | None,
    n_groups: int | None,
    neighbor_count: int | None,
    batch_size: int | None,
    assembly: str,
    seed: int | None,
    accelerator: str | None,
    measurement: str | None,
    quiet: bool,
) -> None:
    """Reconstruct SCAN (NPZ) with the model in ARCHIVE (a `wts.h5.zip` or the folder that holds it).

    Writes OUTPUT/reconstruction.npz (object, origin_rc, probe), OUTPUT/reconstruction.h5 (a Ptychodus product) and
    OUTPUT/reconstruction.png. The object times the scan's probe reproduces the measured counts.
    """
    from ptychopinn_backend.cli.progress import group_progress
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.execution import resolve_execution
    from ptychopinn_backend.reconstruct import reconstruct
    from ptychopinn_backend.trained_model import TrainedModel
    from ptychopinn_backend.workflows import save_reconstruction

    execution = resolve_execution(explicit={"accelerator": accelerator, "seed": seed})
    model = TrainedModel.load(archive, backend, execution)
    raw = RawData.from_file(scan, measurement)
    reconstruction = reconstruct(
        model,
        raw,
        n_groups=n_groups,
        neighbor_count=neighbor_count,
        batch_size=batch_size,
        assembly=assembly,
        on_progress=group_progress(quiet=quiet),
    )
    losses = model.history.get("loss", ())
    written = save_reconstruction(reconstruction, output, truth=raw.objectGuess, losses=losses)
    if not quiet:
        click.echo(f"Reconstructed with {model.backend_name}: {', '.join(str(path) for path in written)}")
