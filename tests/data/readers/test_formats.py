"""Every format means the same scan: in memory, as a data set on disk, and through `convert`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.dataset import DatasetOptions, create_dataset
from ptychopinn_backend.data.dataset.sources import fingerprint, list_sources, read_scan_file
from ptychopinn_backend.data.decisions import LOGGER
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.readers import cxi
from ptychopinn_backend.data.readers.providers import provider_names
from ptychopinn_backend.data.readers.table import FORMATS
from ptychopinn_backend.data.simulation import SimulatedScan
from ptychopinn_backend.errors import ConfigError, DataError

from .writers import (
    PIXEL_M,
    WRITTEN,
    Written,
    make_scan,
    write_cxi,
    write_fold_slice,
    write_nxcxi,
    write_of_ptychodus,
    write_ptychodus_pair,
)

ALL = pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)


@pytest.fixture(scope="module")
def scan() -> SimulatedScan:
    return make_scan()


def same(found: RawData, scan: SimulatedScan, written: Written) -> None:
    counts = np.where(scan.bad_pixels, 0, scan.counts)
    np.testing.assert_allclose(found.diff3d, np.sqrt(counts), rtol=1e-6)
    if written.has_bad_pixels:
        np.testing.assert_array_equal(found.bad_pixels, scan.bad_pixels)
    expected = scan.positions_xy
    if not written.is_absolute:
        expected = expected - expected.min(axis=0) + found.N / 2
    np.testing.assert_allclose(found.positions_xy, expected, atol=1e-4)
    if written.has_probe:
        np.testing.assert_array_equal(found.probeGuess, scan.probe.astype(np.complex64))


@ALL
def test_in_memory(written: Written, scan: SimulatedScan, tmp_path: Path) -> None:
    path = written.write(scan, tmp_path)
    same(RawData.from_file(path), scan, written)
    assert read_scan_file(path).opened.format_name == written.name


@ALL
def test_as_data_set_on_disk(written: Written, scan: SimulatedScan, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = written.write(scan, tmp_path / "in")
    if not written.has_probe:
        assert read_scan_file(path).probeGuess is None
        with pytest.raises(DataError, match="has no probe"):
            create_dataset(path, tmp_path / "set", ModelConfig(N=32))
        return
    dataset = create_dataset(path, tmp_path / "set", ModelConfig(N=32), DatasetOptions(normalize=None))
    raw = RawData.from_file(path)
    np.testing.assert_allclose(dataset.X[..., 0], raw.diff3d, rtol=1e-6)
    np.testing.assert_allclose(dataset.coords_true[:, 0, :, 0], raw.positions_xy, rtol=1e-12)


@ALL
def test_through_convert(written: Written, scan: SimulatedScan, tmp_path: Path) -> None:
    path = written.write(scan, tmp_path)
    assert main(["convert", str(path), "-o", str(tmp_path / "out" / "scan.npz"), "-q"]) == 0
    same(RawData.from_file(tmp_path / "out" / "scan.npz"), scan, written)


@ALL
def test_content_tells_the_format_and_not_the_name(written: Written, scan: SimulatedScan, tmp_path: Path) -> None:
    path = written.write(scan, tmp_path)
    renamed = path.rename(tmp_path / "something.dat")
    if written.name == "fold_slice":
        (tmp_path / "data_roi0_para.hdf5").rename(tmp_path / "other.h5")
    assert read_scan_file(renamed).opened.format_name == written.name


@ALL
def test_a_folder_of_it_is_one_scan(written: Written, scan: SimulatedScan, tmp_path: Path) -> None:
    path = written.write(scan, tmp_path)
    for side_file in tmp_path.glob("frames.h5"):  # of a virtual data set: not a scan itself
        (tmp_path / "frames").mkdir()
        side_file.rename(tmp_path / "frames" / "frames.h5")
        with h5py.File(path, "a") as file:
            del file["entry_1/data_1/data"]
            file["entry_1/data_1/data"] = h5py.ExternalLink("frames/frames.h5", "/frames")
    assert list_sources(tmp_path) == [path]

    same(RawData.from_file(tmp_path), scan, written)


@ALL
def test_the_fingerprint_is_of_all_files(written: Written, scan: SimulatedScan, tmp_path: Path) -> None:
    path = written.write(scan, tmp_path)
    before = fingerprint(path)
    assert fingerprint(path) == before
    for file in sorted(item for item in tmp_path.iterdir() if item != path):
        with h5py.File(file, "a") as content:
            content.attrs["touched"] = 1
        assert fingerprint(path) != before
        before = fingerprint(path)


def test_the_table_and_the_tests_name_the_same_formats() -> None:
    assert {form.name for form in FORMATS} == {written.name for written in WRITTEN}


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_formats_without_ptychodus(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not provider_names():
        pytest.skip("installed without its entry points")
    monkeypatch.setitem(sys.modules, "ptychodus", None)
    assert main(["formats", *options]) == 0
    said = capsys.readouterr().out
    assert "readers of ptychodus, which is not installed; ptychopinn-backend[ptychodus] brings it" in said


def test_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats"]) == 0
    said = capsys.readouterr().out
    assert all(form.name in said and form.told_by in said for form in FORMATS)


def test_a_format_may_be_stated(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_cxi(scan, tmp_path)
    assert read_scan_file(path, Reading(reader="cxi")).opened.format_name == "cxi"
    with pytest.raises(DataError, match="lacks '/diffamp'"):
        RawData.from_file(path, reading=Reading(reader="nsls2"))
    with pytest.raises(ConfigError, match=r"reader = 'cxy' is not the name .* Did you mean 'cxi'"):
        RawData.from_file(path, reading=Reading(reader="cxy"))
    with pytest.raises(ConfigError, match=r"needs a package that provides 'nobody'"):
        RawData.from_file(path, reading=Reading(reader="nobody:x"))


def test_both_files_of_a_scan_are_one(scan: SimulatedScan, tmp_path: Path) -> None:
    for write in (write_ptychodus_pair, write_fold_slice):
        folder = tmp_path / write.__name__
        folder.mkdir()
        path = write(scan, folder)
        files = sorted(folder.iterdir())
        assert len(files) == 2
        assert list_sources(files) == [path]
        # The half that holds positions is as good a name.
        other = next(file for file in files if file != path)
        assert RawData.from_file(other).n_patterns == 25


def test_halves_in_two_folders_are_named(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    (tmp_path / "products").mkdir()
    product = (tmp_path / "product.h5").rename(tmp_path / "products" / "p.h5")
    with pytest.raises(DataError, match=r"holds only patterns, and no file beside it .* --positions"):
        RawData.from_file(path)
    found = RawData.from_file(path, reading=Reading(positions=product))
    np.testing.assert_allclose(found.positions_xy, scan.positions_xy, atol=1e-4)


def test_two_products_beside_one_another_are_not_guessed(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    (tmp_path / "product.h5").rename(tmp_path / "first.h5")
    (tmp_path / "second.h5").write_bytes((tmp_path / "first.h5").read_bytes())
    with pytest.raises(DataError, match=r"first\.h5, second\.h5 beside it could each be the other"):
        RawData.from_file(path)


def test_patterns_without_a_position_are_left_out_and_said(
    scan: SimulatedScan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    with h5py.File(tmp_path / "product.h5", "a") as file:
        kept = (file["probe_position_indexes"][()] < 25) & (file["probe_position_indexes"][()] != 12)
        for name in ("probe_position_indexes", "probe_position_x_m", "probe_position_y_m"):
            values = file[name][()][kept]
            del file[name]
            file[name] = np.concatenate([values, values[:1]])  # one number twice: averaged
    with caplog.at_level(logging.INFO, LOGGER):
        found = RawData.from_file(path)
    assert "7 of 25 patterns have no position and are left out" in caplog.text
    np.testing.assert_allclose(found.diff3d**2, np.where(scan.bad_pixels, 0, scan.counts)[:18], rtol=1e-5)
    expected = scan.positions_xy[:18].copy()
    expected[5] = (expected[4] + expected[6]) / 2  # number 12 lies between its neighbours
    np.testing.assert_allclose(found.positions_xy, expected, atol=1e-4)


def test_a_product_of_ptychodus_in_cxi(scan: SimulatedScan, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        found = RawData.from_file(write_of_ptychodus(scan, tmp_path))
    assert "the probe varies over the scan; its mean over the positions is used" in caplog.text
    np.testing.assert_allclose(found.probeGuess[0], (1 + 0.5j) * scan.probe[0], rtol=1e-5)
    np.testing.assert_allclose(found.probeGuess[1], scan.probe[1], rtol=1e-5)
    with pytest.raises(DataError, match=r"scan\.cxi: The probe has pixels of .* they must be equal"):
        RawData.from_file(write_of_ptychodus(scan, tmp_path, 1.1 * PIXEL_M))


def numbered_blocks(folder: Path, counts: np.ndarray, blocks: int = 5) -> Path:
    """A virtual data set of blocks of five patterns in numbered files, as beamlines declare it before a scan."""
    for block in range(blocks):
        with h5py.File(folder / f"frames_{block}.h5", "w") as file:
            file["data"] = counts[5 * block : 5 * block + 5]
    sides = counts.shape[1:]
    unlimited = h5py.h5s.UNLIMITED
    with h5py.File(folder / "master.cxi", "w") as file:
        whole = h5py.h5s.create_simple((0, *sides), (unlimited, *sides))
        whole.select_hyperslab((0, 0, 0), (unlimited, 1, 1), stride=(5, 1, 1), block=(5, *sides))
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_virtual(whole, b"frames_%b.h5", b"data", h5py.h5s.create_simple((5, *sides)))
        group = file.create_group("entry_1/data_1")
        h5py.h5d.create(group.id, b"data", h5py.h5t.py_create(counts.dtype), whole, layout)
    return folder / "master.cxi"


def test_every_numbered_block_is_looked_for(scan: SimulatedScan, tmp_path: Path) -> None:
    path = numbered_blocks(tmp_path, scan.counts)
    part = cxi.read_patterns(path, Reading())
    assert part.patterns.shape == (25, 32, 32)
    assert {file.name for file in part.files} == {"master.cxi", *(f"frames_{block}.h5" for block in range(5))}
    (tmp_path / "frames_3.h5").unlink()
    with pytest.raises(
        DataError, match=r"of which .*frames_3\.h5. is gone and number 4 is there: HDF5 would end before"
    ):
        cxi.read_patterns(path, Reading())
    (tmp_path / "frames_0.h5").unlink()
    with pytest.raises(DataError, match=r"frames_0\.h5, and that file is gone"):
        cxi.read_patterns(path, Reading())


def test_frames_that_nothing_is_mapped_to(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_nxcxi(scan, tmp_path)
    layout = h5py.VirtualLayout((25, 32, 32), scan.counts.dtype)
    for row in range(4):
        layout[5 * row : 5 * row + 5] = h5py.VirtualSource("frames.h5", "frames", (5, 5, 32, 32))[row]
    with h5py.File(path, "a") as file:
        del file["entry_1/data_1/data"]
        file["entry_1"].create_virtual_dataset("data_1/data", layout)
    with pytest.raises(DataError, match="has 5 frames that no file is mapped to: HDF5 would read zeros"):
        RawData.from_file(path)


def test_more_frames_than_any_scan_has(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.cxi", "w") as file:
        layout = h5py.VirtualLayout((10**15, 32, 32), np.uint8)
        file.create_group("entry_1").create_virtual_dataset("data_1/data", layout)
    with pytest.raises(DataError, match=r"declares 1000000000000000 frames; expected at most 1e\+08"):
        cxi.read_patterns(tmp_path / "scan.cxi", Reading())


def test_a_gap_between_modules_needs_no_source(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_nxcxi(scan, tmp_path)
    layout = h5py.VirtualLayout((25, 32, 32), scan.counts.dtype, maxshape=(25, 32, 32))
    with h5py.File(tmp_path / "frames.h5", "a") as file:
        file["modules"] = scan.counts
    source = h5py.VirtualSource("frames.h5", "modules", (25, 32, 32))
    layout[:, :2], layout[:, 3:] = source[:, :2], source[:, 3:]
    with h5py.File(path, "a") as file:
        del file["entry_1/data_1/data"]
        file["entry_1"].create_virtual_dataset("data_1/data", layout)
    assert RawData.from_file(path).n_patterns == 25


def test_nothing_pairs(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    with h5py.File(path, "a") as file:
        file["indexes"][...] = np.arange(25) + 1000
    with pytest.raises(DataError, match="patterns are numbered 1000 to 1024 and positions 7 to 31"):
        RawData.from_file(path)


def test_a_virtual_data_set_whose_file_is_gone_is_refused(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_nxcxi(scan, tmp_path)
    (tmp_path / "frames.h5").unlink()
    with pytest.raises(DataError, match=r"'frames' in frames\.h5, and that file is gone: HDF5 would read zeros"):
        RawData.from_file(path)


def test_orientation_may_be_stated(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_cxi(scan, tmp_path)
    plain = RawData.from_file(path).positions_xy
    middle = plain.min(axis=0) + plain.max(axis=0)
    swapped = RawData.from_file(path, reading=Reading(swap_xy=True)).positions_xy
    np.testing.assert_allclose(swapped, plain[:, ::-1], atol=1e-9)
    mirrored = RawData.from_file(path, reading=Reading(negate_x=True)).positions_xy
    np.testing.assert_allclose(mirrored, np.stack([middle[0] - plain[:, 0], plain[:, 1]], axis=1), atol=1e-9)
    assert main(["convert", str(path), "-o", str(tmp_path / "y.npz"), "--negate-y", "--swap-xy", "-q"]) == 0
    both = RawData.from_file(tmp_path / "y.npz").positions_xy
    np.testing.assert_allclose(both[:, 0], plain[:, 1], atol=1e-9)
    np.testing.assert_allclose(both[:, 1], middle[0] - plain[:, 0], atol=1e-9)


def test_decisions_are_told_once_and_not_when_quiet(
    scan: SimulatedScan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_cxi(scan, tmp_path)
    for output in ("out.npz", "set"):
        caplog.clear()
        assert main(["convert", str(path), "-o", str(tmp_path / output)]) == 0
        assert caplog.text.count("--negate-x") == caplog.text.count("--pixel-size states another") == 1
    caplog.clear()
    assert main(["convert", str(path), "-o", str(tmp_path / "out.npz"), "-q"]) == 0
    assert caplog.text == ""


@pytest.mark.parametrize("missing", ["energy", "distance"])
def test_metres_without_a_geometry_are_refused_with_the_remedy(
    missing: str, scan: SimulatedScan, tmp_path: Path
) -> None:
    path = write_cxi(scan, tmp_path)
    names = {"energy": "entry_1/instrument_1/source_1/energy", "distance": "entry_1/instrument_1/detector_1/distance"}
    plain = RawData.from_file(path).positions_xy
    with h5py.File(path, "a") as file:
        del file[names[missing]]
    with pytest.raises(DataError, match=rf"does not say the .*{missing}.* --pixel-size, or with --energy"):
        RawData.from_file(path)
    stated = Reading(energy_eV=9000.0) if missing == "energy" else Reading(distance_m=1.9)
    np.testing.assert_allclose(RawData.from_file(path, reading=stated).positions_xy, plain, rtol=1e-9)
    by_pixel = RawData.from_file(path, reading=Reading(pixel_size_m=2 * PIXEL_M)).positions_xy
    np.testing.assert_allclose(np.ptp(by_pixel, axis=0), np.ptp(plain, axis=0) / 2, rtol=1e-6)
