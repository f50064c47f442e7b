"""The door to scans of all formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.readers import own_files
from ptychopinn_backend.data.readers.halves import (
    DATASET_DESCRIPTION,
    Found,
    beside,
    named_by_patterns,
    partner_of,
    recognise,
    scan_files,
)
from ptychopinn_backend.data.readers.joining import join
from ptychopinn_backend.data.readers.parts import OpenedScan
from ptychopinn_backend.data.readers.providers import provided
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.npz import require_file


def open_scan(path: Path, reading: Reading = ASK_THE_FILE) -> OpenedScan:
    """Open a scan of any format without reading its patterns.

    Args:
        path: a scan file, or one half of a scan whose other half lies beside it.
        reading: what the user states.

    Returns:
        The scan; what the user states of measurement, scan_index and nphotons is in its metadata.

    Raises:
        DataFileNotFoundError: no file lies there.
        DataError: it is of no known format, damaged, lacks a half, or does not say the units of its positions.
        ConfigError: no format has the name that was given.
    """
    opened = _open(_only_scan(path, reading), reading)
    stated = {"scan_index": reading.scan_index, "nphotons": reading.nphotons}
    if reading.nphotons is not None:
        stated["nphotons_of_patterns"] = reading.nphotons
    metadata = {**opened.metadata, **{name: value for name, value in stated.items() if value is not None}}
    return replace(opened, metadata=metadata)


def _only_scan(path: Path, reading: Reading) -> Path:
    """Return the one scan of a folder; a file is itself."""
    if not path.is_dir():
        return path
    if (path / DATASET_DESCRIPTION).is_file():
        raise DataError(
            f"{path} is a data set made from scans, and a scan file is expected here. Name the scan it was made from, "
            f"or write its scans as files with 'ptychopinn convert {path} -o FOLDER'."
        )
    files = named_by_patterns(scan_files(path), reading)
    if len(files) > 1:
        raise DataError(
            f"{path} is a folder of {len(files)} scans, and one is expected. Name one of "
            f"{', '.join(file.name for file in files[:5])}."
        )
    return files[0] if files else path


def _open(path: Path, reading: Reading) -> OpenedScan:
    if reading.reader is not None and ":" in reading.reader:
        require_file(path)
        provider, _, name = reading.reader.partition(":")
        return provided(provider).open_scan(name, path, reading)
    found = recognise(path, reading.reader)
    if found.patterns is not None and found.patterns.open_whole is not None:
        _require_own_positions(path, found.patterns.name, reading)
        return found.patterns.open_whole(path, reading)
    if found.patterns is None and found.positions is None:
        return own_files.open_unknown(path, reading)
    if reading.positions is None and not found.is_whole:
        return _with_partner(found, reading)
    return _joined(found, found if reading.positions is None else _stated_positions(reading.positions), reading)


def _require_own_positions(path: Path, name: str, reading: Reading) -> None:
    if reading.positions is not None and reading.positions.resolve() != path.resolve():
        raise DataError(
            f"{path} ({name}) has its positions beside its patterns, so --positions {reading.positions} does not go "
            "with it. Leave it out, or write other positions into the file."
        )


def _stated_positions(path: Path) -> Found:
    found = recognise(path)
    if found.positions is None:
        raise DataError(f"{path} holds no positions of a known format. Name another file.")
    if found.positions.read_positions is None:
        raise DataError(
            f"{path} is a scan ({found.positions.name}), whose positions are read with its own patterns alone. Name "
            "another file with --positions."
        )
    return found


def _with_partner(found: Found, reading: Reading) -> OpenedScan:
    """Open a scan of which one half is named and the other lies beside it, and say which file that is."""
    other = partner_of(found, beside(found.path))
    if other is None:
        lacking = "positions" if found.positions is None else "patterns"
        raise DataError(
            f"{found.path} holds only {'patterns' if found.positions is None else 'positions'}, and no file beside it "
            f"holds the {lacking}. Put both into one folder, or name the file with --positions."
        )
    patterns, positions = (found, other) if found.patterns is not None else (other, found)
    opened = _joined(patterns, positions, reading)
    note = f"its positions are those of {positions.path.name}, which lies beside it; --positions names another file."
    return replace(opened, notes=(note, *opened.notes))


def _joined(patterns: Found, positions: Found, reading: Reading) -> OpenedScan:
    first, second = patterns.patterns, positions.positions
    if first is None or second is None or first.read_patterns is None or second.read_positions is None:
        raise DataError(f"{patterns.path} and {positions.path} are not the two halves of a scan. Name other files.")
    name = first.name if first is second else f"{first.name} and {second.name}"
    path = patterns.path
    return join(first.read_patterns(path, reading), second.read_positions(positions.path, reading), reading, path, name)
