"""Bad input given in Ptychodus; the host shows the message in its window."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ptychodus.api.settings import SettingsRegistry

from ptychodus_plugin.configuration import require_model, train_payload
from ptychodus_plugin.devices import visible_environment
from ptychodus_plugin.product_checks import check_patterns
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.seam.child_process import ChildProcess, ParentLink

from .workshop import Case, text


def _train(values: dict[tuple[str, str], object], folder: str = ".") -> Callable[[], object]:
    def train() -> object:
        settings = LibrarySettings(SettingsRegistry())
        for (title, key), value in values.items():
            next(table for table in settings.tables if table.title == title).parameter(key).set_value(value)
        return train_payload(settings, "pinn", Path(folder), Path("out"))

    return train


def killed(host: ParentLink) -> None:
    """End this process as a system without memory does."""
    os.kill(os.getpid(), signal.SIGKILL)


def _child() -> object:
    child = ChildProcess(killed)
    try:
        return list(child.messages())
    finally:
        child.end()


CASES = (
    Case("The system kills the computing process", call=_child, expected="signal SIGKILL"),
    Case("Infer without a model", call=partial(require_model, None), expected="No PtychoPINN model is loaded"),
    Case(
        "A foreign file is loaded as a model",
        call=partial(read_metadata, "model.zip"),
        spoil=text("model.zip", "hello"),
        expected="seems to be a text file",
    ),
    Case("Train in a folder without data", call=_train({}, "model"), expected="holds no training data"),
    Case(
        "Visible devices are chosen where all are hidden",
        call=partial(visible_environment, "0", {"CUDA_VISIBLE_DEVICES": ""}),
        expected="hides every device",
    ),
    Case("The patterns are not square", call=partial(check_patterns, (9, 64, 60), 64, 1), expected="needs square ones"),
    Case("The patterns have an unusual size", call=partial(check_patterns, (9, 60, 60), 64, 1), expected="takes 32"),
    Case("The model is for another size", call=partial(check_patterns, (9, 64, 64), 32, 1), expected="loaded model"),
    Case("The scan is too small for a group", call=partial(check_patterns, (3, 64, 64), 64, 2), expected="at least 4"),
    Case(
        "The settings name an unknown backend",
        call=_train({("Model", "Backend"): "jax"}),
        expected="Backend 'jax' from the setting",
    ),
    Case(
        "The environment names an unknown backend",
        call=_train({}),
        environment="PTYCHOPINN_BACKEND=jax",
        expected="environment variable",
    ),
    Case("The settings name an unknown preset", call=_train({("Model", "Preset"): "fats"}), expected="'fast'"),
    Case("The batch size is no power of two", call=_train({("Training", "BatchSize"): 3}), expected="power of two"),
    Case(
        "The settings name an unknown optimiser",
        call=_train({("Training", "Optimizer"): "adamm"}),
        expected="Did you mean 'adam'",
    ),
)
