"""`ptychopinn evaluate`: how good a reconstruction is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.cli.options import measurement_option
from ptychopinn_backend.errors import DataError

if TYPE_CHECKING:
    from ptychopinn_backend.data.raw_data import RawData

ROWS: Final = (
    ("r_factor", "R-factor of the counts", "{:.4f}"),
    ("poisson_floor_r_factor", "  of photon noise alone", "{:.4f}"),
    ("amplitude_psnr_db", "amplitude PSNR", "{:.2f} dB"),
    ("amplitude_ssim", "amplitude SSIM", "{:.4f}"),
    ("amplitude_mae", "amplitude MAE", "{:.4g}"),
    ("amplitude_correlation", "amplitude correlation", "{:.4f}"),
    ("phase_psnr_db", "phase PSNR", "{:.2f} dB"),
    ("phase_ssim", "phase SSIM", "{:.4f}"),
    ("phase_mae_rad", "phase MAE", "{:.4g} rad"),
    ("phase_correlation", "phase correlation", "{:.4f}"),
    ("frc_half_bit_px", "FRC half-bit resolution", "{:.2f} px"),
)


@click.command("evaluate", short_help="Measure a reconstruction against counts, truth or a reference.")
@click.argument("reconstruction", metavar="RECON.npz", type=click.Path(path_type=Path))
@click.argument("scan", metavar="SCAN.npz", type=click.Path(path_type=Path))
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="SCAN_WITH_OBJECT.npz",
    help="A scan file whose objectGuess is the true object.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    metavar="REF.npz",
    help="Another reconstruction of the scan (object, origin_rc, probe).",
)
@click.option(
    "--interpolation",
    type=click.Choice(["bilinear", "fourier"]),
    default="bilinear",
    show_default=True,
    help="How the object is read between pixels for the R-factor; fourier beside numbers of iterative codes.",
)
@measurement_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    reconstruction: Path,
    scan: Path,
    truth: Path | None,
    reference: Path | None,
    interpolation: str,
    measurement: str | None,
    as_json: bool,
) -> None:
    """Measure how well a reconstruction explains the counts, and how near it is to a truth or a reference.

    RECON.npz is the reconstruction.npz that 'ptychopinn infer' wrote, SCAN.npz the scan it was made from. The R-factor
    is sum |sqrt(counts) - sqrt(model)| / sum sqrt(counts), nothing fitted. Before objects are compared, a shift, global
    phase, phase ramp and amplitude scale are taken out. The resolution is the half-period at which the Fourier ring
    correlation falls below the half-bit threshold; 1 px is the Nyquist limit.
    """
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.evaluation import evaluate
    from ptychopinn_backend.reconstruction_file import Reconstruction

    if truth is not None and reference is not None:
        raise click.UsageError("--truth and --reference are both given; compare with one at a time.")
    measured = Reconstruction.load_npz(reconstruction)
    raw = RawData.from_file(scan, measurement)
    targets: dict[str, Any] = {}
    if truth is not None:
        targets["truth"] = (_true_object(raw if truth == scan else RawData.from_file(truth), truth), (0.0, 0.0))
    if reference is not None:
        other = Reconstruction.load_npz(reference)
        targets["reference"] = (other.object, other.origin_rc)
    report = evaluate(measured, raw, interpolation=interpolation, **targets)  # type: ignore[arg-type]
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(_table(report)))


def _true_object(scan: RawData, path: Path) -> Any:
    if scan.objectGuess is None:
        raise DataError(
            f"{path} has no objectGuess; --truth needs a scan file with the true object. "
            "Give the file that 'ptychopinn simulate' wrote, or compare with --reference."
        )
    return scan.objectGuess


def _table(report: dict[str, Any]) -> list[str]:
    title = f"{report['n_patterns']} patterns"
    if report["backend"]:
        title += f", made by the {report['backend']} backend"
    if "compared_with" in report:
        rows, columns = report["region_px"]
        title += f", compared with the {report['compared_with']} on {rows} x {columns} px"
    lines = [title, *(f"  {label:<26}{form.format(report[key]):>12}" for key, label, form in ROWS if key in report)]
    if "shift_rc_px" in report:
        row, column = report["shift_rc_px"]
        lines.append(f"  taken out: shift {row:.2f}, {column:.2f} px; amplitude scale {report['amplitude_scale']:.4g}")
    return lines
