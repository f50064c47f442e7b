"""The terms of the training loss, in one table for the NumPy reference and every backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.physics.loss_formulas import (
    Array,
    ArrayOperations,
    LossInputs,
    amplitude_mae,
    amplitude_mse,
    complex_mae,
    mean_deviation,
    normalised_amplitude_mae,
    poisson_nll,
    total_variation,
)

Need: TypeAlias = Literal["far field", "labels", "patches"]
"""Data that a term needs beside the patches: the measured counts, the labels, or nothing."""


@dataclass(frozen=True)
class LossTerm:
    """One row of the table of loss terms."""

    name: str
    """Name of the term in histories and results."""
    needs: Need
    """Data that a batch must have for the term."""
    weight: Callable[[TrainingConfig], float]
    """Weight of the term in a configuration of model type 'pinn'; a term of weight 0 is not computed."""
    formula: Callable[[ArrayOperations[Any], LossInputs[Any]], Any]
    """Value of the term for a batch, a scalar."""


NORMALISED: Final = LossTerm("normalised", "far field", lambda _: 0.0, normalised_amplitude_mae)
"""Term that a training with stages blends with the weighted sum of the other terms; see `total_loss`."""

LOSS_TERMS: Final[tuple[LossTerm, ...]] = (
    # The legacy torch_loss_mode 'mae' exchanges the first two weights.
    LossTerm("nll", "far field", lambda c: c.mae_weight if c.torch_loss_mode == "mae" else c.nll_weight, poisson_nll),
    LossTerm("mae", "far field", lambda c: c.nll_weight if c.torch_loss_mode == "mae" else c.mae_weight, amplitude_mae),
    LossTerm("mse", "far field", lambda c: c.mse_weight, amplitude_mse),
    LossTerm("realspace_mae", "labels", lambda c: c.realspace_weight * c.realspace_mae_weight, complex_mae),
    LossTerm("tv", "patches", lambda c: c.realspace_weight * c.tv_weight, total_variation),
    LossTerm("mean_deviation", "patches", lambda c: c.realspace_weight * c.mean_deviation_weight, mean_deviation),
    NORMALISED,
)
"""All terms. A new term needs a row here and its formula."""
SUPERVISED_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({"realspace_mae": 1.0})
"""Weights of model type 'supervised', which trains only on the labels."""


@dataclass(frozen=True)
class LossWeights:
    """Composition of the loss of a configuration."""

    by_name: Mapping[str, float]
    """Weight of each term by its name, above 0."""
    is_staged: bool = False
    """Whether the sum is blended with the normalised amplitude error; see `total_loss`."""

    @property
    def terms(self) -> tuple[LossTerm, ...]:
        """The terms to compute."""
        return tuple(term for term in LOSS_TERMS if self._computes(term))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms to compute, and 'loss'."""
        return (*(term.name for term in self.terms), "loss")

    @property
    def needs_labels(self) -> bool:
        """Whether a batch must have Y."""
        return any(term.needs == "labels" for term in self.terms)

    @property
    def needs_far_field(self) -> bool:
        """Whether the loss compares with the measured counts."""
        return any(term.needs == "far field" for term in self.terms)

    def _computes(self, term: LossTerm) -> bool:
        return term.name in self.by_name or (term is NORMALISED and self.is_staged)


def loss_weights(training: TrainingConfig) -> LossWeights:
    """Return the weights of the loss terms in a configuration.

    The terms are added without further factors. At the noise floor, the gradients of the Poisson likelihood and of the
    squared amplitude error per pixel have the same size, so no hidden factor is needed.

    Args:
        training: training options.

    Returns:
        The weights.

    Raises:
        ConfigError: every weight is 0.
    """
    if training.model.model_type == "supervised":
        return LossWeights(SUPERVISED_WEIGHTS)
    weights = {term.name: weight for term in LOSS_TERMS if (weight := term.weight(training)) > 0}
    if not weights:
        raise ConfigError(
            "All loss weights are 0, so there is nothing to train for. Set nll_weight or mse_weight to 1."
        )
    return LossWeights(MappingProxyType(weights), training.is_staged)


def loss_terms(
    operations: ArrayOperations[Array], inputs: LossInputs[Array], weights: LossWeights, physics_weight: Any = 1.0
) -> dict[str, Array]:
    """Return every active loss term, and their weighted sum as 'loss'.

    Args:
        operations: array operations of NumPy or of a framework.
        inputs: inputs of the terms.
        weights: weights of the terms.
        physics_weight: weight of the configured loss in a training with stages; see `total_loss`.

    Returns:
        Value of each term by its name, a scalar.
    """
    terms: dict[str, Array] = {term.name: term.formula(operations, inputs) for term in weights.terms}
    terms["loss"] = total_loss(terms, weights, physics_weight)
    return terms


def total_loss(terms: Mapping[str, Any], weights: LossWeights, physics_weight: Any) -> Any:
    """Return w * (weighted sum of the terms) + (1 - w) * normalised amplitude error; without stages only the sum.

    Args:
        terms: scalar value of each term by its name, of NumPy or of a framework. In a training with stages it includes
            'normalised'.
        weights: weights of the terms.
        physics_weight: w in [0, 1]; see `schedule.physics_weight`.

    Returns:
        The loss, a scalar of the same kind.
    """
    configured = sum(weight * terms[name] for name, weight in weights.by_name.items())
    if not weights.is_staged:
        return configured
    return physics_weight * configured + (1 - physics_weight) * terms[NORMALISED.name]
