"""Command line `ptychopinn`; one module a command, imported only when it runs."""

from ptychopinn_backend.cli.main import main

__all__ = ["main"]
