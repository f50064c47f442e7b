"""Groups of scans that were never measured: probe, positions, dose and bad pixels of real ones over invented objects.

A group is simulated when it is asked for, so that training may see as many patterns as it likes at the memory of the
objects alone. Equal seed and index give an equal group, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from ptychopinn_backend.arrays import Complex64Array, Float32Array, Float64Array, IntArray
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.grouping import GroupingOptions
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation.objects import make_object
from ptychopinn_backend.data.simulation.spec import SimulationConfig
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.groups import GroupBatch
from ptychopinn_backend.physics.probe import as_mode_stack, normalised_for
from ptychopinn_backend.physics.scan_model import scan_intensities

MAX_POINTS: Final = 512
"""Points of a scan that are simulated over, those nearest to its middle, so that objects stay small."""
_KINDS: Final = ("dead_leaves", "random_field", "lines", "siemens")
_DOSE_POINTS: Final = 32
_MARGIN_PX: Final = 2


@dataclass(frozen=True, eq=False)
class _SimulatedScan:
    """One scan's instrument over several objects; groups are counted object by object."""

    positions_xy: Float64Array
    """Positions of every group (group, channel, 2) in the frame of the objects."""
    local_offsets: Float32Array
    """(group, 1, 2, channel)."""
    objects: list[Complex64Array]
    """Each (row, column)."""
    probes: list[Complex64Array]
    """Probe (mode, N, N) that gives the dose, for every object."""
    good_pixels: Float32Array
    """(N, N): 1 good, 0 bad."""
    normalisation: float
    """Factor from measured to normalised amplitudes."""

    @property
    def n_groups(self) -> int:
        """Groups over all objects."""
        return len(self.positions_xy) * len(self.objects)


class SimulatedGroups:
    """Groups of one or several scans over many objects; a `GroupSource`."""

    has_labels = False

    def __init__(
        self,
        scans: Sequence[RawData],
        model: ModelConfig,
        n_objects: int,
        neighbor_count: int,
        seed: int,
        groups_per_object: int | None = None,
        mean_photons: Sequence[float] | None = None,
    ) -> None:
        """Invent the objects and group the positions.

        Args:
            scans: give probe, positions, mean photon count and bad pixels; no pattern is used.
            model: decides gridsize and normalisation.
            n_objects: objects for each scan, of different kind, feature size, and range of amplitude and phase.
            neighbor_count: nearest neighbours a group is drawn from.
            seed: of objects, groups and noise.
            groups_per_object: draws this many groups over every object; None takes one for every point of the scan.
            mean_photons: mean counts of a pattern of every scan where they are known; None sums the patterns.

        Raises:
            DataError: no probe, another N than the model's, or too few points.
        """
        self._seed = seed
        self._scans = [
            _simulated_scan(
                scan,
                model,
                n_objects,
                GroupingOptions(
                    n_groups=groups_per_object, gridsize=model.gridsize, neighbor_count=neighbor_count, seed=seed
                ),
                (seed, index),
                scan.mean_photons if mean_photons is None else mean_photons[index],
            )
            for index, scan in enumerate(scans)
        ]
        self._starts = np.cumsum([0, *(scan.n_groups for scan in self._scans)])
        normalised = [normalised_for(model, scan.probes[0]) for scan in self._scans]
        shape = (len(scans), max(map(len, normalised)), model.N, model.N)
        self._probes: Complex64Array = np.zeros(shape, np.complex64)
        for filled, probe in zip(self._probes, normalised, strict=True):
            filled[: len(probe)] = probe

    @property
    def n_groups(self) -> int:
        """Groups of all scans and objects."""
        return int(self._starts[-1])

    @property
    def N(self) -> int:
        """Pattern side in pixels."""
        return int(self._probes.shape[-1])

    @property
    def channels(self) -> int:
        """Patterns per group."""
        return int(self._scans[0].positions_xy.shape[1])

    @property
    def probes(self) -> Complex64Array:
        """Normalised probes (scan, mode, N, N); those with fewer modes are filled up with zeros."""
        return self._probes

    @property
    def valid_pixels(self) -> Float32Array:
        """(scan, N, N): 1 good, 0 bad."""
        return np.stack([scan.good_pixels for scan in self._scans])

    @property
    def max_local_offset_px(self) -> float:
        """Largest absolute local offset of any group, pixels."""
        return max(float(np.abs(scan.local_offsets).max()) for scan in self._scans)

    def batch(self, indices: IntArray) -> GroupBatch:
        """Simulate groups.

        Args:
            indices: (group,).

        Returns:
            The groups, in that order.
        """
        scan_index = np.searchsorted(self._starts, indices, side="right") - 1
        patterns, offsets = [], []
        for index, scan_number in zip(indices, scan_index, strict=True):
            scan = self._scans[scan_number]
            number, row = divmod(int(index - self._starts[scan_number]), len(scan.positions_xy))
            noise = np.random.default_rng((self._seed, int(index)))
            patterns.append(_simulated_group(scan, number, row, noise))
            offsets.append(scan.local_offsets[row])
        return GroupBatch(
            X=np.ascontiguousarray(np.moveaxis(np.stack(patterns), 1, -1)),
            local_offsets=np.stack(offsets),
            scan_index=scan_index.astype(np.int32),
            Y=None,
        )


