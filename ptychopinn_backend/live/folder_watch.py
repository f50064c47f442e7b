"""Watch of a folder for scan files: each finished file is taken once, also after a restart."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.data.readers.halves import Found, looked_at, partner_of
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.files.atomic_file import atomic_file, writing

LEDGER_NAME: Final = "watched.json"
"""File in the folder of the results that lists the files that were taken, and their failures."""
SUFFIXES: Final = (".npz", ".h5", ".hdf5", ".hdf", ".cxi", ".nxs", ".mat", ".ptyd")
"""Suffixes of files that may be scans; other files and hidden files are ignored."""


@dataclass(frozen=True)
class Seen:
    """Size and time of a file, which identify it. A file that is written again counts as another file."""

    size: int
    """Size in bytes."""
    mtime_ns: int
    """Time of the last change, nanoseconds since 1970."""


class Ledger:
    """List of the files that were taken. It is written after every file, so that a restart takes none again."""

    def __init__(self, folder: Path) -> None:
        """Read the list that an earlier watch has left.

        Args:
            folder: folder of the results; it is made if it is missing.

        Raises:
            ConfigError: the file is not a ledger.
            OutputError: the folder cannot be made.
        """
        self.folder = folder
        """Folder of the results."""
        self._path = folder / LEDGER_NAME
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._entries: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            try:
                self._entries = {str(name): dict(entry) for name, entry in json.loads(self._path.read_text()).items()}
            except (ValueError, AttributeError, TypeError, OSError) as error:
                raise ConfigError(
                    f"'{self._path}' is not the list of files an earlier watch took ({error}). Move it away; then "
                    "every file of the folder is taken again."
                ) from error

    def knows(self, name: str, seen: Seen) -> bool:
        """Return whether a file was taken in its present state."""
        entry = self._entries.get(name)
        return entry is not None and (entry.get("size"), entry.get("mtime_ns")) == (seen.size, seen.mtime_ns)

    def note(self, name: str, seen: Seen, failure: str) -> None:
        """Add a file to the list.

        Args:
            name: name of the file, relative to the watched folder.
            seen: state of the file when it was taken.
            failure: reason why the file could not be used; '' if it could.

        Raises:
            OutputError: the ledger cannot be written.
        """
        self._entries[name] = {"size": seen.size, "mtime_ns": seen.mtime_ns, "failure": failure}
        with atomic_file(self._path, "w") as stream:
            json.dump(self._entries, stream, indent=1)


class FolderWatch:
    """Looks into a folder again and again. A file is finished if it has not changed for some time."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        settle_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        joins_halves: bool = True,
    ) -> None:
        """Start before the first look.

        Args:
            folder: the watched folder. The folders in it are watched as well.
            ledger: list of the files that were taken.
            settle_s: time in seconds; a file that did not change for so long is finished.
            clock: returns the time in seconds.
            joins_halves: True if the two files with patterns and positions of one scan count as one scan. It has the
                name of the file with the patterns.

        Raises:
            ConfigError: the folder does not exist, or it is the folder of the results.
        """
        if not folder.is_dir():
            raise ConfigError(f"'{folder}' is not a folder. Name one in which scan files appear; it may be empty.")
        if folder.resolve() == ledger.folder.resolve():
            raise ConfigError(
                f"'{ledger.folder}' is the watched folder itself, where results would be taken for scans. Name another "
                "one for the results; it may lie in the watched one."
            )
        self._folder, self._ledger, self._settle_s, self._clock = folder, ledger, settle_s, clock
        self._joins_halves = joins_halves
        self._changing: dict[str, tuple[Seen, float]] = {}
        self._looked_at: dict[str, tuple[Seen, Found]] = {}
        self.lone_halves: list[str] = []
        """Names of finished files that are one half of a scan, if the other half is not there so far."""

    def finished(self) -> Iterator[tuple[str, Seen]]:
        """Look into the folder once.

        Yields:
            Name, relative to the folder, and state of every finished file that was not taken yet. The oldest comes
            first.
        """
        now_s = self._clock()
        found = self._files()
        self._changing = {
            name: known if (known := self._changing.get(name)) and known[0] == seen else (seen, now_s)
            for name, seen in found.items()
        }
        settled = {name: seen for name, (seen, since_s) in self._changing.items() if now_s - since_s >= self._settle_s}
        ready = [
            (seen.mtime_ns, name, seen)
            for name, seen in self._scans(settled).items()
            if not self._ledger.knows(name, seen)
        ]
        for _, name, seen in sorted(ready, key=lambda entry: entry[:2]):
            yield name, seen

    def put_off(self, name: str) -> None:
        """Count a file as unfinished again, so that it is tried later."""
        self._changing.pop(name, None)

    def path_of(self, name: str) -> Path:
        """Return the path of a file."""
        return self._folder / name

    def _scans(self, files: dict[str, Seen]) -> dict[str, Seen]:
        """Join the halves of scans. A half without the other is left out until the other is there.

        Only finished files are opened, because on some systems nobody else can write a file that is open here.
        """
        new = {name: seen for name, seen in files.items() if not self._ledger.knows(name, seen)}
        if not self._joins_halves:
            return new
        kept = {name: entry for name, entry in self._looked_at.items() if new.get(name) == entry[0]}
        self._looked_at = kept | {
            name: (seen, looked_at(self.path_of(name))) for name, seen in new.items() if name not in kept
        }
        scans, self.lone_halves = {}, []
        for name, (seen, found) in self._looked_at.items():
            if found.is_whole or (found.patterns is None and found.positions is None):
                scans[name] = seen
                continue
            beside = [other for _, other in self._looked_at.values() if other.path.parent == found.path.parent]
            try:
                partner = partner_of(found, beside)
            except DataError:  # is said when it is read
                scans[name] = seen
                continue
            if partner is None:
                self.lone_halves.append(name)
            elif found.patterns is not None:
                other = new[str(partner.path.relative_to(self._folder))]
                scans[name] = Seen(seen.size + other.size, max(seen.mtime_ns, other.mtime_ns))
        return scans

    def _files(self) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        results = self._ledger.folder.resolve()
        for place, folders, names in os.walk(self._folder):
            folders[:] = [
                name for name in folders if not name.startswith(".") and (Path(place) / name).resolve() != results
            ]
            for name in names:
                path = Path(place) / name
                if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                    continue
                try:
                    state = path.stat()
                except OSError:
                    continue  # gone between two looks
                found[str(path.relative_to(self._folder))] = Seen(state.st_size, state.st_mtime_ns)
        return found
