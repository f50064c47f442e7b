"""Puts our reconstructor library and its view into a running, unmodified Ptychodus."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

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
from ptychopinn_backend.errors import sentence_of

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
    missing = what_is_missing(LIBRARY_NAMES) or _why_no_settings()
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
        _tell_of_another(getattr(module, LIBRARY_NAME), "PtychoPINN", "ptychopinn-backend is not used with it")
        return
    setattr(module, LIBRARY_NAME, import_module("ptychodus_plugin.library").PtychoPINNLibrary)
    wrapt.wrap_function_wrapper(module, "ModelCore.__exit__", _close_first)
    _replace_task()


def _why_no_settings() -> str:
    """Try, in a registry of its own, what would fail while the host starts."""
    try:
        registry = import_module("ptychodus.api.settings").SettingsRegistry()
        import_module("ptychodus_plugin.settings").LibrarySettings(registry)
    except Exception as error:
        return f"its settings cannot be extended, {sentence_of(error)}"
    return ""


def _close_first(leave: Callable[..., Any], core: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """End what computes before the host waits for it, with a window or without."""
    close = getattr(core.ptychopinn_reconstructor_library, "close", None)
    if close is not None:
        close()
    return leave(*args, **kwargs)


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
        _tell_of_another(
            getattr(module, TASK_NAME), "the task of a training", "PtychoPINN trains on the scans of a folder only"
        )
        return
    setattr(module, TASK_NAME, import_module("ptychodus_plugin.train_task").TrainTask)


def _replace_view(module: ModuleType) -> None:
    """Replace the view where the library is ours: it would fail with any other while the window is built."""
    library = getattr(import_module(LIBRARY_MODULE), LIBRARY_NAME, None)
    if library is None or not library.__module__.startswith("ptychodus_plugin."):
        if library is not None and _is_foreign(library):
            _tell_of_another(library, "PtychoPINN", "ptychopinn-backend is not used with it")
        return
    missing = what_is_missing(VIEW_NAMES)
    if missing:
        # The host's own widgets show the settings of our library that the host knows too.
        logger.warning(
            "ptychopinn-backend leaves the widgets of Ptychodus %s as they are: %s. Its own settings can be set in a "
            "settings file, and Stop waits for the epoch under way. It is tested with Ptychodus %s.",
            host_version(),
            missing,
            " and ".join(TESTED),
        )
        return
    if _is_foreign(getattr(module, VIEW_NAME)):
        _tell_of_another(
            getattr(module, VIEW_NAME), "the form of PtychoPINN", "shows what it knows of ptychopinn-backend's library"
        )
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
        _tell_of_another(
            getattr(module, CONTROLLER_NAME),
            "the Processing view",
            "the form says what 'auto' chooses when a training begins, not before",
        )
    else:
        setattr(module, CONTROLLER_NAME, import_module("ptychodus_plugin.view.foresight").ForeseeingController)


def _is_foreign(found: type) -> bool:
    # Plugins of the host, and they alone, are modules of this package that others write.
    name = f"{found.__module__}."
    return name.startswith("ptychodus.plugins.") or not name.startswith(("ptychodus.", "ptychodus_plugin."))


def _tell_of_another(found: type, place: str, then: str) -> None:
    logger.warning(
        "Another plugin has put %s.%s in the place of %s in Ptychodus; it stays, and %s. Remove one of the two.",
        found.__module__,
        found.__qualname__,
        place,
        then,
    )