def invented_object(shape: tuple[int, int], N: int, seed: tuple[int, ...]) -> Complex64Array:
    """Return an object of random kind, feature size, and range of amplitude and phase.

    Args:
        shape: (row, column) lengths.
        N: pattern side in pixels; features are between a twelfth and a half of it wide.
        seed: equal seeds give equal objects; its last number decides the kind.

    Returns:
        Complex transmission, `shape`; amplitude from between 0.3 and 1 up to 1, phase over 0.2 to 4 rad.
    """
    rng = np.random.default_rng(seed)
    width_rad = float(np.exp(rng.uniform(np.log(0.2), np.log(4.0))))
    spec = SimulationConfig(
        size=N,
        object=_KINDS[seed[-1] % len(_KINDS)],
        feature_px=float(N * np.exp(rng.uniform(np.log(1 / 12), np.log(1 / 2)))),
        amplitude_min=float(rng.uniform(0.3, 1.0)),
        phase_min_rad=-width_rad / 2,
        phase_max_rad=width_rad / 2,
    )
    obj = make_object(spec, shape, rng)
    # Thick features shift the phase forwards or backwards, depending on the sign convention of whoever recorded them.
    return obj if rng.random() < 0.5 else np.conj(obj)


def _simulated_scan(
    scan: RawData,
    model: ModelConfig,
    n_objects: int,
    grouping: GroupingOptions,
    seed: tuple[int, int],
    photons: float,
) -> _SimulatedScan:
    if scan.probeGuess is None:
        raise DataError("The scan has no probe (probeGuess); patterns are simulated with it. Add one.")
    if scan.N != model.N:
        raise DataError(
            f"The patterns have side {scan.N}; this model was built for N = {model.N}. Give scans of one N."
        )
    piece = _middle(scan)
    probe = as_mode_stack(scan.probeGuess)
    groups = piece.form_groups(grouping)
    positions = piece.positions_xy - piece.positions_xy.min(axis=0) + model.N / 2 + _MARGIN_PX
    columns, rows = np.ceil(positions.max(axis=0) + model.N / 2 + _MARGIN_PX).astype(int)
    objects = [invented_object((int(rows), int(columns)), model.N, (*seed, k)) for k in range(n_objects)]
    good = np.ones((scan.N, scan.N), np.float32)
    if scan.bad_pixels is not None:
        good[scan.bad_pixels] = 0
    return _SimulatedScan(
        positions_xy=positions[groups.nn_indices],
        local_offsets=groups.coords_relative.astype(np.float32),
        objects=objects,
        probes=[_scaled_to_dose(probe, obj, positions, good, photons) for obj in objects],
        good_pixels=good,
        normalisation=scan.N / 2 / float(np.sqrt(photons)),
    )


def _simulated_group(scan: _SimulatedScan, number: int, row: int, noise: np.random.Generator) -> Float32Array:
    """Return the normalised amplitudes of a group over an object, (channel, N, N)."""
    expected = scan_intensities(scan.objects[number], (0.0, 0.0), scan.probes[number], scan.positions_xy[row])
    return np.asarray(np.sqrt(noise.poisson(expected)) * (scan.good_pixels * scan.normalisation), np.float32)


def _scaled_to_dose(
    probe: Complex64Array, obj: Complex64Array, positions_xy: Float64Array, good: Float32Array, photons: float
) -> Complex64Array:
    """Return the probe for which good pixels hold `photons` a pattern, on average over some of the positions."""
    some = positions_xy[np.linspace(0, len(positions_xy) - 1, min(_DOSE_POINTS, len(positions_xy))).astype(int)]
    counted = scan_intensities(obj, (0.0, 0.0), probe, some) * good
    return np.asarray(probe * np.sqrt(photons * len(some) / counted.sum(dtype=np.float64)), np.complex64)


def _middle(scan: RawData) -> RawData:
    if scan.n_patterns <= MAX_POINTS:
        return scan
    middle = np.median(scan.positions_xy, axis=0)
    return scan.select(np.sort(cKDTree(scan.positions_xy).query(middle, k=MAX_POINTS)[1]))
