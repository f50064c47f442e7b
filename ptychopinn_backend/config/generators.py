"""Names of the generators (networks from diffraction patterns to object patches) and the backends that offer each.

Only names live here, so that asking which generators exist imports no framework; a backend maps them to its networks.
A third party adds a generator with an entry point in the group `ptychopinn_backend.config.generators`, named
`<backend>.<architecture>` (for example `pytorch.my_net = my_package:build`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Final

ENTRY_POINT_GROUP: Final = "ptychopinn_backend.generators"


@dataclass(frozen=True)
class GeneratorTraits:
    """What the rest of the system must know of a generator."""

    backends: tuple[str, ...]
    """Backends that train it; see `offers` for the one that only predicts."""
    back_projection: bool = False
    """Its input carries the back-projection of every pattern through the probe; probes are normalised to the power of a
    pattern, so that vacuum is 1, and overlapping patches are averaged by probe intensity."""
    halves_resolution: bool = False
    """Its maps have half the side after every one of `fno_blocks` blocks but the last."""


BUILTIN_GENERATORS: Final[dict[str, GeneratorTraits]] = {
    "cnn": GeneratorTraits(("tensorflow", "pytorch")),
    "backprojection_unet": GeneratorTraits(("tensorflow", "pytorch"), back_projection=True),
    "fno": GeneratorTraits(("pytorch",)),
    "ffno": GeneratorTraits(("pytorch",)),
    "hybrid": GeneratorTraits(("pytorch",), halves_resolution=True),
    "hybrid_resnet": GeneratorTraits(("pytorch",), halves_resolution=True),
    "fno_vanilla": GeneratorTraits(("pytorch",)),
}
CNN_OPTIONS: Final = (
    "batch_norm",
    "eca_encoder",
    "cbam_encoder",
    "cbam_bottleneck",
    "cbam_decoder",
    "eca_decoder",
    "spatial_decoder",
)
"""Fields of `ModelConfig` that add layers to 'cnn'; other generators have no such layers and ignore them."""
CNN_OPTION_BACKENDS: Final[dict[str, tuple[str, ...]]] = {
    name: ("pytorch",) if name == "batch_norm" else ("tensorflow", "pytorch") for name in CNN_OPTIONS
}
"""Backends that train with each of them; the one that only predicts has them all."""


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
    """Return the backends that train `architecture`; empty for an unknown name."""
    builtin = BUILTIN_GENERATORS[architecture].backends if architecture in BUILTIN_GENERATORS else ()
    return (*builtin, *_third_party().get(architecture, ()))


def uses_back_projection(architecture: str) -> bool:
    """Return whether a generator is given the back-projection of every pattern; see `GeneratorTraits`."""
    return architecture in BUILTIN_GENERATORS and BUILTIN_GENERATORS[architecture].back_projection


def halves_resolution(architecture: str) -> bool:
    """Return whether a generator halves its maps between blocks; see `GeneratorTraits`."""
    return architecture in BUILTIN_GENERATORS and BUILTIN_GENERATORS[architecture].halves_resolution


def offers(backend: str, architecture: str) -> bool:
    """Return whether a backend offers a generator; that of ONNX Runtime predicts with every built-in one."""
    return backend in backends_of(architecture) or (backend == "onnx" and architecture in BUILTIN_GENERATORS)


def generators_of(backend: str) -> tuple[str, ...]:
    """Return the names of the generators a backend offers, built-in ones first."""
    return tuple(name for name in generator_names() if offers(backend, name))
