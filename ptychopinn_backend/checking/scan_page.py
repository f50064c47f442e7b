"""The page of a checked scan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from ptychopinn_backend.archive import package_version
from ptychopinn_backend.checking import scan_pictures
from ptychopinn_backend.checking.check import ScanCheck
from ptychopinn_backend.checking.subject import Subject
from ptychopinn_backend.files.fingerprint import fingerprint
from ptychopinn_backend.files.page import Html, facts, heading, listed, paragraph, picture, table, write_page

_VERDICTS: Final = {
    0: ("Nothing is odd.", "note"),
    1: ("It can be used, but there are warnings.", "warning"),
    2: ("It cannot be used as it is.", "error"),
}
_WORDS: Final = {"error": "must be mended", "warning": "warning", "note": "fact"}


def write_scan_page(check: ScanCheck, path: Path) -> None:
    """Write all that is known of a scan as one page.

    Args:
        check: of the scan.
        path: the file; missing folders are made.

    Raises:
        OSError: the folder cannot be written.
    """
    name = check.as_read.format_name
    under = f"{check.path}{f', read as {name}' if name else ''}"
    write_page(path, f"Check of {check.path.name}", under, _parts(check), package_version())


def _parts(check: ScanCheck) -> Iterator[Html]:
    words, kind = _VERDICTS[check.exit_code]
    yield paragraph(words, f"verdict {kind}")
    rows = [(_WORDS[item.severity], item.part, item.name, item.evidence, item.remedy) for item in check.findings]
    headers = ("", "part", "finding", "evidence", "remedy")
    yield table(headers, rows, [item.severity for item in check.findings])
    if check.changes:
        yield heading("What --mend changes")
        yield listed(check.changes)
    seen, mended = check.as_read.subject, check.mended
    if seen is not None and mended is not None:
        yield from _pictures(check, seen, mended)
    files = {str(file): fingerprint(file).words for file in check.as_read.files}
    if files:
        yield heading("Files")
        yield facts(files)


def _pictures(check: ScanCheck, seen: Subject, mended: Subject) -> Iterator[Html]:
    given = None if check.as_read.good_of_file is None else ~check.as_read.good_of_file
    marked = np.zeros((seen.raw.N, seen.raw.N), np.bool_) if given is None else given
    proposed = ~mended.good & ~marked
    yield heading("Detector")
    yield picture(
        lambda: scan_pictures.mean_pattern(mended, given, proposed),
        "Mean pattern with the mask",
        "Blue: bad by the file. Red: proposed in addition. The cross is the zero frequency.",
    )
    yield picture(lambda: scan_pictures.counts(mended), "Histogram of counts")
    yield heading("Scan")
    yield picture(
        lambda: scan_pictures.dose(seen), "Dose over the scan", "As it was read, before anything was left out below."
    )
    yield picture(
        lambda: scan_pictures.footprint(seen, check.findings),
        "Positions with the probe's footprint",
        "Circles hold nine tenths of the probe's light, around the points in the middle of the scan.",
    )
    if mended.raw.probeGuess is not None:
        yield heading("Probe")
        yield picture(
            lambda: scan_pictures.probe_modes(mended),
            "Probe modes",
            "Brightness is amplitude, colour is phase; the share of the light stands above.",
        )
    search = check.search
    if search is not None:
        yield heading("Orientation")
        yield picture(lambda: scan_pictures.orientations(search), "R-factor of every way the positions may run")
        yield table(("way", "R"), [(str(way), f"{value:.4f}") for way, value in search.r_factors.items()])
