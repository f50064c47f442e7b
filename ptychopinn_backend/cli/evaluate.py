"""`ptychopinn evaluate`: how good a reconstruction is."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.cli.options import reading_options
from ptychopinn_backend.errors import DataError

if TYPE_CHECKING:
    from ptychopinn_backend.arrays import Float64Array
    from ptychopinn_backend.config.reading import Reading
    from ptychopinn_backend.data.raw_data import RawData
    from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

ROWS: Final = (
    ("r_factor", "R-factor of the counts", "{:.4f}"),
    ("poisson_floor_r_factor", "  of photon noise alone", "{:.4f}"),
    ("r_free", "  of held-out patterns (R-free)", "{:.4f}"),
    ("deviance", "deviance per pixel", "{:.4g}"),
    ("poisson_deviance", "  of photon noise alone", "{:.4g}"),
    ("free_deviance", "  of held-out patterns", "{:.4g}"),
    ("amplitude_psnr_db", "amplitude PSNR", "{:.2f} dB"),
    ("amplitude_ssim", "amplitude SSIM", "{:.4f}"),
    ("amplitude_mae", "amplitude MAE", "{:.4g}"),
    ("amplitude_correlation", "amplitude correlation", "{:.4f}"),
    ("phase_psnr_db", "phase PSNR", "{:.2f} dB"),
    ("phase_ssim", "phase SSIM", "{:.4f}"),
    ("phase_mae_rad", "phase MAE", "{:.4g} rad"),
    ("phase_correlation", "phase correlation", "{:.4f}"),
    ("amplitude_within_one", "amplitude errors <= 1 sigma", "{:.1%}"),
    ("amplitude_within_two", "  <= 2 sigma", "{:.1%}"),
    ("phase_within_one", "phase errors <= 1 sigma", "{:.1%}"),
    ("phase_within_two", "  <= 2 sigma", "{:.1%}"),
    ("frc_half_bit_px", "FRC half-bit resolution", "{:.2f} px"),
    ("half_data_frc_px", "even against odd patterns", "{:.2f} px"),
    ("elapsed_s", "time of the reconstruction", "{:.2f} s"),
    ("patterns_per_s", "patterns per second", "{:.0f}"),
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
    "--model",
    type=click.Path(path_type=Path),
    metavar="ARCHIVE",
    help="The model that made it. The even and the odd patterns are then reconstructed by themselves and compared.",
)
@click.option(
    "--interpolation",
    type=click.Choice(["bilinear", "fourier"]),
    default="bilinear",
    show_default=True,
    help="How the R-factor reads the object between pixels; take fourier to compare with iterative codes.",
)
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    reconstruction: Path,
    scan: Path,
    truth: Path | None,
    reference: Path | None,
    model: Path | None,
    interpolation: str,
    reading: Reading,
    as_json: bool,
) -> None:
    """Measure how well a reconstruction explains the counts, and how near it is to a truth or a reference.

    RECON.npz is the reconstruction.npz that 'ptychopinn infer' wrote. SCAN.npz is the scan it was made from; only the
    patterns of the reconstruction are used. The R-factor is sum |sqrt(counts) - sqrt(model)| / sum sqrt(counts), and
    nothing is fitted. Below one photon per pixel, read the Poisson deviance: it weighs every pixel by what it can tell.
    Before objects are compared, a shift, global phase, phase ramp and amplitude scale are taken out. The resolution is
    the half-period at which the Fourier ring correlation falls below the half-bit threshold; 1 px is the Nyquist limit.
    With --model it is also found without a truth or a reference, from two halves of the patterns.
    """
    from ptychopinn_backend.data.dataset.scan_files import read_one_scan
    from ptychopinn_backend.evaluation import evaluate
    from ptychopinn_backend.evaluation.matching import matched_scan
    from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

    if truth is not None and reference is not None:
        raise click.UsageError("--truth and --reference are both given; compare with one at a time.")
    measured = Reconstruction.load_npz(reconstruction)
    raw = read_one_scan(scan, reading)
    targets: dict[str, Any] = {}
    if truth is not None:
        true_scan = raw if truth == scan else read_one_scan(truth)
        targets["truth"] = (_true_object(true_scan, truth), (0.0, 0.0))
        _tell_of_other_scan(measured, true_scan.positions_xy, truth)
    if reference is not None:
        other = Reconstruction.load_npz(reference)
        targets["reference"] = (other.object, other.origin_rc)
        if other.positions_xy is not None:
            _tell_of_other_scan(measured, other.positions_xy, reference)
    report = evaluate(measured, raw, interpolation=interpolation, **targets)  # type: ignore[arg-type]
    if model is not None:
        report["half_data_frc_px"] = _half_data_frc_px(model, matched_scan(measured, raw).raw, measured)
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(_table(report)))


def _half_data_frc_px(archive: Path, raw: RawData, whole: Reconstruction) -> float:
    from ptychopinn_backend.runs.reconstruct import DEFAULT_POLISH_STEPS
    from ptychopinn_backend.runs.trained_model import TrainedModel
    from ptychopinn_backend.runs.two_halves import half_data_resolution_px

    stated = whole.info.get("polish_steps")
    steps = stated if isinstance(stated, int) and stated >= 0 else DEFAULT_POLISH_STEPS
    return half_data_resolution_px(TrainedModel.load(archive), raw, steps)


def _tell_of_other_scan(measured: Reconstruction, positions_xy: Float64Array, path: Path) -> None:
    from ptychopinn_backend.evaluation.matching import shares_positions

    if not shares_positions(measured, positions_xy):
        warnings.warn(
            f"{path} is of another scan: its {len(positions_xy)} positions are not those of the reconstruction. Check "
            "that it shows the same object, in the same coordinates.",
            UserWarning,
            stacklevel=2,
        )


def _true_object(scan: RawData, path: Path) -> Any:
    if scan.objectGuess is None:
        raise DataError(
            f"{path} has no objectGuess; --truth needs a scan file with the true object. "
            "Give the file that 'ptychopinn simulate' wrote, or compare with --reference."
        )
    return scan.objectGuess


def _table(report: dict[str, Any]) -> list[str]:
    from ptychopinn_backend.runs.probe_choice import OWN

    title = f"{report['n_patterns']} patterns"
    if "n_patterns_of_scan" in report:
        title = f"{report['n_patterns']} of {report['n_patterns_of_scan']} patterns"
    if report["backend"]:
        title += f", made by the {report['backend']} backend"
    if "compared_with" in report:
        rows, columns = report["region_px"]
        title += f", compared with the {report['compared_with']} on {rows} x {columns} px"
    probe = report.get("probe", OWN)
    lines = [title] if probe == OWN else [title, f"  with the probe {probe}"]
    lines += [f"  {label:<26}{form.format(report[key]):>12}" for key, label, form in ROWS if key in report]
    if "shift_rc_px" in report:
        row, column = report["shift_rc_px"]
        lines.append(f"  taken out: shift {row:.2f}, {column:.2f} px; amplitude scale {report['amplitude_scale']:.4g}")
    return lines
