"""Groups ready for a backend: every pattern is stored once and gathered into groups by index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import (
    AnyArray,
    BoolArray,
    Complex64Array,
    Float32Array,
    Float64Array,
    IntArray,
    require_shape,
)
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.counted_scan import CountedScan
from ptychopinn_backend.data.grouping import GroupingOptions, centred
from ptychopinn_backend.data.labels import require_labels, without_mean_phase
from ptychopinn_backend.data.pattern_size import misfit
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.scan import Scan, prepare_counted_scan, prepare_scan
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.groups import GroupBatch


@dataclass(frozen=True, eq=False)
class PtychoDataContainer:
    """Groups of one or several scans, a `GroupSource`; build it with one of the class methods."""

    scans: tuple[Scan, ...]
    """The scans the groups belong to."""
    scan_index: IntArray
    """(group,) index into `scans`."""
    pattern_rows: IntArray
    """(group, channel) rows of the scan's `patterns`."""
    nn_indices: IntArray
    """(group, channel) scan points as counted in the original scan."""
    object_index: IntArray
    """(group,) scan_index of the file: which object of the scan a group shows."""
    coords_true: Float64Array
    """Positions (group, 1, 2, channel), axis 2 = (x, y), pixels."""
    coords_nominal: Float64Array
    """Nominal positions of the same shape; `coords_true` where none were recorded."""
    factors: Float64Array
    """(group,) factor from measured to normalised amplitudes."""

    @classmethod
    def from_raw_data(
        cls,
        raw: RawData,
        model: ModelConfig,
        *,
        n_groups: int | None = None,
        neighbor_count: int = 4,
        seed: int | None = None,
        sequential_sampling: bool = False,
        enable_oversampling: bool = False,
        neighbor_pool_size: int | None = None,
        dataset_path: str | Path | None = None,
        with_labels: bool = False,
    ) -> PtychoDataContainer:
        """Group a scan.

        Args:
            raw: the scan; its patterns are referred to, not copied.
            model: decides N, gridsize and probe_scale.
            n_groups: groups to form; None means one for every scan point.
            neighbor_count: nearest neighbours from which a group is drawn.
            seed: makes the draw reproducible.
            sequential_sampling: the first `n_groups` points in order, each with its nearest neighbours.
            enable_oversampling: allows more groups than scan points.
            neighbor_pool_size: neighbours from which oversampled groups are drawn; None means `neighbor_count`.
            dataset_path: file whose folder keeps the neighbour cache; None keeps none.
            with_labels: batches carry ground-truth patches.

        Returns:
            The groups, normalised to a mean of (N/2)^2 photons over all of their patterns.

        Raises:
            DataError: no probe, another N than the model's, no labels, too few points or neighbours, no photons.
        """
        options = GroupingOptions(
            n_groups=raw.n_patterns if n_groups is None else n_groups,
            gridsize=model.gridsize,
            neighbor_count=neighbor_count,
            seed=seed,
            sequential_sampling=sequential_sampling,
            enable_oversampling=enable_oversampling,
            neighbor_pool_size=neighbor_pool_size,
            dataset_path=dataset_path,
        )
        return cls.from_counted_scan(CountedScan.of(raw), model, options, with_labels=with_labels)

    @classmethod
    def from_counted_scan(
        cls, scan: CountedScan, model: ModelConfig, options: GroupingOptions, *, with_labels: bool = False
    ) -> PtychoDataContainer:
        """Group a scan whose patterns have been summed.

        Args:
            scan: the scan; its patterns are referred to, not copied.
            model: decides N, gridsize and probe_scale.
            options: how groups are drawn.
            with_labels: batches carry ground-truth patches.

        Returns:
            The groups, as `from_raw_data` returns them.

        Raises:
            DataError: as for `from_raw_data`.
        """
        raw = scan.raw
        _require_model_size(raw.N, model)
        if raw.probeGuess is None:
            raise DataError("The scan has no probe; the physics needs one. Add probeGuess (mode, N, N) to the scan.")
        groups = raw.form_groups(options)
        labels = require_labels(raw) if with_labels else None
        rows = groups.nn_indices
        shared = prepare_counted_scan(raw.diff3d, scan.photons, raw.probeGuess, model, rows, raw.bad_pixels, labels)
        return cls(
            scans=(shared,),
            scan_index=np.zeros(len(rows), np.int32),
            pattern_rows=rows,
            nn_indices=rows,
            object_index=raw.scan_index[rows[:, 0]],
            coords_true=groups.coords_nn,
            coords_nominal=groups.coords_nn if groups.coords_start_nn is None else groups.coords_start_nn,
            factors=np.full(len(rows), shared.normalisation),
        )

    @classmethod
    def from_grouped_data(
        cls,
        grouped: Mapping[str, Any],
        probe: AnyArray,
        model: ModelConfig,
        *,
        bad_pixels: BoolArray | None = None,
    ) -> PtychoDataContainer:
        """Take over the dictionary of `RawData.generate_grouped_data`.

        Args:
            grouped: the dictionary; patterns that several groups share are stored once.
            probe: (N, N) or (mode, N, N).
            model: decides N, gridsize and probe_scale.
            bad_pixels: (N, N), True = bad; None takes those of the dictionary.

        Returns:
            The same groups, with labels when the dictionary has them.

        Raises:
            DataError: the dictionary was made for another N or gridsize, or a malformed probe.
        """
        diffraction = np.asarray(grouped["diffraction"], np.float32)
        _require_model_size(diffraction.shape[1], model)
        axes = "(group, N, N, channel = gridsize**2)"
        require_shape("diffraction", diffraction, (None, model.N, model.N, model.channels), axes)
        nn_indices = np.asarray(grouped["nn_indices"], np.int32)
        _, first, rows = np.unique(nn_indices, return_index=True, return_inverse=True)
        rows = rows.reshape(nn_indices.shape).astype(np.int32)
        patterns = _rows_first(diffraction, first)
        told = grouped.get("bad_pixels") if bad_pixels is None else bad_pixels
        bad_pixels = None if told is None else np.asarray(told, np.bool_)
        if bad_pixels is not None:
            require_shape("bad_pixels", bad_pixels, (model.N, model.N), "(N, N)")
            patterns[:, bad_pixels] = 0
        labels = None if grouped.get("Y") is None else _rows_first(np.asarray(grouped["Y"], np.complex64), first)
        scan = prepare_scan(patterns, probe, model, rows, bad_pixels, labels)
        coords = np.asarray(grouped["coords_nn"], np.float64)
        nominal = grouped.get("coords_start_nn")
        return cls(
            scans=(scan,),
            scan_index=np.zeros(len(rows), np.int32),
            pattern_rows=rows,
            nn_indices=nn_indices,
            object_index=_object_index(grouped.get("object_index"), len(rows)),
            coords_true=coords,
            coords_nominal=coords if nominal is None else np.asarray(nominal, np.float64),
            factors=np.full(len(rows), scan.normalisation),
        )

    @classmethod
    def concatenate(cls, containers: Sequence[PtychoDataContainer]) -> PtychoDataContainer:
        """Join the groups of several containers; each scan keeps its probe, mask and normalisation.

        Args:
            containers: at least one, all of the same N and gridsize.

        Returns:
            One container; no pattern is copied.

        Raises:
            DataError: none is given, or N or the channels differ.
        """
        if not containers:
            raise DataError("No container was given to concatenate. Give at least one.")
        sizes = sorted({(container.N, container.channels) for container in containers})
        if len(sizes) > 1:
            raise DataError(
                f"Containers of different (N, channel) cannot be joined: {sizes}. Group them with the same model."
            )
        shifts = np.cumsum([0, *(len(container.scans) for container in containers)])
        arrays = {
            name: np.concatenate([getattr(container, name) for container in containers]) for name in _group_arrays()
        }
        arrays["scan_index"] = np.concatenate(
            [container.scan_index + np.int32(shift) for container, shift in zip(containers, shifts[:-1], strict=True)]
        )
        return cls(scans=tuple(scan for container in containers for scan in container.scans), **arrays)

    def subset(self, indices: IntArray) -> PtychoDataContainer:
        """Return the groups at `indices`, in that order; scans and their normalisation are shared.

        Args:
            indices: (group,) whole numbers.

        Returns:
            A container of those groups.

        Raises:
            IndexError: an index lies outside the groups.
        """
        chosen = np.asarray(indices, np.intp)
        return PtychoDataContainer(self.scans, **{name: getattr(self, name)[chosen] for name in _group_arrays()})

    def split(
        self, validation_fraction: float, seed: int | None
    ) -> tuple[PtychoDataContainer, PtychoDataContainer | None]:
        """Keep some groups, drawn at random, for validation.

        Args:
            validation_fraction: fraction kept, in [0, 1); at least one group when above 0 and there are two.
            seed: makes the draw reproducible.

        Returns:
            Training and validation groups; no validation when the fraction is 0 or there is a single group.
        """
        if validation_fraction == 0 or self.n_groups < 2:
            return self, None
        n_validation = min(max(1, round(validation_fraction * self.n_groups)), self.n_groups - 1)
        order = np.random.default_rng(seed).permutation(self.n_groups)
        return self.subset(np.sort(order[n_validation:])), self.subset(np.sort(order[:n_validation]))

    def batch(self, indices: IntArray) -> GroupBatch:
        """Gather the groups at `indices`, in that order.

        Args:
            indices: (group,) whole numbers.

        Returns:
            Normalised amplitudes, local offsets, scan indices and labels of those groups.

        Raises:
            IndexError: an index lies outside the groups.
        """
        chosen = np.asarray(indices, np.intp)
        rows, scan_of = self.pattern_rows[chosen], self.scan_index[chosen]
        factors = self.factors[chosen].astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
        images = self._gathered(rows, scan_of)
        images *= factors
        Y = np.empty((len(chosen), self.N, self.N, self.channels), np.complex64) if self.has_labels else None
        if Y is not None:
            for index in np.unique(scan_of):
                scan, members = self.scans[index], np.flatnonzero(scan_of == index)
                if scan.labels is not None:
                    Y[members] = np.moveaxis(scan.labels[rows[members]], 1, -1)
                    if scan.phase_subtraction:
                        Y[members] = without_mean_phase(Y[members])
        _, local = centred(self.coords_true[chosen])
        return GroupBatch(np.moveaxis(images, 1, -1), local.astype(np.float32), scan_of, Y)

    def _gathered(self, rows: IntArray, scan_of: IntArray) -> Float32Array:
        """Return amplitudes as measured, (group, channel, N, N), in an array of their own.

        One image after the other, as a scan has them: to turn axes round on the way takes twice as long.
        """
        if len(self.scans) == 1:
            return np.asarray(self.scans[0].patterns[rows], np.float32)
        images = np.empty((*rows.shape, self.N, self.N), np.float32)
        for index in np.unique(scan_of):
            members = scan_of == index
            images[members] = self.scans[index].patterns[rows[members]]
        return images

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.scan_index)

    @property
    def N(self) -> int:
        """Pattern side in pixels."""
        return int(self.scans[0].patterns.shape[1])

    @property
    def channels(self) -> int:
        """Patterns in a group, gridsize**2."""
        return int(self.pattern_rows.shape[1])

    @property
    def probes(self) -> Complex64Array:
        """Normalised probes (scan, mode, N, N); scans with fewer modes are filled up with zeros."""
        n_modes = max(len(scan.probe) for scan in self.scans)
        stack = np.zeros((len(self.scans), n_modes, self.N, self.N), np.complex64)
        for filled, scan in zip(stack, self.scans, strict=True):
            filled[: len(scan.probe)] = scan.probe
        return stack

    @property
    def probe(self) -> Complex64Array:
        """Normalised probe of the first scan (mode, N, N)."""
        return self.scans[0].probe

    @property
    def valid_pixels(self) -> Float32Array:
        """Detector pixels that count in the loss (scan, N, N): 1 good, 0 bad."""
        return np.stack([scan.valid_pixels for scan in self.scans])

    @property
    def has_labels(self) -> bool:
        """Whether batches carry ground-truth patches: every scan has them."""
        return all(scan.labels is not None for scan in self.scans)

    @property
    def intensity_counts_factors(self) -> Float64Array:
        """Factor from normalised to measured amplitudes of every scan (scan,)."""
        return np.array([1 / scan.normalisation for scan in self.scans])

    @property
    def intensity_counts_factor(self) -> float:
        """Factor from normalised to measured amplitudes: the root mean square over groups."""
        return float(np.sqrt(np.mean(np.square(1 / self.factors))))

    @property
    def global_offsets(self) -> Float64Array:
        """Mean position of every group (group, 1, 2, 1), pixels; legacy coords_offsets."""
        return centred(self.coords_true)[0]

    @property
    def local_offsets(self) -> Float64Array:
        """-(position - group mean), (group, 1, 2, channel), pixels; legacy coords_relative."""
        return centred(self.coords_true)[1]

    @property
    def max_local_offset_px(self) -> float:
        """Largest absolute local offset of any group, pixels."""
        return float(np.abs(self.local_offsets).max(initial=0.0))

    @property
    def X(self) -> Float32Array:
        """Normalised amplitudes of all groups (group, N, N, channel); gathered anew at each access."""
        return self.batch(np.arange(self.n_groups)).X

    @property
    def Y(self) -> Complex64Array | None:
        """Ground-truth patches of all groups (group, N, N, channel), or None; gathered anew at each access."""
        return self.batch(np.arange(self.n_groups)).Y

    @property
    def Y_I(self) -> Float32Array | None:
        """Amplitude of `Y`, or None."""
        labels = self.Y
        return None if labels is None else np.abs(labels)

    @property
    def Y_phi(self) -> Float32Array | None:
        """Phase of `Y` in radians, or None."""
        labels = self.Y
        return None if labels is None else np.angle(labels)


def _group_arrays() -> list[str]:
    return [field.name for field in fields(PtychoDataContainer) if field.name != "scans"]


def _require_model_size(N: int, model: ModelConfig) -> None:
    if N != model.N:
        raise misfit(N, model.N)


def _object_index(values: Any, n_groups: int) -> IntArray:
    """Return the object of every group; a dictionary without it is of one."""
    if values is None:
        return np.zeros(n_groups, np.int32)
    numbers = np.asarray(values, np.int32)
    require_shape("object_index", numbers, (n_groups,), "(group,)")
    return numbers


def _rows_first(grouped: AnyArray, rows: IntArray) -> AnyArray:
    """Take rows of (group, N, N, channel), counted as group * channel + channel index."""
    groups, channels = np.divmod(rows, grouped.shape[-1])
    return grouped[groups, :, :, channels]
