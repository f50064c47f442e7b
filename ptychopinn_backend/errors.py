"""Exceptions of the package.

Every message gives three things: the offending value, the rule it breaks, and the remedy. All classes derive from
`PtychoPINNError`, and from the builtin that existing scripts catch (`ValueError`, `RuntimeError`, ...).
"""

from __future__ import annotations

import difflib
import errno
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_LONGEST_MESSAGE: Final = 1000


class PtychoPINNError(Exception):
    """Base class: catching it catches every error this package raises on purpose."""

    def __str__(self) -> str:
        """Return the message; of one that quotes a very long value, beginning and end."""
        text = super().__str__()
        return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE // 2]} ... {text[-300:]}"


class ConfigError(PtychoPINNError, ValueError):
    """A configuration value, name or file breaks a rule."""


class DataError(PtychoPINNError, ValueError):
    """Scan data are missing, malformed or do not fit what was asked for."""


class ScanWarning(UserWarning):
    """Something is wrong with a scan that can be used nevertheless; the message says what was done about it."""


class DataFileNotFoundError(DataError, FileNotFoundError):
    """A data file that was named does not exist."""


class ArchiveError(PtychoPINNError, ValueError):
    """A `wts.h5.zip` archive cannot be used; subclasses say why."""


class ArchiveNotFoundError(ArchiveError, FileNotFoundError):
    """No archive lies where one was looked for."""


class ForeignArchiveError(ArchiveError):
    """The file is not an archive written by this package."""


class UnsupportedModelError(ForeignArchiveError):
    """A model that another program trained, whose network this package cannot express; the message says why."""


class DamagedArchiveError(ArchiveError):
    """The archive is ours, but truncated, altered or incomplete."""


class UnfitWeightsError(ArchiveError):
    """Weights, of an archive or in memory, are not those of the model: a name or a shape differs."""


class NewerArchiveError(ArchiveError):
    """The archive was written in a format version newer than this package reads."""


class UnsafeArchiveError(ArchiveError):
    """The archive holds something that must not be opened (path traversal, decompression bomb, external link)."""


class BackendUnavailableError(PtychoPINNError, RuntimeError):
    """The framework of the selected backend is not installed."""


class UnsupportedOptionError(ConfigError):
    """The selected backend does not offer an option; the message names those that do."""


class OutputError(PtychoPINNError, OSError):
    """A result cannot be written: the disk is full, the folder may not be written to, or a path leads nowhere."""


class TrainingError(PtychoPINNError, RuntimeError):
    """Training cannot go on (for example a loss that is not finite)."""


class WorkerDiedError(TrainingError, ChildProcessError):
    """A process that loads batches was ended from outside, most often because memory ran out."""

    def __init__(self, reason: str) -> None:
        """Explain.

        Args:
            reason: what the framework said.
        """
        super().__init__(
            f"A worker process that loads batches died ({reason.strip().rstrip('.')}). Set num_workers to 0, or give "
            "the machine more shared memory; then go on from the last checkpoint."
        )
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross to another process as itself: made from the reason, not from the message."""
        return type(self), (self.reason,)


class ChildDiedError(PtychoPINNError, ChildProcessError):
    """The computing process ended without a word: it was killed from outside, or crashed."""

    def __init__(self, exit_code: int | None) -> None:
        """Explain.

        Args:
            exit_code: of the process; negative for a signal, as in `multiprocessing`.
        """
        super().__init__(
            f"The computing process was ended from outside ({how_ended(exit_code)}), most often because memory ran "
            "out. Lower the batch size, the number of filters or the number of groups, and try again."
        )
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross to another process as itself: made from the exit code, not from the message."""
        return type(self), (self.exit_code,)


class ChildFailedError(PtychoPINNError, RuntimeError):
    """The computing process failed with an error that is not explained; its traceback is a note of this one."""

    def __init__(self, reason: str) -> None:
        """Explain.

        Args:
            reason: class and message of the error.
        """
        super().__init__(
            f"The computing process failed with {' '.join(reason.split())}. This is a fault of the program; the log "
            "has the place. Report it with the log, please."
        )
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross to another process as itself: made from the reason, not from the message."""
        return type(self), (self.reason,)


class TerminationRequest(KeyboardInterrupt):
    """The system asks the process to end, as a batch system does at its time limit."""


class ProcessLostError(TrainingError):
    """Another process of the same training ended; its own error says why."""


class InsufficientMemoryError(PtychoPINNError, MemoryError):
    """The device or the host has not enough memory."""

    def __init__(self, reason: str) -> None:
        """Explain.

        Args:
            reason: what the framework said.
        """
        super().__init__(
            f"Not enough memory: {reason.strip().rstrip('.')}. Lower batch_size, n_filters_scale or the number of "
            "groups."
        )
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross to another process as itself: made from the reason, not from the message."""
        return type(self), (self.reason,)


def how_ended(exit_code: int | None) -> str:
    """Return how a process ended.

    Args:
        exit_code: negative for a signal, as in `multiprocessing`.

    Returns:
        'exit code 3', or 'signal SIGKILL'.
    """
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"


def lack_of_memory(error: BaseException | None) -> InsufficientMemoryError | None:
    """Return what an error of Python or of the system means that says no memory is left.

    Args:
        error: any. The system says so by an OSError too, where it reads, for example, a folder of modules.

    Returns:
        The error that explains it; None for any other, and for one of ours, which explains itself.
    """
    said_by_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, PtychoPINNError) or not (said_by_system or isinstance(error, MemoryError)):
        return None
    return InsufficientMemoryError(str(error) or "none is left")


def sentence_of(error: Exception) -> str:
    """Return what went wrong in one sentence and a remedy, for errors of ours, of files and of memory.

    Args:
        error: a `PtychoPINNError`, OSError, MemoryError, or any other, whose own words are returned.

    Returns:
        The words, on one line.
    """
    explained = lack_of_memory(error) or error
    if isinstance(explained, OSError) and explained.strerror is not None:
        return f"'{explained.filename}': {explained.strerror}. Check the path, and that you may read and write there."
    return " ".join(str(explained).split())


@contextmanager
def warnings_passed_to(say: Callable[[str], None]) -> Iterator[None]:
    """Pass warnings on in one line each, without the place in the code; the same words once.

    Every program that ends at a person has this door: the command line leads to the terminal, the plugin to the log of
    Ptychodus. A script has Python's own.

    Args:
        say: takes the words.
    """
    said: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        words = " ".join(str(message).split())
        if words not in said:
            said.add(words)
            say(words)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ScanWarning)
        warnings.showwarning = show
        yield


@contextmanager
def warnings_about(where: object) -> Iterator[None]:
    """Name what the warnings meanwhile concern, where they do not name it themselves.

    Args:
        where: for example the file of a scan, one of several.

    Yields:
        Nothing.
    """
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        words = str(message)
        before(words if str(where) in words else f"{where}: {words}", category, *place, **more)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def nearest_name(name: str, valid_names: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the valid name nearest to `name`, whatever its case, or '' when none is near."""
    by_lower_case = {valid.lower(): valid for valid in valid_names}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower_case[matches[0]]}'?" if matches else ""
