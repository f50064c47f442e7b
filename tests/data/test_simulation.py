"""Simulated scans obey the reference physics, the dose, the seed, and every field of their specification."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate, simulate_scan
from ptychopinn_backend.data.simulation.probes import make_probe
from ptychopinn_backend.errors import ConfigError, DataError, DataFileNotFoundError
from ptychopinn_backend.physics.far_field import exit_waves, far_field_intensity
from ptychopinn_backend.physics.object_patches import extract_patches

SMALL = SimulationConfig(size=32, patterns=60, photons=1e5)


def expected_counts(probe: np.ndarray, obj: np.ndarray, xy: np.ndarray) -> np.ndarray:
    patches = extract_patches(obj.astype(np.complex128), (0, 0), xy, probe.shape[-1])
    return far_field_intensity(exit_waves(patches, probe.astype(np.complex128)))


@pytest.mark.parametrize("changes", [{}, {"modes": 3}, {"probe": "zone_plate", "object": "siemens", "scan": "spiral"}])
def test_counts_follow_probe_times_object_within_poisson_noise(changes: dict[str, Any]) -> None:
    scan = simulate(replace(SMALL, **changes), 3)
    expected = expected_counts(scan.probe, scan.object, scan.positions_xy)
    likely = expected > 1
    chi_square = np.mean((scan.counts[likely] - expected[likely]) ** 2 / expected[likely])
    assert chi_square == pytest.approx(1, abs=4 * np.sqrt(2 / likely.sum()) + 0.02)
    assert scan.counts.sum() == pytest.approx(expected.sum(), abs=5 * np.sqrt(expected.sum()))


def test_the_dose_is_met_within_poisson_error() -> None:
    for photons in (1e3, 1e6):
        counts = simulate(replace(SMALL, photons=photons), 0).counts
        assert counts.sum(dtype=float) == pytest.approx(60 * photons, abs=5 * np.sqrt(60 * photons))


def test_the_file_is_a_self_consistent_scan(tmp_path: Path) -> None:
    scan = simulate(replace(SMALL, photons=1e7), 1)
    raw = RawData.from_file(scan.to_file(tmp_path / "sub" / "scan.npz"))
    xy = np.stack([raw.xcoords, raw.ycoords], axis=1)
    predicted = np.sqrt(expected_counts(raw.probeGuess, raw.objectGuess, xy))
    # The square root of a Poisson count has a standard deviation of 1/2.
    assert np.sqrt(np.mean((raw.diff3d - predicted) ** 2)) < 0.55
    assert raw.measured_as_counts
    assert raw.metadata["nphotons"] == 1e7
    assert raw.metadata["simulation"]["object"] == "dead_leaves"
    assert raw.metadata["simulation"]["seed"] == 1
    assert raw.bad_pixels is None
    np.testing.assert_array_equal(raw.diff3d, simulate_scan(replace(SMALL, photons=1e7), 1).diff3d)


def test_counts_are_stored_in_the_smallest_type_that_holds_them(tmp_path: Path) -> None:
    for photons, kind in ((1e4, np.uint16), (1e8, np.uint32), (1e13, np.uint64)):
        with np.load(simulate(replace(SMALL, photons=photons), 0).to_file(tmp_path / "scan.npz")) as file:
            assert file["diff3d"].dtype == kind
            assert file["diff3d"].sum(dtype=float) == pytest.approx(60 * photons, rel=0.01)


def test_patches_lie_inside_the_object() -> None:
    for kind in ("raster", "jittered", "spiral", "random"):
        scan = simulate(replace(SMALL, scan=kind, position_error_px=2.0), 0)
        for xy in (scan.positions_xy, scan.true_positions_xy):
            assert (xy >= 16).all()
            assert (xy + 17 <= np.array(scan.object.shape)[::-1]).all()


def test_equal_seeds_reproduce_and_others_do_not() -> None:
    spec = replace(SMALL, bad_pixel_fraction=0.02, position_error_px=1.0, scan="random")
    first, again, other = simulate(spec, 5), simulate(spec, 5), simulate(spec, 6)
    for name in ("counts", "positions_xy", "true_positions_xy", "probe", "object", "bad_pixels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        if name != "probe":
            assert not np.array_equal(getattr(first, name)[:16], getattr(other, name)[:16])


def test_a_change_of_probe_or_dose_leaves_object_and_positions() -> None:
    first, other = simulate(SMALL, 5), simulate(replace(SMALL, probe="gaussian", photons=7.0), 5)
    np.testing.assert_array_equal(first.object, other.object)
    np.testing.assert_array_equal(first.positions_xy, other.positions_xy)


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"size": 64}),
        ({}, {"patterns": 30}),
        ({}, {"photons": 2e5}),
        ({}, {"object": "random_field"}),
        ({}, {"object": "lines"}),
        ({}, {"object": "siemens"}),
        ({}, {"feature_px": 3.0}),
        ({"object": "random_field"}, {"feature_px": 3.0}),
        ({"object": "lines"}, {"feature_px": 3.0}),
        ({"object": "siemens"}, {"feature_px": 3.0}),
        ({}, {"amplitude_min": 0.1}),
        ({}, {"amplitude_max": 0.8}),
        ({}, {"phase_min_rad": 0.0}),
        ({}, {"phase_max_rad": 2.0}),
        ({}, {"probe": "gaussian"}),
        ({}, {"probe": "zone_plate"}),
        ({}, {"probe_diameter_px": 10.0, "step_px": 4.0}),
        ({"probe": "gaussian", "step_px": 4.0}, {"probe_diameter_px": 10.0}),
        ({"probe": "zone_plate", "step_px": 4.0}, {"probe_diameter_px": 10.0}),
        ({}, {"probe_curvature_rad": 0.0}),
        ({"probe": "gaussian"}, {"probe_curvature_rad": 0.0}),
        ({"probe": "zone_plate"}, {"zone_plate_aperture": 0.6}),
        ({"probe": "zone_plate"}, {"zone_plate_stop": 0.0}),
        ({}, {"defocus_px2": 20.0}),
        ({"probe": "gaussian"}, {"defocus_px2": 20.0}),
        ({"probe": "zone_plate"}, {"defocus_px2": 20.0}),
        ({}, {"modes": 2}),
        ({"modes": 2}, {"mode_fractions": (0.9, 0.1)}),
        ({}, {"scan": "raster"}),
        ({}, {"scan": "spiral"}),
        ({}, {"scan": "random"}),
        ({}, {"step_px": 2.0}),
        ({}, {"jitter": 0.1}),
        ({}, {"position_error_px": 1.0}),
        ({}, {"beam_stop_px": 4.0}),
        ({}, {"bad_pixel_fraction": 0.1}),
    ],
    ids=str,
)
def test_every_field_changes_the_counts(base: dict[str, Any], change: dict[str, Any]) -> None:
    spec = replace(SMALL, patterns=9, **base)
    before, after = simulate(spec, 2).counts, simulate(replace(spec, **change), 2).counts
    assert before.shape != after.shape or np.mean(before != after) > 0.02


@pytest.mark.parametrize("kind", ["dead_leaves", "random_field", "lines", "siemens"])
def test_objects_fill_the_ranges_asked_for(kind: str) -> None:
    spec = replace(
        SMALL, object=kind, amplitude_min=0.3, amplitude_max=0.6, phase_min_rad=-0.5, phase_max_rad=1.5, patterns=200
    )
    obj = simulate(spec, 0).object
    amplitude, phase = np.abs(obj), np.angle(obj)
    assert amplitude.min() >= 0.3 - 1e-6
    assert amplitude.max() <= 0.6 + 1e-6
    assert phase.min() >= -0.5 - 1e-6
    assert phase.max() <= 1.5 + 1e-6
    assert np.ptp(amplitude) > 0.25
    assert np.ptp(phase) > 1.6


def test_scans_have_the_density_the_step_promises() -> None:
    for kind in ("raster", "jittered", "spiral", "random"):
        xy = simulate(replace(SMALL, scan=kind, patterns=400, step_px=3.0, photons=10), 0).positions_xy
        area = np.prod(np.ptp(xy, axis=0)) * (np.pi / 4 if kind == "spiral" else 1)
        assert area / 400 == pytest.approx(9, rel=0.15), kind


def test_position_errors_have_the_size_asked_for_and_are_recorded(tmp_path: Path) -> None:
    scan = simulate(replace(SMALL, position_error_px=1.5, patterns=500, photons=10), 0)
    errors = scan.true_positions_xy - scan.positions_xy
    assert errors.std() == pytest.approx(1.5, rel=0.1)
    with np.load(scan.to_file(tmp_path / "scan.npz")) as file:
        np.testing.assert_array_equal(file["xcoords_true"] - file["xcoords"], errors[:, 0])
    expected = expected_counts(scan.probe, scan.object, scan.true_positions_xy)
    assert scan.counts.sum() == pytest.approx(expected.sum(), abs=5 * np.sqrt(expected.sum()))


def test_beam_stop_and_bad_pixels_are_marked() -> None:
    scan = simulate(replace(SMALL, beam_stop_px=6.0, bad_pixel_fraction=0.05), 0)
    bad = scan.bad_pixels
    assert bad is not None
    assert bad[14:18, 14:18].all()
    values = scan.counts[:, bad].T
    dead, hot = (values == 0).all(axis=1), (values == scan.counts.max()).all(axis=1)
    assert (dead | hot).all()
    assert hot.sum() == pytest.approx(0.025 * 32**2, abs=1)
    clean = simulate(replace(SMALL, beam_stop_px=6.0), 0)
    np.testing.assert_array_equal(scan.counts[:, ~bad], clean.counts[:, ~bad])


def test_modes_are_orthogonal_and_have_the_power_asked_for() -> None:
    probe = make_probe(replace(SMALL, modes=3, mode_fractions=(0.6, 0.3, 0.1))).reshape(3, -1)
    np.testing.assert_allclose(probe.conj() @ probe.T, np.diag([0.6, 0.3, 0.1]), atol=1e-6)
    halved = make_probe(replace(SMALL, modes=2))
    np.testing.assert_allclose(np.sum(np.abs(halved) ** 2, axis=(1, 2)), [2 / 3, 1 / 3], atol=1e-6)


def test_beam_shapes_have_the_size_asked_for() -> None:
    spec = replace(SMALL, size=128, probe_diameter_px=48.0)
    for kind in ("disk", "gaussian"):
        profile = np.abs(make_probe(replace(spec, probe=kind))[0, 63]) ** 2
        assert np.count_nonzero(profile > profile.max() / 2) == pytest.approx(48, abs=3), kind
    zone_plate = make_probe(replace(spec, probe="zone_plate"))[0]
    radius = np.hypot(*(np.indices((128, 128)) - 63.5))
    assert np.sum(np.abs(zone_plate[radius < 26]) ** 2) > 0.9
    on_detector = far_field_intensity(zone_plate[None])
    annulus = (radius > 0.3 * 0.4 * 64 - 2) & (radius < 0.4 * 64 + 2)
    assert on_detector[annulus].sum() > 0.98


def test_probes_and_objects_come_from_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    probe = (rng.normal(size=(2, 32, 32)) + 1j).astype(np.complex64)
    obj = (rng.normal(size=(200, 210)) + 1j).astype(np.complex64)
    np.savez(tmp_path / "in.npz", probeGuess=probe, objectGuess=obj)
    file = tmp_path / "in.npz"
    scan = simulate(replace(SMALL, probe="file", probe_file=file, object="file", object_file=file), 0)
    ratio = scan.probe / probe
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-4)
    height, width = scan.object.shape
    top, left = (200 - height) // 2, (210 - width) // 2
    np.testing.assert_array_equal(scan.object, obj[top : top + height, left : left + width])


def test_an_image_is_thickness_and_covers_the_scan(tmp_path: Path) -> None:
    from skimage import io

    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 15:] = 200
    io.imsave(tmp_path / "image.png", image, check_contrast=False)
    np.save(tmp_path / "image.npy", image[..., 0])
    from_png = simulate(replace(SMALL, object="file", object_file=tmp_path / "image.png"), 0).object
    from_npy = simulate(replace(SMALL, object="file", object_file=tmp_path / "image.npy"), 0).object
    np.testing.assert_allclose(from_png, from_npy, atol=1e-6)
    assert abs(from_png[5, 1]) == pytest.approx(1.0)
    assert abs(from_png[5, -2]) == pytest.approx(0.5)
    assert np.angle(from_png[5, -2]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 33}, "size = 33 must be even and at least 16"),
        ({"patterns": 0}, "patterns = 0 must be a whole number above 0"),
        ({"photons": float("nan")}, "photons = nan must be a finite number above 0"),
        ({"object": "leaves"}, "Did you mean 'dead_leaves'"),
        ({"object": "file"}, "object = 'file' needs a file"),
        ({"object_file": "a.png"}, "does not use object_file = 'a.png'"),
        ({"amplitude_min": 2.0}, "amplitude_min = 2.0 is above amplitude_max = 1.0. Exchange"),
        ({"phase_min_rad": "low"}, "phase_min_rad = 'low' must be a finite number"),
        ({"probe": "round"}, "probe = 'round' is not one of"),
        ({"probe_diameter_px": 40.0}, "wider than the pattern of 32 pixels"),
        ({"zone_plate_stop": 1.0}, "lets no light through"),
        ({"defocus_px2": "far"}, "defocus_px2 = 'far'"),
        ({"modes": 2, "mode_fractions": (1.0,)}, "are 1 for modes = 2"),
        ({"mode_fractions": (0.5, 0.2)}, "sum to 0.7, not 1"),
        ({"mode_fractions": "half"}, "must be numbers above 0"),
        ({"scan": "zigzag"}, "scan = 'zigzag' is not one of"),
        ({"step_px": 0}, "step_px = 0 must be a finite number above 0"),
        ({"beam_stop_px": 32.0}, "covers the detector of 32 pixels"),
        ({"bad_pixel_fraction": 0.6}, r"bad_pixel_fraction = 0.6 must lie in \[0, 0.5\]"),
    ],
)
def test_every_wrong_field_has_its_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(SMALL, **changes)


def test_an_object_beyond_all_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"The scan covers .* at most 20000 per side are simulated\. Lower step_px"):
        simulate(replace(SMALL, step_px=1e5), 0)
    with pytest.raises(ConfigError, match="No light passes the object"):
        simulate(replace(SMALL, amplitude_min=0.0, amplitude_max=1e-300), 0)


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", a=1)
    np.savez(tmp_path / "other.npz", probeGuess=np.ones((64, 64)), objectGuess=np.ones(4))
    np.savez(tmp_path / "dark.npz", probeGuess=np.stack([np.ones((32, 32)), np.zeros((32, 32))]))
    (tmp_path / "bad.png").write_text("no image")
    for file, words in (
        ("none.npz", "has no 'probeGuess'"),
        ("other.npz", "holds a probe of 64 pixels for size = 32. Set size to 64"),
        ("dark.npz", "holds a mode without light"),
    ):
        with pytest.raises(DataError, match=words):
            simulate(replace(SMALL, probe="file", probe_file=tmp_path / file), 0)
    with pytest.raises(DataError, match="holds 2 modes; 3 are asked for"):
        simulate(replace(SMALL, probe="file", probe_file=tmp_path / "dark.npz", modes=3), 0)
    for file, words in (
        ("none.npz", "has no 'objectGuess'"),
        ("other.npz", r"holds float64 of shape \(4,\); expected finite numbers, \(row, column\)"),
        ("bad.png", "cannot be read .* Give an image, NPY or NPZ file"),
    ):
        with pytest.raises(DataError, match=words):
            simulate(replace(SMALL, object="file", object_file=tmp_path / file), 0)
    with pytest.raises(DataFileNotFoundError, match="does not exist"):
        simulate(replace(SMALL, object="file", object_file=tmp_path / "nothing.png"), 0)
