"""`ptychopinn check`: a scan looked at before anything is trained on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.cli.options import reading_options, require_other_file
from ptychopinn_backend.errors import DataError

if TYPE_CHECKING:
    from ptychopinn_backend.checking.check import ScanCheck
    from ptychopinn_backend.config.reading import Reading

_MARKS: Final = {"error": "X ", "warning": "! ", "note": "  "}


@click.command("check", short_help="Look at a scan: what is odd, what it will cost, and a mended copy.")
@click.argument("scan", metavar="SCAN", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write one HTML page, with pictures.")
@click.option("--mend", type=click.Path(path_type=Path), help="Write a corrected scan as NPZ, and say what changed.")
@click.option("--no-orientation", is_flag=True, help="Do not try the eight orientations, which takes seconds.")
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def command(
    scan: Path, output: Path | None, mend: Path | None, no_orientation: bool, as_json: bool, reading: Reading
) -> int:
    """Look at SCAN as every command reads it, and say what is odd. SCAN is not changed.

    The command looks at detector, patterns, positions and probe. Each finding has its evidence and a remedy. Lines
    with '!' are warnings; lines with 'X' must be mended first. The commonest reason for a poor image is that x and y
    of the positions are exchanged or negated. So all eight orientations are tried on a part of the scan, with a few
    data-consistency steps from vacuum. The one that explains the counts is named, with its options. At the end stands
    what a training will need here. Exit code 0: nothing is odd; 1: there are warnings; 2: the scan cannot be used.

    \b
      ptychopinn check scan.h5 -o report.html
      ptychopinn check scan.npz --mend mended.npz
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.checking.check import check_scan_file

    if mend is not None and mend.suffix != ".npz":
        raise DataError(f"--mend {mend} is no NPZ; a corrected scan is written as one. Name a file that ends in .npz.")
    outputs = {"--mend": mend, "-o": output}
    for option, path in outputs.items():
        require_other_file(option, path, [scan])
    found = check_scan_file(scan, reading, with_orientation=not no_orientation)
    for option, path in outputs.items():
        require_other_file(option, path, found.as_read.files)
    written = _mended(found, mend)
    if output is not None:
        from ptychopinn_backend.checking.scan_page import write_scan_page

        write_scan_page(found, output)
        written.append(f"Wrote {output}.")
    if as_json:
        click.echo(json.dumps(_as_json(found, written), indent=2))
    else:
        for line in [*_lines(found), *written]:
            click.echo(line)
        if found.mended is None:
            click.echo(f"Error: {found.findings[0]}", err=True)
    return found.exit_code


def _mended(found: ScanCheck, path: Path | None) -> list[str]:
    """Write the corrected scan and return what was done about it, a line each."""
    if path is None:
        return []
    if found.mended is None:
        return [f"Nothing was written to {path}: the scan cannot be read."]
    if found.as_read.share < 1:
        return [f"Nothing was written to {path}: for want of memory only a part of the scan was looked at."]
    found.mended.raw.to_file(path)
    changed = [f"  - {change}" for change in found.changes]
    return [f"Wrote {path}, {'with these changes:' if changed else 'in which nothing had to be changed.'}", *changed]


def _as_json(found: ScanCheck, written: list[str]) -> dict[str, Any]:
    findings = [
        {
            "name": item.name,
            "part": item.part,
            "severity": item.severity,
            "evidence": item.evidence,
            "remedy": item.remedy,
        }
        for item in found.findings
    ]
    ways = {} if found.search is None else {str(way): value for way, value in found.search.r_factors.items()}
    return {
        "scan": str(found.path),
        "exit_code": found.exit_code,
        "findings": findings,
        "orientations": ways,
        "mended": list(found.changes),
        "written": written,
    }


def _lines(found: ScanCheck) -> list[str]:
    from ptychopinn_backend.runs.orientation import table_of

    width = max(len(item.name) for item in found.findings)
    lines = [f"{_MARKS[item.severity]}{item.name:<{width}}  {item}".rstrip() for item in found.findings]
    if found.search is not None:
        lines += [f"  {'':<{width}}    {text}" for text in table_of(found.search)]
    return lines
