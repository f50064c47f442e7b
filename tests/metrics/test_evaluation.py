"""Reconstructions against counts, truth and reference."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.evaluation import align_objects, evaluate, half_data_frc_px, scan_r_factors
from ptychopinn_backend.evaluation.metrics import phase_correlation
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

N, SIDE = 32, 128


def _band_limited_object(row_shift: float = 0.0, column_shift: float = 0.0) -> np.ndarray:
    """An object that may be shifted by parts of a pixel without error (content moves to larger row and column)."""
    rng = np.random.default_rng(7)
    spectrum = np.fft.fft2(rng.normal(size=(SIDE, SIDE)) + 1j * rng.normal(size=(SIDE, SIDE)))
    row, column = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)
    spectrum *= np.exp(-((np.hypot(row, column) / 0.08) ** 2))
    spectrum *= np.exp(-2j * np.pi * (row * row_shift + column * column_shift))
    texture = np.fft.ifft2(spectrum)
    return ((1 + 0.5 * texture.real) * np.exp(3j * texture.imag)).astype(np.complex64)


def _probe() -> np.ndarray:
    y, x = np.mgrid[:N, :N] - N / 2 + 0.5
    first = np.exp(-(x**2 + y**2) / (2 * 5.0**2) + 0.02j * (x**2 + y**2))
    return (60 * np.stack([first, 0.3 * x / 5 * first])).astype(np.complex64)


@pytest.fixture(scope="module")
def scan() -> RawData:
    """Counts of the object with Poisson noise and one dead pixel; scan coordinate (0, 0) is object pixel (0, 0)."""
    rng = np.random.default_rng(8)
    positions = rng.uniform(24, SIDE - 24, (150, 2))
    counts = rng.poisson(scan_intensities(_band_limited_object(), (0, 0), _probe(), positions)).astype(np.float32)
    counts[:, 3, 5] = 1e6
    bad = np.zeros((N, N), bool)
    bad[3, 5] = True
    return RawData.from_arrays(positions[:, 0], positions[:, 1], counts, _probe(), measurement="counts", bad_pixels=bad)


def _ramp() -> np.ndarray:
    y, x = np.indices((SIDE, SIDE))
    return np.exp(1j * (0.05 * y - 0.08 * x + 1.0))


def test_the_truth_reaches_the_poisson_floor(scan: RawData) -> None:
    r_factor, floor = scan_r_factors(Reconstruction(_band_limited_object(), (0, 0), _probe()), scan)
    assert r_factor == pytest.approx(floor, rel=0.02)
    assert 0.01 < floor < 0.3


def test_r_factor_fits_no_scale_and_sees_a_shift(scan: RawData) -> None:
    obj = _band_limited_object()
    r_factor, floor = scan_r_factors(Reconstruction(obj, (0, 0), _probe()), scan)
    assert scan_r_factors(Reconstruction(1.2 * obj, (0, 0), _probe()), scan)[0] > r_factor + 0.1
    assert scan_r_factors(Reconstruction(obj, (1, 0), _probe()), scan)[0] > 1.2 * floor


def test_fourier_interpolation_fits_what_was_shifted_by_fourier_transform(scan: RawData) -> None:
    """Patterns of the object moved by parts of a pixel, at whole positions, against its unmoved self in between."""
    moved = _band_limited_object(0.4, -0.3)
    positions = np.round(scan.positions_xy)
    intensities = scan_intensities(moved, (0, 0), _probe(), positions)
    x, y = (positions + np.array([0.3, -0.4])).T
    same = RawData.from_arrays(x, y, intensities, _probe(), measurement="counts")
    reconstruction = Reconstruction(_band_limited_object(), (0, 0), _probe())
    bilinear, fourier = (scan_r_factors(reconstruction, same, kind)[0] for kind in ("bilinear", "fourier"))
    assert fourier < 1e-3
    assert bilinear > 5e-3


def test_registration_undoes_shift_ramp_phase_and_scale(scan: RawData) -> None:
    positions = scan.positions_xy
    moved = Reconstruction(0.5 * _band_limited_object(1.4, -0.7) * _ramp(), (0, 0), _probe())
    aligned = align_objects(moved, _band_limited_object(), (0, 0), positions)
    assert aligned.shift_rc_px == pytest.approx((1.4, -0.7), abs=0.05)
    assert aligned.amplitude_scale == pytest.approx(2, rel=1e-3)
    assert phase_correlation(aligned.object, aligned.target) > 0.999


def test_origins_place_objects_of_different_size(scan: RawData) -> None:
    positions = scan.positions_xy
    obj = _band_limited_object()
    cut = Reconstruction(obj[10:120, 15:110], (-10.0, -15.0), _probe())
    aligned = align_objects(cut, np.pad(obj, 20), (20.0, 20.0), positions)
    assert aligned.shift_rc_px == (0, 0)
    np.testing.assert_allclose(aligned.object, aligned.target, atol=1e-3)


def test_uncovered_borders_are_left_out(scan: RawData) -> None:
    obj, weight = _band_limited_object(), np.ones((SIDE, SIDE), np.float32)
    obj[:40], weight[:40] = 0, 0
    positions = scan.positions_xy
    aligned = align_objects(Reconstruction(obj, (0, 0), _probe(), weight), _band_limited_object(), (0, 0), positions)
    assert aligned.target.shape[0] < aligned.target.shape[1]
    assert phase_correlation(aligned.object, aligned.target) > 0.999


def test_report_is_json_and_ranks_reconstructions(scan: RawData) -> None:
    obj = _band_limited_object()
    rng = np.random.default_rng(9)
    noisy = obj + (0.3 * rng.normal(size=obj.shape) + 0.3j * rng.normal(size=obj.shape)).astype(np.complex64)
    reports = [
        evaluate(Reconstruction(image, (0, 0), _probe(), backend="pytorch"), scan, truth=(obj, (0, 0)))
        for image in (_band_limited_object(0.2, 0.1), noisy)
    ]
    good, bad = json.loads(json.dumps(reports))
    assert good["backend"] == "pytorch"
    assert good["r_factor"] < bad["r_factor"]
    for name in ("amplitude_psnr_db", "phase_psnr_db", "amplitude_ssim", "phase_ssim", "phase_correlation"):
        assert good[name] > bad[name]
    assert good["frc_half_bit_px"] < bad["frc_half_bit_px"]
    assert good["compared_with"] == "truth"


def test_holes_everywhere_are_compared_too(scan: RawData) -> None:
    # Where patterns hardly overlap, no rectangle is without the dark between them.
    y, x = np.indices((SIDE, SIDE))
    weight = np.where((y % 12 < 4) & (x % 12 < 4), 0, 1).astype(np.float32)
    found = dataclasses.replace(Reconstruction(_band_limited_object(), (0, 0), _probe()), weight=weight)
    aligned = align_objects(found, _band_limited_object(), (0, 0), scan.positions_xy)
    assert min(aligned.object.shape) > SIDE - 60


def test_messages(scan: RawData) -> None:
    obj = _band_limited_object()
    with pytest.raises(ConfigError, match="a truth and a reference are given"):
        evaluate(Reconstruction(obj, (0, 0), _probe()), scan, truth=(obj, (0, 0)), reference=(obj, (0, 0)))
    with pytest.raises(DataError, match="probe has N = 16, the scan's patterns 32; both must be equal"):
        scan_r_factors(Reconstruction(obj, (0, 0), np.ones((1, 16, 16), np.complex64)), scan)
    with pytest.raises(DataError, match="share a region of 0 x 0 pixels; a comparison needs at least 16 x 16"):
        evaluate(Reconstruction(obj, (0, 0), _probe()), scan, truth=(obj, (500.0, 500.0)))


def test_measured_scan_and_its_iterative_reconstruction(shared_folder: Path) -> None:
    """The reference states R 0.132 and a Poisson floor of 0.118 at its refined positions, shifted by Fourier transform.

    It places a position at the middle of the patch, (N - 1) / 2, this package at N / 2.
    """
    raw = RawData.from_file(shared_folder / "data" / "siemens_star.npz")
    with np.load(shared_folder / "data" / "siemens_star_reference.npz") as reference:
        members = dict(reference)
    origin = (float(members["origin_rc"][0]) + 0.5, float(members["origin_rc"][1]) + 0.5)
    positions = members["positions_rc"] + 0.5 - np.array(origin)
    sample = np.arange(0, raw.n_patterns, 4)
    refined = dataclasses.replace(
        raw, xcoords=positions[sample, 1], ycoords=positions[sample, 0], diff3d=raw.diff3d[sample]
    )
    reconstruction = Reconstruction(members["object"], origin, members["probe"])
    r_factor, floor = scan_r_factors(reconstruction, refined, "fourier")
    assert r_factor == pytest.approx(0.132, abs=2e-3)
    assert floor == pytest.approx(0.118, abs=2e-3)
    nominal = (origin[0] - 0.5, origin[1] - 0.5)
    aligned = align_objects(reconstruction, members["object"], nominal, raw.positions_xy)
    assert aligned.shift_rc_px == pytest.approx((-0.5, -0.5), abs=0.05)


def test_halves_agree_as_far_as_their_noise_allows(scan: RawData) -> None:
    rng = np.random.default_rng(11)

    def half(noise: float) -> Reconstruction:
        spoilt = _band_limited_object() + noise * (rng.normal(size=(SIDE, SIDE)) + 1j * rng.normal(size=(SIDE, SIDE)))
        return Reconstruction((spoilt * _ramp()).astype(np.complex64), (0.0, 0.0), _probe())

    clean, little, much = (half_data_frc_px(half(noise), half(noise), scan.positions_xy) for noise in (0, 0.02, 0.2))
    assert clean == 1
    # The texture falls off as a Gaussian, so ten times the noise is met at a coarser scale.
    assert clean < little < much < 20


def test_time_of_the_reconstruction_is_reported(scan: RawData) -> None:
    timed = Reconstruction(_band_limited_object(), (0, 0), _probe(), info={"elapsed_s": 3.0})
    report = evaluate(timed, scan)
    assert (report["elapsed_s"], report["patterns_per_s"]) == (3.0, 50.0)
