"""Names of the generators (networks from diffraction patterns to object patches) and the backends that offer each.

Only names live here, so that asking which generators exist imports no framework; a backend maps them to its networks.
A third party adds a generator with an entry point in the group `ptychopinn_backend.generators`, named
`<backend>.<architecture>` (for example `pytorch.my_net = my_package:build`).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Final

ENTRY_POINT_GROUP: Final = "ptychopinn_backend.generators"

BUILTIN_GENERATORS: Final[dict[str, tuple[str, ...]]] = {
    "cnn": ("tensorflow", "pytorch"),
}


@cache
def _third_party() -> dict[str, tuple[str, ...]]:
    offered: dict[str, tuple[str, ...]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        backend, _, architecture = entry.name.partition(".")
        offered[architecture] = (*offered.get(architecture, ()), backend)
    return offered


def generator_names() -> tuple[str, ...]:
    """Return the names of all generators, built-in ones first."""
    return (*BUILTIN_GENERATORS, *(name for name in _third_party() if name not in BUILTIN_GENERATORS))


def backends_of(architecture: str) -> tuple[str, ...]:
    """Return the backends that offer `architecture`; empty for an unknown name."""
    return (*BUILTIN_GENERATORS.get(architecture, ()), *_third_party().get(architecture, ()))
