"""Files that MLflow runs keep in a store on disk, found by the number of the run; needs no MLflow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ptychopinn_backend.errors import ConfigError

STORE: Final = "mlruns"
"""Folder of a store."""
MODEL_FOLDER: Final = "model"
"""Folder of the model among what a run keeps."""
TRACKING_VARIABLE: Final = "MLFLOW_TRACKING_URI"
_SCHEME: Final = "runs:"
_RUN: Final = re.compile(r"runs:/+(?P<run>[0-9a-f]{32})(/.*)?")
_LEVELS: Final = 4
"""Folders below the working folder that are looked into for stores."""


def names_run(path: str | Path) -> bool:
    """Return whether a path is the name of a run, as in 'runs:/0123456789abcdef0123456789abcdef'."""
    return str(path).startswith(_SCHEME)


def logged_file(uri: str | Path, name: str) -> Path:
    """Return a file that a run keeps with its model.

    Args:
        uri: 'runs:/<id>', with or without a place below it.
        name: of the file.

    Returns:
        Its path. Stores are sought where `MLFLOW_TRACKING_URI` says, and in folders 'mlruns' of the working folder and
        of up to three folders below it.

    Raises:
        ConfigError: it is no such name, no store has the run, or the run keeps no model.
    """
    match = _RUN.fullmatch(str(uri))
    if match is None:
        raise ConfigError(
            f"{str(uri)!r} names no run of MLflow. Write runs:/ and the 32 digits of its number, as in "
            "'runs:/0123456789abcdef0123456789abcdef'."
        )
    run = match["run"]
    found = [folder for store in _stores() for folder in store.glob(f"*/{run}") if folder.is_dir()]
    if not found:
        raise ConfigError(
            f"No store has the run {run}: looked for '{STORE}' in the working folder and three levels below it, and "
            f"for {TRACKING_VARIABLE}{_said()}. Go to the folder of the training, or set {TRACKING_VARIABLE} to the "
            "folder of the store."
        )
    files = [folder / "artifacts" / MODEL_FOLDER / name for folder in found]
    for file in files:
        if file.is_file():
            return file
    raise ConfigError(
        f"The run {run} keeps no model ({files[0]} is missing): its training has not come to its end, or was logged "
        "by another program. Name the archive itself."
    )


def _stores() -> Iterator[Path]:
    stated = os.environ.get(TRACKING_VARIABLE, "")
    parts = urlsplit(stated)
    if stated and parts.scheme in ("", "file"):
        yield Path(url2pathname(parts.path)) if parts.scheme else Path(stated)
    for level in range(_LEVELS):
        yield from sorted(Path.cwd().glob("*/" * level + STORE))


def _said() -> str:
    stated = os.environ.get(TRACKING_VARIABLE)
    return ", which is not set" if not stated else f" = '{stated}'"
