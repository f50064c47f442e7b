"""The door to scans of all formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ptychopinn_backend.config.reading import ASK_THE_FILE, Reading
from ptychopinn_backend.data.readers import own_files
from ptychopinn_backend.data.readers.halves import Found, beside, named_by_patterns, partner_of, recognise, scan_files
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
        return found.patterns.open_whole(path, reading)
    if found.patterns is None and found.positions is None:
        return own_files.open_unknown(path, reading)
    patterns, positions = _halves(found, reading)
    return _joined(patterns, positions, reading)


def _halves(found: Found, reading: Reading) -> tuple[Found, Found]:
    if reading.positions is not None:
        given = recognise(reading.positions)
        if given.positions is None or given.positions.read_positions is None:
            raise DataError(f"{reading.positions} holds no positions of a known format. Name another file.")
        return found, given
    if found.is_whole:
        return found, found
    other = partner_of(found, beside(found.path))
    if other is None:
        lacking = "positions" if found.positions is None else "patterns"
        raise DataError(
            f"{found.path} holds only {'patterns' if found.positions is None else 'positions'}, and no file beside it "
            f"holds the {lacking}. Put both into one folder, or name the file with --positions."
        )
    return (found, other) if found.patterns is not None else (other, found)


def _joined(patterns: Found, positions: Found, reading: Reading) -> OpenedScan:
    first, second = patterns.patterns, positions.positions
    if first is None or second is None or first.read_patterns is None or second.read_positions is None:
        raise DataError(f"{patterns.path} and {positions.path} are not the two halves of a scan. Name other files.")
    name = first.name if first is second else f"{first.name} and {second.name}"
    path = patterns.path
    return join(first.read_patterns(path, reading), second.read_positions(positions.path, reading), reading, path, name)
