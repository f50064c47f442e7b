"""Puts our reconstructor library and its view into a running, unmodified Ptychodus."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Final

import wrapt

logger = logging.getLogger(__name__)

SUPPORTED: Final = ">=1.7,<1.8"
LIBRARY_MODULE: Final = "ptychodus.model.core"
LIBRARY_NAME: Final = "PtychoPINNReconstructorLibrary"
VIEW_MODULE: Final = "ptychodus.controller.core"
VIEW_NAME: Final = "PtychoPINNViewControllerFactory"


@cache
def install() -> bool:
    """Make Ptychodus build our library, and our view once it builds a window; later calls change nothing.

    An exception here would stop the host application, so every failure is logged and leaves Ptychodus as it was.

    Returns:
        Whether the installed Ptychodus is supported.
    """
    host_version = _host_version()
    if host_version.split(".")[:2] != ["1", "7"]:
        logger.warning(
            "ptychopinn-backend supports Ptychodus %s; version %s is left unchanged. Install a supported version "
            "with: pip install 'ptychodus%s'",
            SUPPORTED,
            host_version,
            SUPPORTED,
        )
        return False
    wrapt.register_post_import_hook(_replace_library, LIBRARY_MODULE)
    wrapt.register_post_import_hook(_replace_view, VIEW_MODULE)
    return True


def _host_version() -> str:
    try:
        return version("ptychodus")
    except PackageNotFoundError:
        return "unknown"


def _replace_library(module: ModuleType) -> None:
    _replace(module, LIBRARY_NAME, "ptychodus_plugin.library", "PtychoPINNLibrary")


def _replace_view(module: ModuleType) -> None:
    _replace(module, VIEW_NAME, "ptychodus_plugin.view", "PtychoPINNViewFactory")


def _replace(module: ModuleType, name: str, our_module: str, our_name: str) -> None:
    try:
        if not hasattr(module, name):
            raise AttributeError(f"{module.__name__} has no {name}")
        setattr(module, name, getattr(import_module(our_module), our_name))
    except Exception:
        logger.exception("%s could not be put into Ptychodus, which goes on with its own %s.", our_name, name)
