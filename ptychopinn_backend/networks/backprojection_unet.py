"""Plan of the 'backprojection_unet' generator: a U-Net that is given the physics in its input.

Each pattern of a group is mapped by itself, with the same weights. Its input has three maps: the measured amplitude,
and real and imaginary part of its one-step back-projection through the probe (`physics.back_projection`). Four
resolutions with 8s, 16s, 32s, 64s maps (s = n_filters_scale), 3 x 3 convolutions with SiLU, skip connections,
nearest-neighbour up-sampling; the last layer starts at zero and the patch is 1 + r + i t, so that training starts from
vacuum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.networks.layers import Convolution

INPUT_MAPS: Final = 3
"""Amplitude, real and imaginary part of the back-projection."""
ENCODER_PREFIX: Final = "down"
"""Canonical names of the weights on the way down begin so."""
DEPTH: Final = 4
"""Resolutions, from N down to N / 8."""

Pair = tuple[Convolution, Convolution]


@dataclass(frozen=True)
class UnetPlan:
    """The whole network; `up[0]` works at the second lowest resolution."""

    down: tuple[Pair, ...]
    up: tuple[Pair, ...]
    last: Convolution

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Every convolution of the network."""
        return (*(layer for pair in (*self.down, *self.up) for layer in pair), self.last)


def _pair(prefix: str, in_maps: int, out_maps: int) -> Pair:
    return Convolution(f"{prefix}/conv0", in_maps, out_maps), Convolution(f"{prefix}/conv1", out_maps, out_maps)


def unet_plan(model: ModelConfig) -> UnetPlan:
    """Return the plan of the 'backprojection_unet' generator for a model configuration.

    Args:
        model: the configuration; N and gridsize do not change the weights, so they fit any pattern size.

    Returns:
        Layers with canonical names and map counts.
    """
    widths = [8 * model.n_filters_scale * 2**level for level in range(DEPTH)]
    down = [
        _pair(f"down{level}", INPUT_MAPS if level == 0 else widths[level - 1], widths[level]) for level in range(DEPTH)
    ]
    up = [_pair(f"up{level}", widths[level + 1] + widths[level], widths[level]) for level in reversed(range(DEPTH - 1))]
    return UnetPlan(tuple(down), tuple(up), Convolution("last", widths[0], 2, zero=True))
