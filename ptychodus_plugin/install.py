"""Puts our reconstructor library and its view into a running, unmodified Ptychodus."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

import wrapt

from ptychodus_plugin.host_names import (
    FORESIGHT_NAMES,
    LIBRARY_NAMES,
    TASK_NAMES,
    TESTED,
    VIEW_NAMES,
    host_version,
    what_is_missing,
)

logger = logging.getLogger(__name__)

LIBRARY_MODULE: Final = "ptychodus.model.core"
LIBRARY_NAME: Final = "PtychoPINNReconstructorLibrary"
TASK_MODULE: Final = "ptychodus.model.processing.api"
TASK_NAME: Final = "TrainBackgroundTask"
VIEW_MODULE: Final = "ptychodus.controller.core"
VIEW_NAME: Final = "PtychoPINNViewControllerFactory"
CONTROLLER_NAME: Final = "ProcessingController"


@cache
def install() -> None:
    """Make Ptychodus build our library, and our view once it builds a window; later calls change nothing.

    An exception here would stop the host application, so every failure is logged and leaves Ptychodus as it was.
    """
    wrapt.register_post_import_hook(_never_raising(_replace_library), LIBRARY_MODULE)
    wrapt.register_post_import_hook(_never_raising(_replace_view), VIEW_MODULE)


def _never_raising(replace: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def hook(module: ModuleType) -> None:
        try:
            replace(module)
        except Exception:
            logger.exception("PtychoPINN could not be put into Ptychodus, which goes on with its own.")

    return hook


def _replace_library(module: ModuleType) -> None:
    missing = what_is_missing(LIBRARY_NAMES)
    if missing:
        logger.warning(
            "ptychopinn-backend leaves Ptychodus %s unchanged: %s. It is tested with Ptychodus %s; install one "
            "of them, or a newer ptychopinn-backend.",
            host_version(),
            missing,
            " and ".join(TESTED),
        )
        return
    if _is_foreign(getattr(module, LIBRARY_NAME)):
        _tell_of_another(getattr(module, LIBRARY_NAME))
        return
    setattr(module, LIBRARY_NAME, import_module("ptychodus_plugin.library").PtychoPINNLibrary)
    _replace_task()


def _replace_task() -> None:
    """Let a training see the product that is chosen; a task of another plugin stays."""
    missing = what_is_missing(TASK_NAMES)
    if missing:
        logger.warning(
            "In Ptychodus %s PtychoPINN trains on the scans of a folder only, not on the chosen product: %s.",
            host_version(),
            missing,
        )
        return
    module = import_module(TASK_MODULE)
    if _is_foreign(getattr(module, TASK_NAME)):
        _tell_of_another(getattr(module, TASK_NAME))
        return
    setattr(module, TASK_NAME, import_module("ptychodus_plugin.train_task").TrainTask)


def _replace_view(module: ModuleType) -> None:
    """Replace the view where the library is ours: it would fail with any other while the window is built."""
    library = getattr(import_module(LIBRARY_MODULE), LIBRARY_NAME, None)
    if library is None or not library.__module__.startswith("ptychodus_plugin."):
        if library is not None and _is_foreign(library):
            _tell_of_another(library)
        return
    missing = what_is_missing(VIEW_NAMES)
    if missing:
        # The host's own widgets show the settings of our library that the host knows too.
        logger.warning(
            "ptychopinn-backend leaves the widgets of Ptychodus %s as they are: %s. Its own settings can be set in a "
            "settings file. It is tested with Ptychodus %s.",
            host_version(),
            missing,
            " and ".join(TESTED),
        )
        return
    if _is_foreign(getattr(module, VIEW_NAME)):
        _tell_of_another(getattr(module, VIEW_NAME))
        return
    setattr(module, VIEW_NAME, import_module("ptychodus_plugin.view").PtychoPINNViewFactory)
    _replace_controller(module)


def _replace_controller(module: ModuleType) -> None:
    """Let the form say what 'auto' would choose for the product in the list; a controller of another plugin stays."""
    missing = what_is_missing(FORESIGHT_NAMES)
    if missing:
        logger.warning(
            "In Ptychodus %s the form says what 'auto' chooses when a training begins, not before: %s.",
            host_version(),
            missing,
        )
    elif _is_foreign(getattr(module, CONTROLLER_NAME)):
        _tell_of_another(getattr(module, CONTROLLER_NAME))
    else:
        setattr(module, CONTROLLER_NAME, import_module("ptychodus_plugin.view.foresight").ForeseeingController)


def _is_foreign(found: type) -> bool:
    return not found.__module__.startswith(("ptychodus.model.", "ptychodus.controller.", "ptychodus_plugin."))


def _tell_of_another(found: type) -> None:
    logger.warning(
        "Another plugin has put %s.%s in the place of PtychoPINN in Ptychodus; it stays, and ptychopinn-backend is not "
        "used with it. Remove one of the two.",
        found.__module__,
        found.__qualname__,
    )
