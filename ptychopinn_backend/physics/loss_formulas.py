"""The formulas of the loss terms. They are written once, on a few array operations of NumPy and every framework.

Images are (group, row, column, channel) or (group, channel, row, column). `ArrayOperations.image_axes` gives the axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np

from ptychopinn_backend.arrays import AnyArray

INTENSITY_FLOOR: Final = 1e-6
"""Counts that are added to a predicted intensity inside the logarithm, so that its argument is not 0."""
MODULUS_FLOOR: Final = 1e-12
"""Number that is added under the square root of a squared modulus, so that its gradient stays finite at 0."""


class _RealArray(Protocol):
    @property
    def shape(self) -> Any: ...
    def __getitem__(self, index: Any, /) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...


Array = TypeVar("Array", bound=_RealArray)


@dataclass(frozen=True)
class ArrayOperations(Generic[Array]):
    """Operations of NumPy or of a framework that the formulas need, in addition to the operators of Python."""

    image_axes: tuple[int, int]
    """Axes of rows and columns: (1, 2) with channels last, (2, 3) with channels first."""
    sqrt: Callable[[Array], Array]
    log: Callable[[Array], Array]
    absolute: Callable[[Array], Array]
    square: Callable[[Array], Array]
    mean: Callable[[Array], Array]
    """Mean of all values, a scalar."""
    mean_along: Callable[[Array, tuple[int, ...]], Array]
    """Mean along some axes, which stay with length 1."""
    sum_along: Callable[[Array, tuple[int, ...]], Array]
    """Sum along some axes, which stay with length 1."""
    broadcast: Callable[[Array, Array], Array]
    """Returns the first array, repeated to the shape of the second."""
    poisson_terms: Callable[[Array, Array], Array] | None = None
    """A faster form of the function `poisson_terms`; None uses the function."""


NUMPY: Final = ArrayOperations[AnyArray](
    image_axes=(1, 2),
    sqrt=np.sqrt,
    log=np.log,
    absolute=np.abs,
    square=np.square,
    mean=lambda values: np.asarray(np.mean(values)),
    mean_along=lambda values, axes: np.asarray(np.mean(values, axis=axes, keepdims=True)),
    sum_along=lambda values, axes: np.asarray(np.sum(values, axis=axes, keepdims=True)),
    broadcast=lambda values, like: np.broadcast_to(values, like.shape),
)
"""The operations of NumPy, which are the reference."""


@dataclass(frozen=True)
class LossInputs(Generic[Array]):
    """Inputs of the loss terms of a batch; an input that no active term needs may be None."""

    patches: tuple[Array, Array]
    """Real and imaginary part of the consistent patches."""
    intensity: Array | None = None
    """Predicted far-field intensity, counts."""
    target: Array | None = None
    """Measured far-field amplitude, square root of counts."""
    valid: Array | None = None
    """Weight of every detector pixel, broadcastable to the intensity; None gives all pixels the same weight."""
    labels: tuple[Array, Array] | None = None
    """Real and imaginary part of the labels."""
    label_window: Array | None = None
    """Weight of every patch pixel in the error to the labels, broadcastable to the patches; None gives all the same."""

    @property
    def far_field(self) -> tuple[Array, Array]:
        """Predicted intensity in counts, and measured amplitude in square roots of counts."""
        if self.intensity is None or self.target is None:
            raise AssertionError("the loss compares with the measured counts, and the far field is not there")
        return self.intensity, self.target


def weighted_mean(operations: ArrayOperations[Array], values: Array, weights: Array | None) -> Array:
    """Return the mean over groups of sum(weights * values) / sum(weights) of each group; all groups count the same.

    Args:
        operations: operations for this kind of array.
        values: values (group, ...).
        weights: weights, broadcastable to the values; None stands for ones.

    Returns:
        The mean, a scalar. For a batch it is the mean over its parts.
    """
    if weights is None:
        return operations.mean(values)
    axes = tuple(range(1, len(values.shape)))
    total_weight = operations.sum_along(operations.broadcast(weights, values), axes)
    return operations.mean(operations.sum_along(values * weights, axes) / total_weight)


def poisson_terms(operations: ArrayOperations[Array], intensity: Array, counts: Array) -> Array:
    """Return p - t log(p) of every pixel, in counts; the constant log(t!) is left out.

    Args:
        operations: operations for this kind of array.
        intensity: predicted intensity p.
        counts: measured counts t, same shape.

    Returns:
        Terms of the same shape.
    """
    terms: Array = intensity - counts * operations.log(intensity + INTENSITY_FLOOR)
    return terms


def poisson_nll(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    """Return the Poisson negative log-likelihood of the far-field intensity, the mean of p - t log(p) in counts.

    Args:
        operations: operations for this kind of array.
        inputs: the far field and its valid pixels.

    Returns:
        The loss term, a scalar.
    """
    intensity, target = inputs.far_field
    counts = operations.square(target)
    if operations.poisson_terms is None:
        terms = poisson_terms(operations, intensity, counts)
    else:
        terms = operations.poisson_terms(intensity, counts)
    return weighted_mean(operations, terms, inputs.valid)


def amplitude_mae(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    """Return the mean absolute error of the far-field amplitude, in square roots of counts.

    Args:
        operations: operations for this kind of array.
        inputs: the far field and its valid pixels.

    Returns:
        The loss term, a scalar.
    """
    return weighted_mean(operations, operations.absolute(_amplitude_error(operations, inputs)), inputs.valid)


def amplitude_mse(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    """Return the mean squared error of the far-field amplitude, in counts; photon noise gives 1/4 in every pixel.

    Args:
        operations: operations for this kind of array.
        inputs: the far field and its valid pixels.

    Returns:
        The loss term, a scalar.
    """
    return weighted_mean(operations, operations.square(_amplitude_error(operations, inputs)), inputs.valid)


def _amplitude_error(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    intensity, target = inputs.far_field
    error: Array = operations.sqrt(intensity + MODULUS_FLOOR) - target
    return error


def normalised_amplitude_mae(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    """Return the mean absolute difference of amplitudes, each pattern divided by its own root mean square.

    A common factor of all pixels of a pattern changes nothing, so the intensity scale need not be known. Only valid
    pixels count, also in the root mean square.

    Args:
        operations: operations for this kind of array.
        inputs: the far field and its valid pixels.

    Returns:
        The loss term, a scalar.
    """
    axes, valid = operations.image_axes, inputs.valid

    def by_own_size(values: Array) -> Array:
        power = operations.square(values)
        if valid is None:
            power = operations.mean_along(power, axes)
        else:
            weight = operations.broadcast(valid, values)
            power = operations.sum_along(power * weight, axes) / operations.sum_along(weight, axes)
        normalised: Array = values / operations.sqrt(power + MODULUS_FLOOR)
        return normalised

    intensity, target = inputs.far_field
    error = by_own_size(operations.sqrt(intensity + MODULUS_FLOOR)) - by_own_size(target)
    return weighted_mean(operations, operations.absolute(error), valid)


def complex_mae(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    """Return the mean modulus of the complex error of the patches to their labels, weighted by the label window.

    Args:
        operations: operations for this kind of array.
        inputs: patches, labels and window.

    Returns:
        The loss term, a scalar.
    """
    if inputs.labels is None:
        raise AssertionError("the loss compares with labels, and they are not there")
    error = (patch - label for patch, label in zip(inputs.patches, inputs.labels, strict=True))
    modulus: Array = _modulus(operations, *error)
    return weighted_mean(operations, modulus, inputs.label_window)


def total_variation(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    """Return the mean modulus of neighbour differences along rows, plus the same along columns.

    Args:
        operations: operations for this kind of array.
        inputs: the patches.

    Returns:
        Anisotropic total variation per pixel, a scalar.
    """
    along_rows, along_columns = (
        operations.mean(_modulus(operations, *(_difference(part, axis) for part in inputs.patches)))
        for axis in operations.image_axes
    )
    variation: Array = along_rows + along_columns
    return variation


def mean_deviation(operations: ArrayOperations[Array], inputs: LossInputs[Array]) -> Array:
    """Return the mean absolute deviation of the patch amplitude from its mean over each patch.

    Args:
        operations: operations for this kind of array.
        inputs: the patches.

    Returns:
        Mean of | |patch| - mean |patch| |, a scalar.
    """
    amplitude = _modulus(operations, *inputs.patches)
    deviation = amplitude - operations.mean_along(amplitude, operations.image_axes)
    return operations.mean(operations.absolute(deviation))


def _modulus(operations: ArrayOperations[Array], real: Array, imaginary: Array) -> Array:
    return operations.sqrt(operations.square(real) + operations.square(imaginary) + MODULUS_FLOOR)


def _difference(values: Array, axis: int) -> Array:
    before = (slice(None),) * axis
    difference: Array = values[(*before, slice(1, None))] - values[(*before, slice(None, -1))]
    return difference
