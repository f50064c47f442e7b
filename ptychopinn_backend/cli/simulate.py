"""`ptychopinn simulate`: scans with known objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptychopinn_backend.data.simulation.simulate import SimulatedScan, simulate
from ptychopinn_backend.data.simulation.spec import OBJECTS, PROBES, SCANS
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.runs.simulation_plan import read_plan


@click.command("simulate", short_help="Simulate one or many scans with known objects.")
@click.option("-o", "--output", required=True, help="NPZ file to write; with 'scans:' in the YAML, a folder.")
@click.option("--config", type=click.Path(), help="YAML file; options given here win. Keys: specs/simulation.md.")
@click.option("--size", type=int, help="Side of the patterns in pixels (64).")
@click.option("--patterns", type=int, help="Scan points (1000).")
@click.option("--photons", type=float, help="Mean photons per pattern (1e6).")
@click.option("--seed", type=int, help="Equal seeds give equal scans (0).")
@click.option("--object", type=click.Choice(OBJECTS), help="What is measured (dead_leaves).")
@click.option("--object-file", type=click.Path(), help="Image, NPY or NPZ (objectGuess) to take as the object.")
@click.option("--probe", type=click.Choice(PROBES), help="Shape of the beam (disk).")
@click.option("--probe-file", type=click.Path(), help="NPZ (probeGuess) to take the probe from.")
@click.option("--probe-diameter", "probe_diameter_px", type=float, help="Beam diameter in pixels (size / 2).")
@click.option("--modes", type=int, help="Incoherent probe modes (1).")
@click.option("--scan", type=click.Choice(SCANS), help="Pattern of positions (jittered).")
@click.option("--step", "step_px", type=float, help="Distance of scan points in pixels (beam diameter / 4).")
@click.option("--jitter", type=float, help="Displacement of a jittered scan, fraction of the step (0.3).")
@click.option("--position-error", "position_error_px", type=float, help="Error of recorded positions, pixels (0).")
@click.option("--beam-stop", "beam_stop_px", type=float, help="Diameter of the beam stop, detector pixels (0).")
@click.option("--bad-pixels", "bad_pixel_fraction", type=float, help="Fraction of bad detector pixels (0).")
def command(output: str, config: str | None, **values: Any) -> None:
    """Simulate a scan with a known object, or many from a YAML file.

    The file holds the photon counts, the positions, the probe and the true object (objectGuess). Numbers in brackets
    are the defaults.

    \b
      ptychopinn simulate -o scan.npz --patterns 500 --photons 1e5
      ptychopinn simulate -o folder --config scans.yaml
    """  # noqa: D301 - click looks for the character, not for its escape
    for name in ("object", "probe"):
        if values[f"{name}_file"] is not None and values[name] is None:
            values[name] = "file"
    scans, many = read_plan(config, values)
    target = Path(output)
    if many and target.suffix == ".npz":
        raise ConfigError(f"-o {output} names a file, but '{config}' lists scans. Name a folder.")
    if not many and target.suffix != ".npz":
        raise ConfigError(f"-o {output} must end in '.npz'. Name the file to write, for example scan.npz.")
    for planned in scans:
        simulated = simulate(planned.spec, planned.seed)
        click.echo(_described(simulated.to_file(target / f"{planned.name}.npz" if many else target), simulated))


def _described(file: Path, scan: SimulatedScan) -> str:
    patterns, N, _ = scan.counts.shape
    height, width = scan.object.shape
    spec = scan.spec
    return (
        f"Wrote {file}: {patterns} patterns of {N} x {N} pixels, {spec.photons:g} photons each, "
        f"{spec.object} of {height} x {width} pixels, {spec.probe} probe in {len(scan.probe)} mode(s)."
    )
