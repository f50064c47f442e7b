"""`ptychopinn report`: one page about a training or a reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.options import quiet_option, reading_options
from ptychopinn_backend.errors import DataError

if TYPE_CHECKING:
    from ptychopinn_backend.config.reading import Reading
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.stitching.reconstruction_file import Reconstruction


@click.command("report", short_help="Write one HTML page about a training or a reconstruction.")
@click.argument("result", metavar="RESULT", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page.  [report.html beside RESULT]")
@click.option("--scan", type=click.Path(path_type=Path), help="The scan it was made from, for R per pattern.")
@click.option("--truth", type=click.Path(path_type=Path), help="A scan file whose objectGuess is the true object.")
@click.option("--reference", type=click.Path(path_type=Path), help="Another reconstruction, for the ring correlation.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="The model that made it. With --scan, even and odd patterns are then reconstructed and compared.",
)
@reading_options
@quiet_option
def command(
    result: Path,
    output: Path | None,
    scan: Path | None,
    truth: Path | None,
    reference: Path | None,
    model: Path | None,
    quiet: bool,
    reading: Reading,
) -> None:
    """Write a page about RESULT: the folder that 'train' or 'infer' wrote, or the file in it.

    For a training, the page shows curves, settings and versions. For a reconstruction, it shows amplitude, phase and
    light, and with --scan how well every pattern is explained. The page is one file and loads nothing from elsewhere.

    \b
      ptychopinn report model -o training.html
      ptychopinn report result --scan scan.npz --model model -o result.html
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.reports.result import read_result
    from ptychopinn_backend.reports.result_page import Beside, write_result_page

    found = read_result(result)
    raw = None if scan is None else _read(scan, reading)
    objects: dict[str, Any] = {}
    if truth is not None:
        true_scan = raw if truth == scan and raw is not None else _read(truth, reading)
        objects["truth"] = (_true_object(true_scan, truth), (0.0, 0.0))
    if reference is not None:
        other = _load(reference)
        objects["reference"] = (other.object, other.origin_rc)
    halves = None
    if model is not None:
        if raw is None or found.reconstruction is None:
            raise DataError(
                f"--model {model} reconstructs halves of a scan, and a reconstruction or its scan is missing. Give a "
                "RESULT of 'infer', and --scan."
            )
        halves = _halves(model, raw, found.reconstruction)
    beside = Beside(raw, () if scan is None or not scan.is_file() else (scan,), objects, halves)
    page = output or (result if result.is_dir() else result.parent) / "report.html"
    write_result_page(found, beside, page)
    if not quiet:
        click.echo(f"Wrote {page}.")


def _read(path: Path, reading: Reading) -> RawData:
    from ptychopinn_backend.data.dataset.scan_files import read_one_scan

    return read_one_scan(path, reading)


def _load(path: Path) -> Reconstruction:
    from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

    return Reconstruction.load_npz(path / "reconstruction.npz" if path.is_dir() else path)


def _true_object(scan: RawData, path: Path) -> Any:
    if scan.objectGuess is None:
        raise DataError(f"{path} has no objectGuess; --truth needs a scan file with the true object. Name another.")
    return scan.objectGuess


def _halves(archive: Path, raw: RawData, whole: Reconstruction) -> tuple[Reconstruction, Reconstruction]:
    from ptychopinn_backend.evaluation.matching import matched_scan
    from ptychopinn_backend.runs.reconstruct import DEFAULT_POLISH_STEPS
    from ptychopinn_backend.runs.trained_model import TrainedModel
    from ptychopinn_backend.runs.two_halves import half_reconstructions

    stated = whole.info.get("polish_steps")
    steps = stated if isinstance(stated, int) and stated >= 0 else DEFAULT_POLISH_STEPS
    return half_reconstructions(TrainedModel.load(archive), matched_scan(whole, raw).raw, steps)
