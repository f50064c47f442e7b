"""Stitching patches with weights and unknown phases into the object they came from."""

import numpy as np
import pytest

from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.physics.object_patches import extract_patches
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.stitching.assembly import (
    FEWEST_HELD,
    ObjectAssembler,
    ObjectFrame,
    central_weight,
    counts_scale,
    light_on,
    probe_weight,
)

N = 32


def _smooth_object(side: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    phase, amplitude = np.zeros((side, side)), np.ones((side, side))
    for _ in range(12):
        ky, kx, shift = rng.uniform(-25, 25), rng.uniform(-25, 25), rng.uniform(0, 6)
        phase += 0.3 * np.sin(ky * y + kx * x + shift)
        amplitude += 0.03 * np.cos(kx * y - ky * x + shift)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


def _probe(N: int = N) -> np.ndarray:
    y, x = np.mgrid[:N, :N] - N / 2 + 0.5
    first = np.exp(-(x**2 + y**2) / (2 * 5.0**2) + 0.02j * (x**2 + y**2))
    return np.stack([first, 0.3 * x / 5 * first]).astype(np.complex64)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(abs(np.vdot(a, b)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real))


def _raster(rng: np.random.Generator, count: int, step: float, start: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(np.arange(count), np.arange(count)), axis=-1).reshape(-1, 2) * step + start
    return grid + rng.uniform(-1.5, 1.5, grid.shape)


def _assemble(obj, positions, phases, origin=(0.0, 0.0), **options) -> tuple[np.ndarray, np.ndarray]:
    """Return (stitched, truth) where the weight is good."""
    patches = extract_patches(obj, origin, positions, N) * np.exp(1j * phases)[:, None, None]
    frame = ObjectFrame(obj.shape, origin)
    assembler = ObjectAssembler(frame, N, probe_weight(_probe()), **options)
    for batch in np.array_split(np.arange(len(positions)), 7):
        assembler.add(patches[batch].astype(np.complex64), positions[batch])
    stitched = assembler.result()
    good = stitched.weight > 0.05 * stitched.weight.max()
    return stitched.object[good], obj[good]


def test_random_phases_and_order_do_not_cancel_the_object() -> None:
    rng = np.random.default_rng(0)
    obj = _smooth_object(160, rng)
    positions = rng.permutation(_raster(rng, 15, 8.0, 24.0))
    phases = rng.uniform(0, 2 * np.pi, len(positions))
    assert _correlation(*_assemble(obj, positions, phases)) > 0.999
    assert _correlation(*_assemble(obj, positions, phases, align_phases=False)) < 0.5


def test_blocks_that_reach_the_memory_limit_join_in_phase() -> None:
    rng = np.random.default_rng(1)
    obj = _smooth_object(160, rng)
    positions = _raster(rng, 15, 8.0, 24.0)
    assert len(positions) > FEWEST_HELD
    phases = rng.uniform(0, 2 * np.pi, len(positions))
    assert _correlation(*_assemble(obj, positions, phases, hold_bytes=0)) > 0.999


def test_noisy_patches_align_almost_as_well_as_with_known_phases() -> None:
    rng = np.random.default_rng(2)
    obj = _smooth_object(160, rng)
    positions = rng.permutation(_raster(rng, 15, 8.0, 24.0))
    patches = extract_patches(obj, (0, 0), positions, N)
    noisy = patches + 0.5 * (rng.normal(size=patches.shape) + 1j * rng.normal(size=patches.shape))
    turned = noisy * np.exp(2j * np.pi * rng.random((len(positions), 1, 1)))
    correlations = []
    for given, align in ((noisy, False), (turned, True)):
        assembler = ObjectAssembler(ObjectFrame(obj.shape, (0, 0)), N, probe_weight(_probe()), align_phases=align)
        assembler.add(given.astype(np.complex64), positions)
        stitched = assembler.result()
        good = stitched.weight > 1
        correlations.append(_correlation(stitched.object[good], obj[good]))
    assert correlations[1] > correlations[0] - 0.01


def test_arms_that_meet_at_their_far_end_are_in_phase() -> None:
    """A ring of patches closes on itself although it grows from one side."""
    rng = np.random.default_rng(3)
    obj = _smooth_object(200, rng)
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    positions = rng.permutation(100 + 70 * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    assert _correlation(*_assemble(obj, positions, rng.uniform(0, 6, 80))) > 0.999


def test_patches_in_phase_stay_as_they_are_up_to_one_global_phase() -> None:
    rng = np.random.default_rng(4)
    obj = _smooth_object(120, rng)
    positions = np.round(_raster(rng, 8, 8.0, 30.0))
    stitched, truth = _assemble(obj, positions, np.zeros(64), origin=(3.0, -2.0))
    np.testing.assert_allclose(stitched * np.exp(-1j * np.angle(np.vdot(truth, stitched))), truth, atol=2e-3)


def test_pixels_without_weight_get_the_fill_value() -> None:
    assembler = ObjectAssembler(ObjectFrame((64, 64), (0, 0)), N, central_weight(N, 8))
    assembler.add(np.full((1, N, N), 2, np.complex64), np.array([[20.0, 30.0]]))
    stitched = assembler.result(fill=1.0)
    inside = np.zeros((64, 64), bool)
    inside[26:34, 16:24] = True
    np.testing.assert_array_equal(stitched.object, np.where(inside, 2, 1))
    np.testing.assert_array_equal(stitched.weight, inside)


def test_result_can_be_asked_for_in_between() -> None:
    rng = np.random.default_rng(5)
    obj = _smooth_object(100, rng)
    positions = _raster(rng, 6, 8.0, 28.0)
    patches = extract_patches(obj, (0, 0), positions, N)
    assembler = ObjectAssembler(ObjectFrame(obj.shape, (0, 0)), N, probe_weight(_probe()))
    assembler.add(patches[:10], positions[:10])
    early = assembler.result()
    assembler.add(patches[10:], positions[10:])
    assert assembler.result().weight.sum() > early.weight.sum() > 0
    assert early.object.shape == obj.shape


def test_empty_assembler_gives_only_fill() -> None:
    stitched = ObjectAssembler(ObjectFrame((10, 12), (0, 0)), N, central_weight(N, 4)).result(fill=1)
    assert np.all(stitched.object == 1)
    assert np.all(stitched.weight == 0)


def test_frame_covers_every_patch_and_keeps_whole_pixels() -> None:
    positions = np.array([[-10.25, 4.5], [30.0, 20.75]])
    frame = ObjectFrame.covering(positions, N)
    assert frame.origin_rc == (12.0, 27.0)
    assert frame.shape == (16 + N + 1, 41 + N + 1)
    patches = extract_patches(np.ones(frame.shape, np.float32), frame.origin_rc, positions, N)
    assert np.all(patches == 1)


def test_counts_scale_recovers_the_factor_and_skips_bad_pixels() -> None:
    rng = np.random.default_rng(6)
    obj, probe = _smooth_object(100, rng), 40 * _probe()
    positions = _raster(rng, 5, 9.0, 28.0)
    amplitudes = np.sqrt(scan_intensities(obj, (0, 0), probe, positions))
    valid = np.ones((N, N), bool)
    valid[5, 7] = False
    amplitudes[:, 5, 7] = 1e4
    scale = counts_scale(obj / 3, ObjectFrame(obj.shape, (0, 0)), probe, positions, amplitudes, valid)
    assert scale == pytest.approx(3, rel=1e-5)


def test_light_is_what_falls_on_a_pixel() -> None:
    probe = (30 * _probe()).astype(np.complex64)
    positions = np.array([[30.0, 28.0], [34.0, 28.0]])
    light = light_on(ObjectFrame((60, 64), (0, 0)), probe, positions, 500.0)
    assert light.sum() == pytest.approx(1000, rel=1e-4)
    one = 500 * np.sum(np.abs(probe) ** 2, axis=0) / np.sum(np.abs(probe) ** 2)
    assert light[28, 32] == pytest.approx(one[16, 18] + one[16, 14], rel=1e-4)


def test_messages_name_value_rule_and_remedy() -> None:
    frame = ObjectFrame((40, 40), (0, 0))
    with pytest.raises(DataError, match=r"brightest intensity is 0\.0; it must be finite and positive"):
        probe_weight(np.zeros((N, N), np.complex64))
    with pytest.raises(ConfigError, match=r"M = 40 .* must be in 1\.\.N"):
        central_weight(32, 40)
    with pytest.raises(DataError, match="0 positions span no object"):
        ObjectFrame.covering(np.zeros((0, 2)), N)
    far = np.repeat([[0.0, 0.0], [2e5, 3e4]], (7, 1), axis=0)
    for frame_of in (ObjectFrame.covering, ObjectFrame.centred):
        with pytest.raises(
            DataError, match=r"GiB\), of which .* position 7 lies far from the rest at x = 200000, y = 3"
        ):
            frame_of(far, N)
    with pytest.raises(DataError, match="Correct the positions"):
        ObjectFrame.covering(far * 1e290, N)
    with pytest.raises(DataError, match="weight has shape"):
        ObjectAssembler(frame, N, np.ones((N, 3), np.float32))
    with pytest.raises(DataError, match="patches has shape"):
        ObjectAssembler(frame, N, central_weight(N, 4)).add(np.ones((2, N, N), np.complex64), np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"predicts 0\.0 counts"):
        counts_scale(np.zeros((40, 40), np.complex64), frame, _probe(), np.zeros((1, 2)) + 20, np.ones((1, N, N)))


def _random_patches(rng: np.random.Generator, count: int) -> np.ndarray:
    return (rng.normal(size=(count, N, N)) + 1j * rng.normal(size=(count, N, N))).astype(np.complex64)


@pytest.mark.parametrize("align_phases", [True, False])
def test_a_frame_that_grows_gives_the_same_object_to_the_last_bit(align_phases: bool) -> None:
    rng = np.random.default_rng(11)
    positions, patches = rng.uniform(-90, 90, (300, 2)), _random_patches(rng, 300)
    whole = ObjectFrame.covering(positions, N)
    at_once = ObjectAssembler(whole, N, probe_weight(_probe()), align_phases=align_phases, hold_bytes=0)
    growing = ObjectAssembler(
        ObjectFrame((400, 300), (150.0, 140.0)), N, probe_weight(_probe()), align_phases=align_phases, hold_bytes=0
    )
    for start in range(0, 300, 50):
        some = slice(start, start + 50)
        at_once.add(patches[some], positions[some])
        growing.add(patches[some], positions[some])
        growing.so_far()
        growing.move_to(ObjectFrame((400 + start, 320 + start), (150.0 + start // 3, 140.0 + start // 2)))
    growing.move_to(whole)
    expected, found = at_once.result(), growing.result()
    assert found.frame == expected.frame
    np.testing.assert_array_equal(found.object, expected.object)
    np.testing.assert_array_equal(found.weight, expected.weight)


def test_so_far_is_the_result_of_what_was_added() -> None:
    rng = np.random.default_rng(12)
    positions, patches = rng.uniform(0, 60, (30, 2)), _random_patches(rng, 30)
    assembler = ObjectAssembler(ObjectFrame.covering(positions, N), N, probe_weight(_probe()))
    assembler.add(patches, positions)
    before = assembler.so_far()
    np.testing.assert_array_equal(before.object, assembler.result().object)


def test_a_frame_apart_by_a_fraction_of_a_pixel_is_refused() -> None:
    assembler = ObjectAssembler(ObjectFrame((64, 64), (0.0, 0.0)), N, central_weight(N, 8))
    with pytest.raises(DataError, match="not whole pixels apart"):
        assembler.move_to(ObjectFrame((64, 64), (0.5, 0.0)))
