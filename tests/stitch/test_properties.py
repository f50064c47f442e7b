"""Cutting patches out of an object and stitching them gives the object back, however they are scanned."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.stitching.assembly import ObjectAssembler, ObjectFrame, StitchedObject

N = 16
whole_positions = st.lists(
    st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=1, max_size=12, unique=True
).map(lambda points: np.array(points, np.float64))
seeds = st.integers(0, 2**32 - 1)


def scanned(seed: int, positions: np.ndarray) -> tuple[np.ndarray, ObjectFrame, np.ndarray, np.ndarray]:
    """Return a random object, its frame, a random weight of patch pixels, and the patches at the positions."""
    rng = np.random.default_rng(seed)
    frame = ObjectFrame.covering(positions, N)
    obj = (rng.normal(size=frame.shape) + 1j * rng.normal(size=frame.shape)).astype(np.complex64)
    weight = rng.uniform(0.2, 1.0, (N, N)).astype(np.float32)
    return obj, frame, weight, extract_patches(obj, frame.origin_rc, positions, N)


def stitched(
    frame: ObjectFrame, weight: np.ndarray, patches: np.ndarray, positions: np.ndarray, align: bool = False
) -> StitchedObject:
    assembler = ObjectAssembler(frame, N, weight, align_phases=align)
    assembler.add(patches, positions)
    return assembler.result()


@settings(deadline=None)
@given(seed=seeds, positions=whole_positions)
def test_stitching_undoes_extraction(seed: int, positions: np.ndarray) -> None:
    obj, frame, weight, patches = scanned(seed, positions)
    found = stitched(frame, weight, patches, positions)
    covered = found.weight > 0
    assert covered.sum() >= N * N
    np.testing.assert_allclose(found.object[covered], obj[covered], rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(seed=seeds, positions=whole_positions)
def test_the_order_of_patches_does_not_matter(seed: int, positions: np.ndarray) -> None:
    _, frame, weight, patches = scanned(seed, positions)
    order = np.random.default_rng(seed).permutation(len(positions))
    one = stitched(frame, weight, patches, positions)
    other = stitched(frame, weight, patches[order], positions[order])
    np.testing.assert_allclose(other.object, one.object, rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(seed=seeds, positions=whole_positions, shift=st.tuples(st.integers(-999, 999), st.integers(-999, 999)))
def test_moving_the_scan_moves_the_frame_only(seed: int, positions: np.ndarray, shift: tuple[int, int]) -> None:
    _, frame, weight, patches = scanned(seed, positions)
    moved = positions + shift
    one = stitched(frame, weight, patches, positions)
    other = stitched(ObjectFrame.covering(moved, N), weight, patches, moved)
    np.testing.assert_allclose(other.object, one.object, rtol=1e-5, atol=1e-5)
    origin = np.array(frame.origin_rc) - np.array(shift)[::-1]
    np.testing.assert_allclose(other.frame.origin_rc, origin)


@settings(deadline=None)
@given(seed=seeds, step=st.integers(1, N // 2))
def test_patches_of_unknown_phase_are_joined(seed: int, step: int) -> None:
    positions = np.array([(x * step, y * step) for y in range(3) for x in range(3)], np.float64)
    obj, frame, weight, patches = scanned(seed, positions)
    phases = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(patches))
    turned = patches * np.exp(1j * phases).astype(np.complex64)[:, None, None]
    found = stitched(frame, weight, turned, positions, align=True)
    covered = found.weight > 0
    overlap = np.vdot(found.object[covered], obj[covered])
    np.testing.assert_allclose(found.object[covered] * overlap / abs(overlap), obj[covered], rtol=1e-3, atol=1e-3)
