"""What `ptycho-train` and `ptycho-inference` do around a command of this package: its words, a log, pictures."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from ptychopinn_backend.data.decisions import LOGGER
from ptychopinn_backend.errors import ConfigError

_PACKAGE: Final = "ptychopinn_backend"
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_NAME: Final = Path("logs") / "debug.log"


def run_command(words: Sequence[str], *, quiet: bool) -> int:
    """Say what command does the same, and run it.

    Args:
        words: after 'ptychopinn', the name of the command first.
        quiet: say nothing.

    Returns:
        Exit code.
    """
    words = [*words, *(["--quiet"] if quiet else [])]
    if not quiet:
        click.echo(f"The same: ptychopinn {shlex.join(words)}", err=True)
    name, *arguments = words
    command: click.Command = import_module(f"ptychopinn_backend.cli.{name}").command
    # Processes that train together run these words, which the root of the context holds.
    code = command.main(args=arguments, prog_name=f"ptychopinn {name}", standalone_mode=False, obj=words)
    return code if isinstance(code, int) else 0


@contextmanager
def debug_log(folder: Path, flags: Mapping[str, Any], *, verbose: bool = False) -> Iterator[None]:
    """Write everything the package logs into `logs/debug.log`; the terminal shows what it showed before, or as asked.

    Args:
        folder: of the results.
        flags: of the command; 'verbose' and 'console_level' are looked at.
        verbose: show more, whatever the flags say.

    Yields:
        Nothing.

    Raises:
        ConfigError: the level is none.
        OSError: the log cannot be written.
    """
    package, decisions = logging.getLogger(_PACKAGE), logging.getLogger(LOGGER)
    level = _console_level(flags, verbose) or package.getEffectiveLevel()
    shown = {name: min(level, logging.INFO) if name == LOGGER else level for name in (_PACKAGE, LOGGER)}

    def is_shown(record: logging.LogRecord) -> bool:
        if not record.name.startswith(_PACKAGE):
            return True
        return record.levelno >= shown.get(record.name, level)

    log = folder / LOG_NAME
    log.parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(log, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = package.level, decisions.level
    consoles = list(logging.getLogger().handlers)
    for console in consoles:
        console.addFilter(is_shown)
    package.addHandler(file)
    package.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        package.removeHandler(file)
        file.close()
        package.setLevel(before[0])
        decisions.setLevel(before[1])
        for console in consoles:
            console.removeFilter(is_shown)


def save_pictures(folder: Path, since_s: float, results: Mapping[str, Any], flags: Mapping[str, Any]) -> list[Path]:
    """Write `reconstructed_amplitude.png` and `reconstructed_phase.png` beside every reconstruction of this run.

    Args:
        folder: of the results, or of the folders of several objects.
        since_s: when the run began; older reconstructions are of another run.
        results: what concerns the reconstruction; 'window' pixels are cut from every edge.
        flags: of the command; 'phase_vmin' and 'phase_vmax' limit the colours of the phase, in radians.

    Returns:
        The pictures.

    Raises:
        ConfigError: a limit is no number.
        DataError: the window leaves nothing.
    """
    from ptychopinn_backend.evaluation.figures import save_amplitude_and_phase
    from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

    limits = tuple(_number(name, flags.get(name)) for name in ("phase_vmin", "phase_vmax"))
    written = []
    for file in sorted((*folder.glob("reconstruction.npz"), *folder.glob("*/reconstruction.npz"))):
        if file.stat().st_mtime >= since_s:
            shown = Reconstruction.load_npz(file).without_edge(results.get("window", 0))
            written += save_amplitude_and_phase(shown, file.parent, (limits[0], limits[1]))
    return written


def now_s() -> float:
    """Return the time of the clock that stamps files, less what it may be coarse by."""
    return time.time() - 2.0


def _console_level(flags: Mapping[str, Any], verbose: bool) -> int | None:
    named = flags.get("console_level")
    if named is not None:
        name = str(named).upper()
        if name not in _LEVELS:
            raise ConfigError(f"--console-level {named} is not one of {', '.join(_LEVELS)}. Choose one of them.")
        return int(getattr(logging, name))
    return logging.INFO if verbose or flags.get("verbose") else None


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"--{name} {value} must be a number of radians. Write for example --{name} -1.5.")
    return float(value)
