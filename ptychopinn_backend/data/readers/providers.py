"""Readers of other packages, found by entry points; none of them is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol

from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.readers.parts import OpenedScan
from ptychopinn_backend.errors import ConfigError

PROVIDERS: Final = "ptychopinn_backend.readers"
"""Entry points of other packages that read further formats, named 'PROVIDER:NAME'."""


class Provider(Protocol):
    """Readers of another package."""

    def names(self) -> Mapping[str, str]:
        """Return name -> what it reads."""

    def open_scan(self, name: str, path: Path, reading: Reading) -> OpenedScan:
        """Read a scan with one of them."""


def provided(name: str) -> Provider:
    """Return the readers of another package.

    Args:
        name: of the provider, what stands before the ':' of a reader.

    Returns:
        The provider.

    Raises:
        ConfigError: there is none of that name, or its package is not installed.
    """
    known = {point.name: point for point in entry_points(group=PROVIDERS)}
    if name not in known:
        raise ConfigError(
            f"reader = '{name}:...' needs a package that provides '{name}', and none is installed. Install it, or name "
            "a format of 'ptychopinn formats'."
        )
    try:
        provider: Provider = known[name].load()()
    except ImportError as error:
        raise ConfigError(
            f"reader = '{name}:...' needs the package {name} ({error}). Install ptychopinn-backend[{name}]."
        ) from error
    return provider


def provider_names() -> list[str]:
    """Return the names of all providers that are installed."""
    return sorted(point.name for point in entry_points(group=PROVIDERS))
