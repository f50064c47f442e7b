"""Patterns cropped and padded: the physics of the scan stays, in other pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.resizing import resized
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.physics.scan_model import scan_intensities


def scan(size: int, **options: Any) -> RawData:
    # Enough light that the noise of counting does not hide what is compared.
    given = {"patterns": 30, "photons": 1e9, "object": "random_field", "feature_px": 12.0, **options}
    return simulate_scan(SimulationConfig(size=size, **given), seed=4)


def misfit(raw: RawData) -> float:
    """Return sum |A - |F(P O)|| / sum A at good pixels."""
    assert raw.objectGuess is not None
    assert raw.probeGuess is not None
    model = np.sqrt(scan_intensities(raw.objectGuess, (0, 0), raw.probeGuess, raw.positions_xy))
    good = np.ones((raw.N, raw.N), bool) if raw.bad_pixels is None else ~raw.bad_pixels
    return float(np.abs(raw.diff3d - model)[:, good].sum() / raw.diff3d[:, good].sum())


@pytest.mark.parametrize(("size", "wanted"), [(48, 32), (96, 64), (96, 128), (48, 64)])
def test_probe_object_and_positions_follow(size: int, wanted: int) -> None:
    before = scan(size)
    after = resized(before, wanted)
    assert wanted == after.N
    assert misfit(before) < 0.01
    # Without the light outside and with an object in other pixels the model is not exact any more.
    assert misfit(after) < 0.1
    moved = RawData(**{**vars(after), "xcoords": after.xcoords + 2.0})
    assert misfit(moved) > 3 * misfit(after)


def test_measured_pixels_stay_where_the_light_is() -> None:
    before = scan(48)
    cropped, padded = resized(before, 32), resized(before, 64)
    np.testing.assert_array_equal(cropped.diff3d, before.diff3d[:, 8:40, 8:40])
    np.testing.assert_array_equal(padded.diff3d[:, 8:56, 8:56], before.diff3d)
    assert cropped.bad_pixels is None
    assert padded.bad_pixels is not None
    assert not padded.bad_pixels[8:56, 8:56].any()
    assert padded.bad_pixels.sum() == 64**2 - 48**2
    assert not padded.diff3d[:, padded.bad_pixels].any()


def test_the_mask_goes_with_the_patterns() -> None:
    before = scan(48, beam_stop_px=6.0)
    assert before.bad_pixels is not None
    np.testing.assert_array_equal(resized(before, 32).bad_pixels, before.bad_pixels[8:40, 8:40])
    padded = resized(before, 64).bad_pixels
    assert padded is not None
    np.testing.assert_array_equal(padded[8:56, 8:56], before.bad_pixels)


def test_labels_nominal_positions_and_widths_follow() -> None:
    before = scan(48)
    before.Y = np.ones((30, 48, 48), np.complex64)
    before.xcoords_start, before.ycoords_start = before.xcoords + 1, before.ycoords
    before.metadata["object_pixel_width_m"] = 1e-8
    after = resized(before, 32)
    np.testing.assert_allclose(after.Y, np.ones((30, 32, 32)), rtol=1e-5)
    np.testing.assert_allclose(after.xcoords_start, (before.xcoords + 1) * 2 / 3)
    assert after.metadata["object_pixel_width_m"] == pytest.approx(1.5e-8)


def test_the_same_size_changes_nothing() -> None:
    before = scan(32)
    assert resized(before, 32) is before


def test_a_size_no_network_takes() -> None:
    with pytest.raises(ConfigError, match="size = 96 is not one of 32, 64, 128, 256, 512"):
        resized(scan(32), 96)


def test_a_written_scan_is_read_again(tmp_path: Path) -> None:
    resized(scan(48), 64).to_file(tmp_path / "scan.npz")
    again = RawData.from_file(tmp_path / "scan.npz")
    assert again.N == 64
    assert again.findings == ()
    with np.load(tmp_path / "scan.npz") as members:
        assert json.loads(str(members["_metadata"]))["measured_as_counts"] is True
