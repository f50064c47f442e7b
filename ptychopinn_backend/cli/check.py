"""`ptychopinn check`: a scan looked at before anything is trained on it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from ptychopinn_backend.cli.options import reading_options

if TYPE_CHECKING:
    from ptychopinn_backend.config.reading import Reading
    from ptychopinn_backend.data.raw_data import RawData

NOTE: Final = "note"
WARNING: Final = "warning"
_WITH_WARNINGS: Final = 1


class Said(NamedTuple):
    """One line of the report."""

    about: str
    """What it concerns."""
    severity: str
    """'note' or 'warning'."""
    text: str
    """Evidence and remedy."""


@click.command("check", short_help="Look at a scan: what is odd, and which way its axes run.")
@click.argument("scan", metavar="SCAN", type=click.Path(path_type=Path))
@click.option("--no-orientation", is_flag=True, help="Do not try the eight orientations, which takes seconds.")
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def command(scan: Path, no_orientation: bool, as_json: bool, reading: Reading) -> int:
    """Look at SCAN as it would be read, change nothing, and say what is odd.

    The commonest reason for a poor image is that x and y of the positions are exchanged or turned round. All eight
    ways are tried on a part of the scan by a few data-consistency steps from vacuum, and the one that explains the
    counts is named with the options that state it. Exit code 0: nothing is odd; 1: there are warnings; 2: the scan
    cannot be used.
    """
    from ptychopinn_backend.data.raw_data import RawData

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        raw = RawData.from_file(scan, reading=reading)
    said = [*_facts(raw), *(Said("reading", WARNING, str(item.message)) for item in caught)]
    table: list[str] = []
    if not no_orientation:
        found, table = _orientation(raw, reading)
        said.append(found)
    if as_json:
        lines = [line._asdict() for line in said]
        click.echo(json.dumps({"scan": str(scan), "findings": lines, "orientations": table}, indent=2))
    else:
        width = max(len(line.about) for line in said)
        for line in said:
            mark = "! " if line.severity == WARNING else "  "
            click.echo(f"{mark}{line.about:<{width}}  {line.text}")
        for text in table:
            click.echo(f"  {'':<{width}}    {text}")
    return _WITH_WARNINGS if any(line.severity == WARNING for line in said) else 0


def _facts(raw: RawData) -> list[Said]:
    from ptychopinn_backend.config.presets import choose_preset
    from ptychopinn_backend.config.scan_traits import scan_traits

    width, height = raw.positions_xy.max(axis=0) - raw.positions_xy.min(axis=0)
    kind = "counts" if raw.measured_as_counts else "amplitudes"
    bad = 0 if raw.bad_pixels is None else int(raw.bad_pixels.sum())
    objects = len(raw.by_object())
    said = [
        Said("patterns", NOTE, f"{raw.n_patterns} of {raw.N} x {raw.N} pixels, read as {kind}; {bad} bad pixels."),
        Said("light", NOTE, f"{raw.mean_photons:.4g} photons a pattern."),
        Said("positions", NOTE, f"span {width:.1f} x {height:.1f} px; {objects} object{'s' if objects > 1 else ''}."),
    ]
    if raw.probeGuess is None:
        remedy = "'ptychopinn calibrate' finds one; training and reconstruction need it."
        said.append(Said("probe", WARNING, f"The scan has no probe. {remedy}"))
    else:
        traits = scan_traits(raw)
        modes = len(raw.probeGuess)
        known = "" if traits is None else f"; {traits}"
        said.append(Said("probe", NOTE, f"{modes} mode{'s' if modes > 1 else ''}{known}."))
        choice = choose_preset([raw])
        said.append(Said("preset", NOTE, f"'auto' takes {choice.name}, {choice.reason.rpartition(': ')[2]}."))
    return said


def _orientation(raw: RawData, reading: Reading) -> tuple[Said, list[str]]:
    from ptychopinn_backend.errors import DataError
    from ptychopinn_backend.runs.orientation import AS_GIVEN, Orientation, search_orientation, table_of

    try:
        search = search_orientation(raw)
    except DataError as error:
        return Said("orientation", NOTE, f"Not compared. {error}"), []
    table, best = table_of(search), search.best
    told = f"R {search.r_factors[best]:.3f} on {search.n_patterns} patterns, {100 * search.margin:.0f} % below the next"
    if not search.is_clear:
        text = f"The eight ways cannot be told apart by these patterns ({told}). Compare reconstructions of each."
        return Said("orientation", NOTE, text), table
    if best == AS_GIVEN:
        return Said("orientation", NOTE, f"Positions run as the patterns do ({told})."), table
    whole = best.after(Orientation(reading.swap_xy, reading.negate_x, reading.negate_y))
    remedy = f"Give {whole} to every command." if whole.options else "Leave out --swap-xy, --negate-x and --negate-y."
    text = f"Positions do not run as the patterns do; {best} explains the counts ({told}). {remedy}"
    return Said("orientation", WARNING, text), table
