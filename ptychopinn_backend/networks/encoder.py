"""Which weights of a generator are its encoder: those that fine-tuning leaves as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ptychopinn_backend.errors import UnsupportedOptionError
from ptychopinn_backend.networks import backprojection_unet, cnn

PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {"cnn": cnn.ENCODER_PREFIX, "backprojection_unet": backprojection_unet.ENCODER_PREFIX}
)
"""Generator -> how the canonical names of its encoder's weights begin."""
DEFAULT_PREFIX: Final = "encoder/"
"""For every other generator, those of third parties included."""


def encoder_weights(architecture: str, names: Iterable[str]) -> frozenset[str]:
    """Return the weights of a generator that belong to its encoder.

    Args:
        architecture: name of the generator.
        names: canonical names of all its weights.

    Returns:
        Those of the encoder, at least one.

    Raises:
        UnsupportedOptionError: the generator has no encoder.
    """
    prefix = PREFIXES.get(architecture, DEFAULT_PREFIX)
    found = frozenset(name for name in names if name.startswith(prefix))
    if not found:
        raise UnsupportedOptionError(
            f"epochs_fine_tune freezes the encoder, and architecture = '{architecture}' has none (no weight is called "
            f"'{prefix}...'). Set epochs_fine_tune to 0, or choose another architecture."
        )
    return found
