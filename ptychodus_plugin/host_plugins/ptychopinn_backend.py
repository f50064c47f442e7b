"""The module Ptychodus discovers, as `ptychodus.plugins.ptychopinn_backend`; see `ptychodus_plugin.discovery`.

It imports at its top what must be there, because Ptychodus skips a plugin module that raises ModuleNotFoundError on
import but does not survive one raised later.
"""

from __future__ import annotations

from typing import Any

from ptychodus_plugin.install import install


def register_plugins(registry: Any) -> None:
    """Let Ptychodus use our reconstructor library; called once by its plugin loader.

    Args:
        registry: file readers and writers of the host, to which nothing is added.
    """
    install()
