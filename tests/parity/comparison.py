"""Arrays by name from two sides, how far apart they may be, and a proof that the check would notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from ptychopinn_backend.arrays import AnyArray

Measure = Callable[[AnyArray], float]


def largest(values: AnyArray) -> float:
    """Return the largest modulus."""
    return float(np.max(np.abs(values), initial=0.0))


def length(values: AnyArray) -> float:
    """Return the Euclidean norm."""
    return float(np.linalg.norm(values.ravel()))


@dataclass(frozen=True)
class Comparison:
    """Two sides of one check."""

    found: Mapping[str, npt.ArrayLike] = field(repr=False)
    expected: Mapping[str, npt.ArrayLike] = field(repr=False)
    tolerance: float
    """Measure of the difference over the measure of what is expected, array by array."""
    measure: Measure = largest

    def check(self) -> None:
        """Raise AssertionError unless names, shapes and values agree."""
        assert self.found.keys() == self.expected.keys()
        for name, expected in self.expected.items():
            self._check(name, np.asarray(self.found[name]), np.asarray(expected))

    @property
    def agrees(self) -> bool:
        """Whether `check` passes."""
        try:
            self.check()
        except AssertionError:
            return False
        return True

    def check_would_fail(self) -> None:
        """Raise unless moving one number just beyond the tolerance makes `check` fail, whichever the array."""
        for name, expected in self.expected.items():
            found = np.asarray(self.found[name])
            # The sides may already be one tolerance apart, in the direction of the nudge.
            amount = 2.1 * self.tolerance * self.measure(_widened(np.asarray(expected)))
            with pytest.raises(AssertionError, match="tolerance"):
                self._check(name, nudged(found, amount), np.asarray(expected))

    def _check(self, name: str, found: AnyArray, expected: AnyArray) -> None:
        assert found.shape == expected.shape, name
        scale = self.measure(_widened(expected))
        assert np.isfinite(scale), f"{name} is not finite"
        assert scale > 0, f"{name} is zero, which a relative tolerance cannot judge"
        difference = self.measure(_widened(found) - _widened(expected)) / scale
        assert difference <= self.tolerance, f"{name} differs by {difference:.2g}, tolerance {self.tolerance:.2g}"


def nudged(values: AnyArray, amount: float) -> AnyArray:
    """Return a copy in float64 with the number in the middle moved by `amount`."""
    copy = _widened(values).copy()
    copy.reshape(-1)[copy.size // 2] += amount
    return copy


def _widened(values: AnyArray) -> AnyArray:
    return values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)
