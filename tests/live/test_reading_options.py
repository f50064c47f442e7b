"""`replay` serves, and `live` takes the probe of, scans of any format, with what is stated about them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.cli.live import _probe_of
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.errors import DataError
from tests.data.readers.writers import ENERGY_EV, PIXEL_M, make_scan, write_cxi, write_nxcxi, write_ptychodus_pair


def without_energy(tmp_path: Path) -> Path:
    path = write_cxi(make_scan(), tmp_path)
    with h5py.File(path, "a") as file:
        del file["entry_1/instrument_1/source_1/energy"]
    return path


def test_a_probe_comes_from_any_scan(tmp_path: Path) -> None:
    scan = make_scan()
    probe, bad_pixels = _probe_of(write_ptychodus_pair(scan, tmp_path), Reading(), None)
    np.testing.assert_array_equal(probe, scan.probe.astype(np.complex64))
    np.testing.assert_array_equal(bad_pixels, scan.bad_pixels)
    path = without_energy(tmp_path)
    with pytest.raises(DataError, match="does not say the photon energy"):
        _probe_of(path, Reading(), None)
    for reading, pixel_size_m in ((Reading(energy_eV=ENERGY_EV), None), (Reading(reader="cxi"), PIXEL_M)):
        np.testing.assert_array_equal(_probe_of(path, reading, pixel_size_m)[0], probe)
    with pytest.raises(DataError, match="has no probe"):
        _probe_of(write_nxcxi(scan, tmp_path), Reading(), None)


def test_options_on_the_probe_need_its_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("p4p")
    words = ["live", str(tmp_path), "--frames", "pva://f", "--positions", "pva://p", "-o", str(tmp_path / "o")]
    assert main([*words, "--reader", "cxi"]) == 2
    assert "reader concern --probe-from, which is not given" in capsys.readouterr().err


def test_a_scan_is_replayed_as_it_is_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("p4p")
    path = without_energy(tmp_path)
    assert main(["replay", str(path), "--wait", "0.1"]) == 2
    assert "does not say the photon energy" in capsys.readouterr().err
    assert main(["replay", str(path), "--energy", str(ENERGY_EV), "--wait", "0.1"]) == 2
    assert "Nobody followed the channels" in capsys.readouterr().err
