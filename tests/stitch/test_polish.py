"""Data-consistency steps on a stitched object."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ptychopinn_backend.arrays import Complex64Array
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulatedScan, SimulationConfig, simulate
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import scan_r_factors
from ptychopinn_backend.physics.scan_model import scan_intensities
from ptychopinn_backend.stitching.assembly import ObjectFrame
from ptychopinn_backend.stitching.polish import polish
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

N = 32


@pytest.fixture(scope="module")
def simulated() -> SimulatedScan:
    return simulate(SimulationConfig(size=N, patterns=100, photons=1e6, modes=2, step_px=3.0), 4)


@pytest.fixture(scope="module")
def scan(simulated: SimulatedScan) -> RawData:
    return simulated.to_raw_data()


@pytest.fixture(scope="module")
def blurred(simulated: SimulatedScan) -> Complex64Array:
    real, imaginary = (gaussian_filter(part, 1.5) for part in (simulated.object.real, simulated.object.imag))
    return (real + 1j * imaginary).astype(np.complex64)


def frame_of(obj: Complex64Array) -> ObjectFrame:
    return ObjectFrame((obj.shape[0], obj.shape[1]), (0.0, 0.0))


def test_the_truth_without_noise_stays(simulated: SimulatedScan) -> None:
    truth, positions = simulated.object, simulated.positions_xy
    amplitudes = np.sqrt(scan_intensities(truth, (0, 0), simulated.probe, positions))
    found = polish(truth, frame_of(truth), simulated.probe, positions, amplitudes, 3)
    np.testing.assert_allclose(found, truth, atol=1e-4)


def test_steps_bring_the_object_to_the_photon_noise(
    simulated: SimulatedScan, scan: RawData, blurred: Complex64Array
) -> None:
    def r_factor(steps: int) -> tuple[float, float]:
        obj = polish(blurred, frame_of(blurred), simulated.probe, scan.positions_xy, scan.diff3d, steps)
        return scan_r_factors(Reconstruction(obj, (0.0, 0.0), simulated.probe), scan)

    (start, _), (some, _), (many, floor) = r_factor(0), r_factor(2), r_factor(12)
    assert start > 1.5 * some
    assert some > many
    assert many < 1.1 * floor


def test_masked_pixels_do_not_count(simulated: SimulatedScan, scan: RawData, blurred: Complex64Array) -> None:
    valid = np.ones((N, N), np.bool_)
    valid[3, 5] = valid[16, 16] = False
    spoilt = scan.diff3d.copy()
    spoilt[:, ~valid] = 1e4
    arguments = (blurred, frame_of(blurred), simulated.probe, scan.positions_xy)
    np.testing.assert_array_equal(
        polish(*arguments, spoilt, 2, valid_pixels=valid), polish(*arguments, scan.diff3d, 2, valid_pixels=valid)
    )


def test_unknown_pixels_stay_unknown_and_count_as_vacuum(simulated: SimulatedScan, scan: RawData) -> None:
    holed = simulated.object.copy()
    holed[:, :20] = 0
    found = polish(holed, frame_of(holed), simulated.probe, scan.positions_xy, scan.diff3d, 4)
    assert not found[:, :20].any()
    # Far from the hole the object was right, and stays so.
    np.testing.assert_allclose(found[30:-30, -45:-30], simulated.object[30:-30, -45:-30], atol=0.15)


def test_patterns_beyond_the_frame_are_left_out(simulated: SimulatedScan, scan: RawData) -> None:
    part = ObjectFrame((N + 12, N + 12), (0.0, 0.0))
    cut = simulated.object[: N + 12, : N + 12]
    found = polish(cut, part, simulated.probe, scan.positions_xy, scan.diff3d, 4)
    assert np.abs(found - cut).max() < 0.5
    nowhere = ObjectFrame((N // 2, N // 2), (0.0, 0.0))
    small = simulated.object[: N // 2, : N // 2]
    assert polish(small, nowhere, simulated.probe, scan.positions_xy, scan.diff3d, 4) is small


def test_amplitudes_of_another_number(simulated: SimulatedScan, scan: RawData, blurred: Complex64Array) -> None:
    with pytest.raises(DataError, match="amplitudes"):
        polish(blurred, frame_of(blurred), simulated.probe, scan.positions_xy, scan.diff3d[:-1], 1)
