"""Calls of existing scripts that make or group a scan; `RawData` has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from ptychopinn_backend import params
from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float32Array, FloatArray, require_shape
from ptychopinn_backend.config.checks import require_positive
from ptychopinn_backend.data.grouped_dictionary import MeasuredScan, grouped_dictionary
from ptychopinn_backend.data.grouping import GroupingOptions, Groups
from ptychopinn_backend.data.measurement import AMPLITUDES
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.probe import as_mode_stack
from ptychopinn_backend.physics.scan_model import pattern_batches, scan_intensities


class _GroupedScan(MeasuredScan, Protocol):
    def form_groups(self, options: GroupingOptions) -> Groups: ...


class ScanCalls:
    """What `RawData` offers to existing scripts, made from its own constructors."""

    if TYPE_CHECKING:

        @classmethod
        def from_file(cls, *given: Any, **more: Any) -> Self:
            """Read a scan."""

        @classmethod
        def from_arrays(cls, *given: Any, **more: Any) -> Self:
            """Build a scan."""

    @classmethod
    def from_files(cls, train_data_file_path: str | Path, test_data_file_path: str | Path) -> tuple[Self, Self]:
        """Read a scan to train on and one to test on (legacy name).

        Args:
            train_data_file_path: file of any format of `ptychopinn formats`.
            test_data_file_path: the other file.

        Returns:
            Both scans, as `from_file` reads them.

        Raises:
            DataFileNotFoundError: one of the files does not exist.
            DataError: one of them cannot be used.
        """
        return cls.from_file(train_data_file_path), cls.from_file(test_data_file_path)

    @classmethod
    def from_simulation(
        cls,
        xcoords: AnyArray,
        ycoords: AnyArray,
        probeGuess: AnyArray,
        objectGuess: AnyArray,
        scan_index: AnyArray | None = None,
        *,
        nphotons: float | None = None,
        seed: int | None = 0,
    ) -> Self:
        """Simulate the patterns of an object and a probe at given positions (legacy name).

        Args:
            xcoords: columns of the scan positions (pattern,), pixels of `objectGuess`.
            ycoords: rows of the scan positions (pattern,).
            probeGuess: (N, N) or (mode, N, N) complex.
            objectGuess: (H, W) complex; pixel (0, 0) is scan coordinate (0, 0), a position the centre of its patch.
            scan_index: object every scan point belongs to (pattern,); None means one object.
            nphotons: mean photon count of a pattern; None takes that of `params.cfg`.
            seed: of the photon noise; None leaves the noise out.

        Returns:
            The scan: amplitudes, the object, and the probe scaled so that it holds the photons.

        Raises:
            DataError: arrays that do not fit each other, or no light on the object.
            ConfigError: `nphotons` is not above 0.
        """
        photons = params.cfg.get("nphotons", 1e9) if nphotons is None else nphotons
        require_positive("nphotons", photons)
        x, y = (np.asarray(values, np.float64).reshape(-1) for values in (xcoords, ycoords))
        if len(x) != len(y) or len(x) == 0:
            raise DataError(f"{len(x)} xcoords and {len(y)} ycoords are given; each position has one of both.")
        obj, probe = np.asarray(objectGuess, np.complex64), np.asarray(as_mode_stack(probeGuess), np.complex64)
        require_shape("objectGuess", obj, (None, None), "(row, column)")
        positions = np.stack([x, y], axis=1)
        amplitudes, factor = _simulated(obj, probe, positions, float(photons), seed)
        return cls.from_arrays(
            x,
            y,
            amplitudes,
            probe * np.float32(factor),
            measurement=AMPLITUDES,
            scan_index=scan_index,
            object_guess=obj,
        )

    def generate_grouped_data(
        self: _GroupedScan,
        N: int,
        K: int = 4,
        nsamples: int = 1,
        dataset_path: str | Path | None = None,
        seed: int | None = None,
        sequential_sampling: bool = False,
        gridsize: int | None = None,
        enable_oversampling: bool = False,
        neighbor_pool_size: int | None = None,
    ) -> dict[str, Any]:
        """Group neighbouring scan points and gather their patterns (legacy dictionary of specs/data.md).

        Args:
            N: pattern side in pixels; must be the scan's.
            K: nearest neighbours from which a group is drawn.
            nsamples: number of groups.
            dataset_path: file whose folder keeps the neighbour cache; None keeps none.
            seed: makes the draw reproducible.
            sequential_sampling: the first `nsamples` points in order, each with its nearest neighbours.
            gridsize: neighbouring patterns along each side of a group; None takes that of `params.cfg`.
            enable_oversampling: allows more groups than scan points.
            neighbor_pool_size: neighbours from which oversampled groups are drawn; None means K.

        Returns:
            diffraction, X_full, Y (or None), nn_indices, coords_*, coords_start_* (or None) and objectGuess.

        Raises:
            DataError: N differs from the scan's, or the scan is too small for the groups asked for.
        """
        if self.N != N:
            raise DataError(f"N = {N} for patterns of {self.N} x {self.N} pixels; they must agree. Set N to {self.N}.")
        options = GroupingOptions(
            n_groups=nsamples,
            gridsize=params.get("gridsize") if gridsize is None else gridsize,
            neighbor_count=K,
            seed=seed,
            sequential_sampling=sequential_sampling,
            enable_oversampling=enable_oversampling,
            neighbor_pool_size=neighbor_pool_size,
            dataset_path=dataset_path,
        )
        return grouped_dictionary(self, self.form_groups(options))


def _simulated(
    obj: Complex64Array, probe: Complex64Array, positions: FloatArray, photons: float, seed: int | None
) -> tuple[Float32Array, float]:
    """Return amplitudes (pattern, N, N), and the factor that brings the probe to the photons."""
    expected = np.empty((len(positions), *probe.shape[-2:]), np.float32)
    for batch in pattern_batches(len(positions), probe):
        expected[batch] = scan_intensities(obj, (0.0, 0.0), probe, positions[batch])
    mean = float(expected.sum(dtype=np.float64)) / len(positions)
    if not (np.isfinite(mean) and mean > 0):
        raise DataError(
            f"Object and probe give {mean} photons to a pattern on average; it must be finite and above 0. Check that "
            "xcoords and ycoords are pixels of objectGuess, and that probe and object are not zero."
        )
    expected *= np.float32(photons / mean)
    if seed is not None:
        rng = np.random.default_rng(seed)
        for pattern in expected:
            pattern[...] = rng.poisson(pattern)
    return np.sqrt(expected, out=expected), float(np.sqrt(photons / mean))
