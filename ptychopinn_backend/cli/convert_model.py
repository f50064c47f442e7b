"""`ptychopinn convert-model`: a model that another program trained, as an archive of this package."""

from __future__ import annotations

from pathlib import Path

import click

from ptychopinn_backend.cli.options import quiet_option


@click.command("convert-model", short_help="Write a model of the original PtychoPINN as an archive of this package.")
@click.argument("source", metavar="OLD", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The archive to write, or its folder."
)
@quiet_option
def command(source: Path, output: Path, quiet: bool) -> None:
    """Read the model in OLD and write it as an archive that opens in either backend.

    OLD is a wts.h5.zip of the original PtychoPINN, the folder that holds it, or a .ckpt of ptychopinn-torch. Nothing in
    it is run. Every other command reads such a file too. The converted archive opens faster and holds no pickle.

    \b
      ptychopinn convert-model old_outputs -o wts.h5.zip
      ptychopinn infer wts.h5.zip scan.npz -o result
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.archive import read_archive, write_archive
    from ptychopinn_backend.config import ARCHIVE_NAME, find_archive
    from ptychopinn_backend.errors import ConfigError

    target = output / ARCHIVE_NAME if output.is_dir() else output
    content = read_archive(source)
    if target.exists() and target.samefile(find_archive(source)):
        raise ConfigError(f"-o {output} names the model that is converted. Name another file; OLD stays as it is.")
    written = write_archive(target, content)
    if not quiet:
        model, origin = content.model, content.converted_from or "an archive of this package"
        click.echo(
            f"Wrote {written}, from {origin}: {model.N} x {model.N} patterns, gridsize {model.gridsize}, "
            f"n_filters_scale {model.n_filters_scale}."
        )
