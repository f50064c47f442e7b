"""`python -m ptychodus_plugin` is `ptychodus` with the plugin, also where Python reads no .pth files (PYTHONPATH)."""

from __future__ import annotations

import sys
from importlib import import_module

import ptychodus_plugin.discovery  # noqa: F401 - for its effect

if __name__ == "__main__":
    sys.exit(import_module("ptychodus.__main__").main())
