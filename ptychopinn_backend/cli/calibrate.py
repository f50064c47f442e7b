"""`ptychopinn calibrate`: probe and positions of a scan from its own patterns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.cli.options import quiet_option, reading_options, require_other_file
from ptychopinn_backend.errors import ConfigError

if TYPE_CHECKING:
    from ptychopinn_backend.calibration import Calibration
    from ptychopinn_backend.calibration.fit import Fit
    from ptychopinn_backend.config.reading import Reading

_WORTH_PYTORCH: Final = 1 << 21
"""Detector pixels of a scan from which on faster transforms gain more than loading PyTorch takes."""


@click.command("calibrate", short_help="Refine probe and positions of a scan by its own patterns.")
@click.argument("scan", metavar="SCAN", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="NPZ file to write.")
@click.option(
    "--probe",
    type=click.Choice(["scan", "none"]),
    help="Start from the scan's probe, or from none.  [scan, if it has one]",
)
@click.option("--modes", type=int, help="Incoherent probe modes.  [3, or as many as the probe has]")
@click.option("--no-positions", is_flag=True, help="Leave positions as they are.")
@click.option("--limit", "position_limit_px", type=float, help="Longest move of a position, pixels.  [N / 16]")
@click.option(
    "--strengths/--no-strengths",
    default=None,
    help="Refine the light of every pattern.  [if held-out patterns gain by it]",
)
@click.option(
    "--likelihood",
    type=click.Choice(["auto", "amplitude", "poisson", "overdispersed"]),
    default="auto",
    show_default=True,
    help="Law of the noise.",
)
@click.option("--aperture", "aperture_px", type=float, help="Without a probe: diameter on the detector, pixels.")
@click.option(
    "--defocus",
    "defocus_px2",
    type=float,
    help="Without a probe: wavelength times distance from the focus, in areas of an object pixel.  [some are tried]",
)
@click.option("--sweeps", "most_sweeps", type=int, default=40, show_default=True, help="Passes over the patterns.")
@click.option("--reconstruction", type=click.Path(path_type=Path), help="Also write the object that was found, as NPZ.")
@click.option("--force", is_flag=True, help="Write the result even if it should not be believed.")
@reading_options
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def command(
    scan: Path,
    output: Path,
    reading: Reading,
    no_positions: bool,
    reconstruction: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Refine probe, positions and object of SCAN together, and write the scan with the refined probe and positions.

    Some patterns are held out and never used for object or probe. The command compares how well these are explained
    before and after. That decides how long it refines, and whether the result should be believed. If not, the scan is
    written with the probe and positions it had. The earlier positions stay in the file as xcoords_start, ycoords_start.

    \b
      ptychopinn calibrate scan.npz -o calibrated.npz
      ptychopinn calibrate scan.npz -o calibrated.npz --probe none --modes 2
    """  # noqa: D301 - click looks for the character, not for its escape
    from dataclasses import replace

    from ptychopinn_backend.calibration import CalibrationOptions, calibrate, calibrated_scan
    from ptychopinn_backend.data.dataset.scan_files import read_one_scan
    from ptychopinn_backend.factory import fast_transforms

    for path in (output, reconstruction):
        if path is not None and path.suffix != ".npz":
            raise ConfigError(f"'{path}' must end in '.npz'. Name the file to write, for example calibrated.npz.")
    raw = read_one_scan(scan, reading)
    for option, path in {"-o": output, "--reconstruction": reconstruction}.items():
        require_other_file(option, path, raw.files)
    if values["probe"] is None:
        values["probe"] = "none" if raw.probeGuess is None else "scan"
    options = CalibrationOptions(positions=not no_positions, **values)
    with fast_transforms(load=raw.diff3d.size > _WORTH_PYTORCH):
        found = calibrate(raw, options, on_sweep=None if quiet or as_json else _show_sweep)
    calibrated_scan(raw, replace(found, believed=True) if force else found).to_file(output)
    if reconstruction is not None:
        reconstruction.parent.mkdir(parents=True, exist_ok=True)
        found.to_reconstruction().save_npz(reconstruction)
    if as_json:
        click.echo(json.dumps(found.summary(), indent=2))
    elif not quiet:
        click.echo("\n".join(_told(found, output, kept=not (found.believed or force))))


def _show_sweep(sweep: int, fit: Fit) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rsweep {sweep}: R-free {fit.r_factor:.4f}", nl=False, err=True)


def _told(found: Calibration, output: Path, *, kept: bool) -> list[str]:
    summary = found.summary()
    parts = ", ".join(f"{100 * part:.1f} %" for part in summary["modes"])
    lines = [
        f"{len(found.held_out)} of {len(found.positions_xy)} patterns held out; {summary['sweeps']} sweeps, "
        f"{summary['elapsed_s']:.1f} s, {summary['likelihood']} likelihood.",
        found.reason,
        f"  light in the probe's modes  {parts}",
    ]
    if summary["position_spread_px"]:
        lines.append(
            f"  positions                   scale {summary['scale']:.4f}, rotation {summary['rotation_deg']:.3f} deg, "
            f"shear {summary['shear']:.4f}, around that {summary['position_spread_px']:.2f} px"
        )
    if summary["strength_deviation"]:
        lines.append(f"  light of the patterns       varies by {100 * summary['strength_deviation']:.1f} %")
    what = "the probe and positions it had" if kept else "refined probe and positions"
    return [*lines, f"Wrote {output} with {what}."]
