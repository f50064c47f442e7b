"""Counts split in two by chance: one part goes into the network, the other is what its output is compared with.

A photon goes to the first part with probability p, independently of all others. Of Poisson counts the parts are then
independent Poisson counts with p and 1 - p of the mean, so that nothing the network could learn of the noise in its
input lowers the loss, however long it trains (Lehtinen et al., Noise2Noise, 2018; Neufeld et al., Data thinning, 2024).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array, FloatArray, IntArray
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.groups import GroupBatch, GroupSource, SelectedGroups

DEFAULT_COPIES: Final = 16
"""Splits of every group; an epoch with `groups_per_epoch` visits a part of them."""
_ROUNDING: Final = (0.05, 1e-5)
"""Counts, and part of a count, by which float32 amplitudes may miss a whole number."""


class ThinnedGroups(SelectedGroups):
    """The groups of a source, each several times, with its counts split anew each time; a function of the seed."""

    def __init__(
        self,
        source: GroupSource,
        counts_factors: FloatArray,
        *,
        target_fraction: float,
        seed: int,
        copies: int = DEFAULT_COPIES,
    ) -> None:
        """Wrap a source.

        Args:
            source: groups of measured counts.
            counts_factors: factor from normalised amplitude to the square root of counts, for every scan (scan,).
            target_fraction: probability 1 - p with which a photon is kept for the target.
            seed: of the splits.
            copies: splits of every group.

        Raises:
            ConfigError: `target_fraction` does not lie between 0 and 1.
            DataError: the patterns are no whole counts.
        """
        if not 0 < target_fraction < 1:
            raise ConfigError(
                f"target_photon_fraction = {target_fraction}: a photon goes to either part. "
                "Give a number between 0 and 1."
            )
        super().__init__(source, np.tile(np.arange(source.n_groups), copies))
        self._fraction, self._seed = 1 - target_fraction, seed
        self._factors = np.asarray(counts_factors, np.float64)
        first = self._counts(source.batch(np.arange(1)))
        missed = np.abs(first - np.rint(first))
        if np.any(missed > _ROUNDING[0] + _ROUNDING[1] * first):
            raise DataError(
                "target_photon_fraction splits counts, and the patterns hold values between whole numbers, for example "
                f"{first.flat[np.argmax(missed)]:.4g}. Set it to 0, or give counts."
            )

    def batch(self, indices: IntArray) -> GroupBatch:
        """Return groups with their counts split, each part at the scale of the whole.

        Args:
            indices: (group,); index modulo the groups of the source is the group, the rest counts its splits.

        Returns:
            The groups: X is what goes into the network, `target` what the loss compares with.
        """
        whole = super().batch(np.asarray(indices))
        factors = self._factors_of(whole)
        counts = np.rint(self._counts(whole)).astype(np.int64)
        first = np.empty_like(counts)
        for place, index in enumerate(indices):
            first[place] = np.random.default_rng((self._seed, int(index))).binomial(counts[place], self._fraction)
        given = np.sqrt(first / self._fraction) / factors
        target = np.sqrt((counts - first) / (1 - self._fraction)) / factors
        return replace(whole, X=given.astype(np.float32), target=target.astype(np.float32))

    def _factors_of(self, batch: GroupBatch) -> Float64Array:
        return np.asarray(self._factors[batch.scan_index][:, np.newaxis, np.newaxis, np.newaxis])

    def _counts(self, batch: GroupBatch) -> Float64Array:
        return np.asarray(np.square(batch.X * self._factors_of(batch)))
