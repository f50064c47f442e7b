"""`ptychopinn export`: the inference of a model as a file of ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ptychopinn_backend.cli.options import quiet_option

_FILE_NAME: Final = "model.onnx"


@click.command("export", short_help="Write the inference of a model as ONNX, for computers without a framework.")
@click.argument("source", metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The file to write, or its folder."
)
@quiet_option
def command(source: Path, output: Path, quiet: bool) -> None:
    """Write the whole inference of MODEL as one ONNX file, which any ONNX runtime runs.

    MODEL is a wts.h5.zip, the folder that holds it, or a model of another program that is read here. The file is
    checked and run before it is written. Every other command reads it too, and then computes with ONNX Runtime.

    \b
      ptychopinn export model -o model.onnx
      ptychopinn infer model.onnx scan.npz -o result
    """  # noqa: D301 - click looks for the character, not for its escape
    from dataclasses import replace

    from ptychopinn_backend.archive import read_archive
    from ptychopinn_backend.config import ONNX, find_archive
    from ptychopinn_backend.errors import ConfigError
    from ptychopinn_backend.factory import require_installed
    from ptychopinn_backend.runs.trained_model import one_by_one_model

    content = read_archive(source)
    target = output / _FILE_NAME if output.is_dir() else output
    if target.exists() and target.samefile(find_archive(source)):
        raise ConfigError(f"-o {output} names the model that is exported. Name another file; MODEL stays as it is.")
    require_installed(ONNX)
    from ptychopinn_backend.onnx_backend.export import export_model

    model = one_by_one_model(content.model)
    written = export_model(replace(content, model=model, training=replace(content.training, model=model)), target)
    if not quiet:
        click.echo(
            f"Wrote {written}, {written.stat().st_size / 1e6:.1f} MB, checked and run: {model.architecture}, "
            f"{model.N} x {model.N} patterns, gridsize {model.gridsize}."
        )
