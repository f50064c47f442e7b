"""Readers of other packages, found by entry points; none of them is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
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
    """Return the names of all providers that are registered."""
    return sorted(point.name for point in entry_points(group=PROVIDERS))


def is_installed(name: str) -> bool:
    """Return whether what a provider needs is there, without importing it.

    Args:
        name: of the provider. Those of this package are named after the package whose readers they are.

    Returns:
        True for providers of other packages.
    """
    points = [point for point in entry_points(group=PROVIDERS) if point.name == name]
    ours = any(point.dist is not None and point.dist.name == "ptychopinn-backend" for point in points)
    return not ours or find_spec(name) is not None
