"""`--reader ptychodus:NAME`: the host's own readers give every command a scan, without a window."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("ptychodus")
from importlib.metadata import entry_points

from ptychodus_plugin.scan_readers import PtychodusReaders
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.dataset.sources import fingerprint
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.readers.door import open_scan
from ptychopinn_backend.data.simulation import SimulatedScan
from ptychopinn_backend.errors import ConfigError, DataError
from tests.data.readers.writers import (
    DETECTOR_M,
    DISTANCE_M,
    ENERGY_EV,
    PIXEL_M,
    make_scan,
    write_fold_slice,
    write_nsls2,
    write_of_ptychodus,
    write_ptychodus_pair,
)

pytestmark = pytest.mark.skipif(
    not entry_points(group="ptychopinn_backend.readers"), reason="installed without its entry points; install it again"
)


@pytest.fixture(scope="module")
def scan() -> SimulatedScan:
    return make_scan()


def from_lowest(positions_xy: np.ndarray, N: int) -> np.ndarray:
    return positions_xy - positions_xy.min(axis=0) + N / 2


def seen(scan: SimulatedScan) -> np.ndarray:
    """Counts without the pixels that stick: their formats have no mask, so the files hold zeros there."""
    return np.where(scan.bad_pixels, 0, scan.counts)


def test_patterns_and_product_of_one_name(scan: SimulatedScan, tmp_path: Path) -> None:
    # Style 2 of NSLS-II: the host takes patterns as they are, corner and all.
    path = write_nsls2(scan, tmp_path)
    found = RawData.from_file(path, "amplitudes", reading=Reading(reader="ptychodus:NSLS_II_2"))
    np.testing.assert_allclose(found.diff3d, np.fft.fftshift(np.sqrt(seen(scan)), axes=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.positions_xy, from_lowest(scan.positions_xy, found.N), atol=1e-4)


def test_two_names_and_two_files(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_fold_slice(scan, tmp_path)
    stated = Reading(
        reader="ptychodus:fold_slice+fold_slice", positions=tmp_path / "data_roi0_para.hdf5", pixel_size_m=PIXEL_M
    )
    found = RawData.from_file(path, reading=stated)
    np.testing.assert_allclose(found.diff3d**2, seen(scan), rtol=1e-5)
    np.testing.assert_allclose(found.positions_xy, from_lowest(scan.positions_xy, found.N), atol=1e-4)
    # The host knows the pitch of the detector and not the distance.
    with pytest.raises(DataError, match="does not say the photon energy and distance"):
        RawData.from_file(path, reading=Reading(reader=stated.reader, positions=stated.positions))


def test_patterns_are_read_in_pieces(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_nsls2(scan, tmp_path)
    with h5py.File(path, "a") as file:
        del file["diffamp"]
        file.create_dataset("diffamp", data=np.ones((25, 512, 512), np.float32), chunks=(1, 512, 512))
    opened = open_scan(path, Reading(reader="ptychodus:NSLS_II_2"))
    assert [len(piece) for piece in opened.patterns.pieces()] == [4, 4, 4, 4, 4, 4, 1]


def test_names_are_listed_and_wrong_ones_refused(scan: SimulatedScan, tmp_path: Path) -> None:
    names = PtychodusReaders().names()
    assert names["NSLS_II_2"].endswith("patterns, positions")
    assert len(names) > 20
    path = write_ptychodus_pair(scan, tmp_path)
    with pytest.raises(ConfigError, match=r"no reader of patterns called 'NSLS_II_3'\. Did you mean 'NSLS_II_"):
        RawData.from_file(path, reading=Reading(reader="ptychodus:NSLS_II_3"))
    with pytest.raises(DataError, match=r"reader 'NSLS_II_2' cannot read .*diffraction\.h5 \(KeyError"):
        RawData.from_file(path, reading=Reading(reader="ptychodus:NSLS_II_2"))


def test_no_window_is_needed(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_nsls2(scan, tmp_path)
    code = (
        "import sys; sys.modules['PyQt5'] = None\n"
        "from ptychopinn_backend.cli import main\n"
        f"code = main(['convert', {str(path)!r}, '-o', {str(tmp_path / 'o.npz')!r}, '--reader', 'ptychodus:NSLS_II_2',"
        " '--measurement', 'amplitudes', '-q'])\n"
        "sys.exit(code or any(name.split('.')[0] in ('torch', 'tensorflow') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert RawData.from_file(tmp_path / "o.npz").n_patterns == 25


def eiger_set(scan: SimulatedScan, folder: Path) -> Path:
    """A master file of the Velociprobe and two files with its frames."""
    folder.mkdir()
    for number, frames in enumerate((seen(scan)[:15], seen(scan)[15:]), 1):
        with h5py.File(folder / f"data_{number:06d}.h5", "w") as file:
            file["entry/data/data"] = frames.astype(np.uint32)
    with h5py.File(folder / "master.h5", "w") as file:
        for number in (1, 2):
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(f"data_{number:06d}.h5", "/entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        units = {"detector_distance": (DISTANCE_M, "m"), "x_pixel_size": (DETECTOR_M, "m")}
        units |= {"y_pixel_size": (DETECTOR_M, "m"), "beam_center_x": (16, "pixel"), "beam_center_y": (16, "pixel")}
        for name, (value, unit) in units.items():
            detector[name] = value
            detector[name].attrs["units"] = np.bytes_(unit)
        specific = {"nimages": 25, "ntrigger": 1, "x_pixels_in_detector": 32, "y_pixels_in_detector": 32}
        for name, value in specific.items():
            detector[f"detectorSpecific/{name}"] = value
        detector["detectorSpecific/photon_energy"] = ENERGY_EV
        detector["detectorSpecific/photon_energy"].attrs["units"] = np.bytes_("eV")
        detector["detectorSpecific/pixel_mask"] = np.zeros((32, 32), np.uint32)
        file["entry/sample/goniometer/chi"] = 0.0
        file["entry/sample/goniometer/chi"].attrs["units"] = np.bytes_("degree")
    return folder / "master.h5"


def test_the_files_of_an_eiger_set_belong_to_the_scan(scan: SimulatedScan, tmp_path: Path) -> None:
    path = eiger_set(scan, tmp_path / "set")
    product = write_ptychodus_pair(scan, tmp_path).with_name("product.h5")
    with h5py.File(product, "a") as file:
        numbers = file["probe_position_indexes"][()]
        file["probe_position_indexes"][...] = numbers - 7
    names = PtychodusReaders().names()
    of_patterns = next(name for name, text in names.items() if "elociprobe" in name and "patterns" in text)
    stated = Reading(reader=f"ptychodus:{of_patterns}+HDF5", positions=product)
    opened = open_scan(path, stated)
    assert {file.name for file in opened.files} == {"master.h5", "data_000001.h5", "data_000002.h5", "product.h5"}
    np.testing.assert_allclose(RawData.from_file(path, reading=stated).diff3d ** 2, seen(scan), rtol=1e-5)
    before = fingerprint(path, stated)
    with h5py.File(tmp_path / "set" / "data_000002.h5", "a") as file:
        file["entry/data/data"][3, 4, 5] += 1
        file.attrs["touched"] = 1
    assert fingerprint(path, stated) != before


def test_a_product_is_held_to_the_far_field(scan: SimulatedScan, tmp_path: Path) -> None:
    found = RawData.from_file(write_of_ptychodus(scan, tmp_path), reading=Reading(reader="ptychodus:CXI"))
    np.testing.assert_allclose(found.probeGuess[0], (1 + 0.5j) * scan.probe[0], rtol=1e-5)
    with pytest.raises(DataError, match=r"scan\.cxi: The probe has pixels of .* they must be equal"):
        RawData.from_file(write_of_ptychodus(scan, tmp_path, 1.1 * PIXEL_M), reading=Reading(reader="ptychodus:CXI"))
