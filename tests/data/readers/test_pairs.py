"""The two halves of a scan: which files they are, what their numbers come to, and what is said about it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.dataset.sources import list_sources
from ptychopinn_backend.data.decisions import LOGGER
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.readers.door import open_scan
from ptychopinn_backend.data.simulation import SimulatedScan
from ptychopinn_backend.errors import DataError, ScanWarning

from .writers import (
    DISTANCE_M,
    ENERGY_EV,
    PIXEL_M,
    make_scan,
    write_fold_slice,
    write_npz,
    write_nsls2,
    write_ptychodus_pair,
    write_ptychodus_training,
)

POSITIONS = ("probe_position_indexes", "probe_position_x_m", "probe_position_y_m")


@pytest.fixture(scope="module")
def scan() -> SimulatedScan:
    return make_scan()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LOGGER)
    return caplog


def change_positions(product: Path, change: Callable[[Any], Any]) -> None:
    """Change numbers, columns and rows of the positions (3, pattern) of a product."""
    with h5py.File(product, "a") as file:
        values = change(np.stack([file[name][()] for name in POSITIONS]))
        for name, row in zip(POSITIONS, values, strict=True):
            del file[name]
            file[name] = row if name != POSITIONS[0] else row.astype(np.int64)


@pytest.mark.parametrize(
    ("write", "reader"), [(write_ptychodus_pair, "ptychodus-files"), (write_fold_slice, "fold_slice")]
)
def test_a_named_reader_leaves_one_scan(
    write: Callable[[SimulatedScan, Path], Path], reader: str, scan: SimulatedScan, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = write(scan, tmp_path / "in")
    reading = Reading(reader=reader)
    assert list_sources(tmp_path / "in", reading) == list_sources([*(tmp_path / "in").iterdir()], reading) == [path]
    assert RawData.from_file(tmp_path / "in", reading=reading).n_patterns == 25
    assert main(["convert", str(tmp_path / "in"), "-o", str(tmp_path / "o.npz"), "--reader", reader, "-q"]) == 0


def test_the_readers_of_another_package_get_the_patterns(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    assert list_sources(tmp_path, Reading(reader="ptychodus:HDF5")) == [path]


def test_stated_positions_leave_one_scan(scan: SimulatedScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    path = write_ptychodus_pair(scan, tmp_path / "in")
    elsewhere = tmp_path / "better.h5"
    elsewhere.write_bytes((tmp_path / "in" / "product.h5").read_bytes())
    assert list_sources(tmp_path / "in", Reading(positions=elsewhere)) == [path]
    monkeypatch.chdir(tmp_path / "in")
    assert list_sources(tmp_path / "in", Reading(positions=Path("product.h5"))) == [path]


def test_the_partner_is_named(scan: SimulatedScan, tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    for named in (path, tmp_path / "product.h5"):
        told.clear()
        RawData.from_file(named)
        assert told.text.count("its positions are those of product.h5, which lies beside it; --positions") == 1
    told.clear()
    RawData.from_file(path, reading=Reading(positions=tmp_path / "product.h5"))
    assert "lies beside it" not in told.text


def test_the_partner_of_another_scan_is_not_taken(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    (tmp_path / "A_diffraction.h5").write_bytes(path.read_bytes())
    path.rename(tmp_path / "B_diffraction.h5")
    (tmp_path / "product.h5").rename(tmp_path / "B_product.h5")
    with pytest.raises(
        DataError, match=r"A_diffraction\.h5 holds one half .*, B_product\.h5, belongs to B_diffraction\.h5 by its name"
    ):
        RawData.from_file(tmp_path / "A_diffraction.h5")
    assert RawData.from_file(tmp_path / "B_diffraction.h5").n_patterns == 25
    assert [file.name for file in list_sources(tmp_path)] == ["A_diffraction.h5", "B_diffraction.h5"]
    stated = Reading(positions=tmp_path / "B_product.h5")
    assert RawData.from_file(tmp_path / "A_diffraction.h5", reading=stated).n_patterns == 25
    # Where no other patterns claim it, the only product there is belongs to them.
    (tmp_path / "B_diffraction.h5").unlink()
    assert RawData.from_file(tmp_path / "A_diffraction.h5").n_patterns == 25


@pytest.mark.parametrize("write", [write_npz, write_ptychodus_training])
def test_stated_positions_of_a_whole_scan_are_refused(
    write: Callable[[SimulatedScan, Path], Path], scan: SimulatedScan, tmp_path: Path
) -> None:
    path, other = write(scan, tmp_path), write_nsls2(scan, tmp_path)
    with pytest.raises(DataError, match=r"has its positions beside its patterns, so --positions .*scan_1\.h5"):
        RawData.from_file(path, reading=Reading(positions=other))
    assert RawData.from_file(path, reading=Reading(positions=path)).n_patterns == 25
    pair = write_ptychodus_pair(scan, tmp_path)
    with pytest.raises(DataError, match="whose positions are read with its own patterns alone"):
        RawData.from_file(pair, reading=Reading(positions=path))


def test_numbers_that_differ_are_counted(scan: SimulatedScan, tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    first, last, away = 7, 31, 12
    change_positions(
        tmp_path / "product.h5",
        lambda rows: np.concatenate(
            [
                rows[:, (rows[0] != away) & (rows[0] != last)],  # one is interpolated, one pattern left out
                rows[:, rows[0] == first],  # one number twice
                [[first - 1, first - 2], *[[0.0, 0.0]] * 2],  # two that no pattern has
            ],
            axis=1,
        ),
    )
    found = RawData.from_file(path)
    assert found.n_patterns == 24
    assert "1 of 25 patterns have no position and are left out" in told.text
    assert "2 of 26 positions belong to no pattern" in told.text
    assert "1 number has several positions, which are averaged" in told.text
    assert "1 of 24 patterns have a number that no position has; theirs is interpolated" in told.text


def test_invented_positions_are_warned_of(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_ptychodus_pair(scan, tmp_path)
    change_positions(tmp_path / "product.h5", lambda rows: rows[:, rows[0] % 2 == 1])
    with pytest.warns(ScanWarning, match=r"12 of 25 patterns have a number that no position has; .* not measured"):
        RawData.from_file(path)
    assert main(["check", str(path), "--no-orientation"]) == 1


def test_what_is_stated_of_training_data_is_used(
    scan: SimulatedScan, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    path = write_ptychodus_training(scan, tmp_path)
    plain = RawData.from_file(path)
    told.clear()
    stated = RawData.from_file(path, reading=Reading(pixel_size_m=2e-8, energy_eV=ENERGY_EV, distance_m=DISTANCE_M))
    np.testing.assert_array_equal(stated.positions_xy, plain.positions_xy)
    assert (stated.metadata["object_pixel_width_m"], stated.metadata["photon_energy_eV"]) == (2e-8, ENERGY_EV)
    assert "positions are pixels already and stay so; --pixel-size says how large" in told.text


def test_training_data_in_metres(scan: SimulatedScan, tmp_path: Path, told: pytest.LogCaptureFixture) -> None:
    path = write_ptychodus_training(scan, tmp_path)
    plain = RawData.from_file(path).positions_xy
    with h5py.File(path, "a") as file:
        for name in ("probe_position_x_px", "probe_position_y_px"):
            values = file[name][()]
            del file[name]
            file[name] = values * PIXEL_M
    with pytest.raises(DataError, match="metres and does not say the photon energy"):
        RawData.from_file(path)
    found = RawData.from_file(path, reading=Reading(pixel_size_m=PIXEL_M)).positions_xy
    np.testing.assert_allclose(found - found[0], plain - plain[0], atol=1e-4)


def test_a_pixel_size_does_not_move_an_npz_in_pixels(scan: SimulatedScan, tmp_path: Path) -> None:
    path = write_npz(scan, tmp_path)
    found = RawData.from_file(path, reading=Reading(pixel_size_m=2e-8))
    np.testing.assert_allclose(found.positions_xy, scan.positions_xy, rtol=1e-12)
    assert found.metadata["object_pixel_height_m"] == 2e-8


@pytest.mark.parametrize(
    "reading", [Reading(negate_x=True), Reading(rotate_deg=90.0), Reading(swap_xy=True, negate_y=True)], ids=str
)
def test_one_lost_position_leaves_the_others(reading: Reading, scan: SimulatedScan, tmp_path: Path) -> None:
    x, y = scan.positions_xy.T.copy()
    inside = int(np.argmin(np.hypot(x - np.median(x), y - np.median(y))))
    arrays = {"xcoords": x, "ycoords": y, "xcoords_start": x, "ycoords_start": y, "diffraction": scan.counts}
    np.savez(tmp_path / "whole.npz", **arrays)
    lost = {name: np.where(np.arange(25) == inside, np.nan, arrays[name]) for name in ("xcoords", "xcoords_start")}
    np.savez(tmp_path / "lost.npz", **{**arrays, **lost})
    whole, found = (open_scan(tmp_path / f"{name}.npz", reading).members for name in ("whole", "lost"))
    others = np.arange(25) != inside
    for name in ("xcoords", "ycoords", "xcoords_start", "ycoords_start"):
        np.testing.assert_allclose(found[name][others], whole[name][others], atol=1e-9, err_msg=name)
    assert np.isnan([found["xcoords"][inside], found["ycoords"][inside]]).any()
