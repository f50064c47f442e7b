"""What a generator is to every backend: a network as a function of its weights; the contract of third parties."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar, runtime_checkable

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.generators import ENTRY_POINT_GROUP
from ptychopinn_backend.errors import ConfigError

Tensor = TypeVar("Tensor")


@runtime_checkable
class Generator(Protocol[Tensor]):
    """What an entry point `<backend>.<architecture>` makes of a `ModelConfig`, the same for every backend."""

    def initial_weights(self, seed: int) -> dict[str, AnyArray]:
        """Return the starting weights.

        Args:
            seed: seed of the run; nothing else decides them.

        Returns:
            Canonical name -> float32 array.
        """
        ...

    def patches(self, inputs: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the object patches of a batch.

        Args:
            inputs: tensor of the framework (group, N, N, channel * maps). In TensorFlow its type is the type to compute
                in; PyTorch casts by itself where that is half precision.
            weights: canonical name -> float32 tensor of the shape of its starting weights.

        Returns:
            complex64 tensor (group, N, N, channel), or (group, N, N, 1) without object_big.
        """
        ...


@runtime_checkable
class StartsWithConvolution(Protocol):
    """A generator whose inputs are multiplied by one kernel and nothing else.

    A factor on the inputs can then be one on the kernel: fewer numbers, and its gradient needs none of the inputs.
    """

    first_kernel: str
    """Canonical name of the kernel."""


def third_party_generator(backend: str, model: ModelConfig, *others: type) -> Any:
    """Return what the entry point of a generator makes of a configuration.

    Args:
        backend: 'tensorflow' or 'pytorch'.
        model: the configuration; `Backend` has already refused names that no entry point has.
        *others: classes that are accepted too.

    Returns:
        A `Generator`, or an instance of those classes.

    Raises:
        ConfigError: it is neither.
    """
    (entry,) = entry_points(group=ENTRY_POINT_GROUP, name=f"{backend}.{model.architecture}")
    made = entry.load()(model)
    if not isinstance(made, (Generator, *others)):
        raise ConfigError(
            f"architecture = '{model.architecture}': '{entry.value}' makes a {type(made).__name__}, and a generator "
            "has the methods initial_weights(seed) and patches(inputs, weights). Correct the package that registers "
            "it, or choose another architecture."
        )
    return made
