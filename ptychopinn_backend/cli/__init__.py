"""Command line `ptychopinn`; one module per command, imported only when the command runs."""

from ptychopinn_backend.cli.main import main

__all__ = ["main"]
