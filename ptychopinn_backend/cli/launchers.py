"""Programs with the names of the original commands; a wheel cannot tie scripts to an extra, nor spare a name."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.files.atomic_file import atomic_file

LAUNCHERS: Final = {"ptycho_train": "ptycho-train", "ptycho_inference": "ptycho-inference"}
"""Name -> command of `ptychopinn`."""
_MARK: Final = "written by 'ptychopinn legacy-commands'"
_LONGEST: Final = 4096


def install_launchers(folder: Path | None = None) -> list[Path]:
    """Write the programs.

    Args:
        folder: where; None takes the folder of scripts of the environment.

    Returns:
        The files.

    Raises:
        ConfigError: something else owns one of the names; then none is written.
        OSError: the folder cannot be written.
    """
    target = _scripts() if folder is None else folder
    files = {target / _file_name(name): (name, command) for name, command in LAUNCHERS.items()}
    for file, (name, _) in files.items():
        _require_free(file, name)
    target.mkdir(parents=True, exist_ok=True)
    for file, (_, command) in files.items():
        with atomic_file(file) as stream:
            stream.write(_program(command).encode())
        file.chmod(0o755)
    return list(files)


def remove_launchers(folder: Path | None = None) -> list[Path]:
    """Remove the programs that `install_launchers` wrote; those of others stay.

    Args:
        folder: where; None takes the folder of scripts of the environment.

    Returns:
        The files that are gone.
    """
    target = _scripts() if folder is None else folder
    files = [file for name in LAUNCHERS if _is_ours(file := target / _file_name(name))]
    for file in files:
        file.unlink()
    return files


def _require_free(file: Path, name: str) -> None:
    if file.exists() and not _is_ours(file):
        raise ConfigError(
            f"'{file}' is a command of something else. Uninstall that, or name another place with --folder."
        )
    owners = [entry.dist.name for entry in entry_points(group="console_scripts", name=name) if entry.dist is not None]
    if owners:
        raise ConfigError(f"'{name}' is a command of the installed package {owners[0]}. Uninstall that first.")
    elsewhere = shutil.which(name)
    if elsewhere is not None and Path(elsewhere) != file and not _is_ours(Path(elsewhere)):
        raise ConfigError(
            f"'{name}' is a command already, at '{elsewhere}', and which of the two would run depends on PATH. Remove "
            "that one first."
        )


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _MARK.encode() in stream.read(_LONGEST)
    except OSError:
        return False


def _scripts() -> Path:
    return Path(sysconfig.get_path("scripts"))


def _file_name(name: str) -> str:
    return f"{name}.cmd" if os.name == "nt" else name


def _program(command: str) -> str:
    call = f"import sys; from ptychopinn_backend.cli import main; sys.exit(main(['{command}', *sys.argv[1:]]))"
    if os.name == "nt":
        return f'@rem {_MARK}\r\n@"{sys.executable}" -c "{call}" %*\r\n'
    return f'#!/bin/sh\n# {_MARK}\nexec {shlex.quote(sys.executable)} -c {shlex.quote(call)} "$@"\n'
