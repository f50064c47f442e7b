"""Training HDF5 packed with filters that come as plug-ins, as most detectors write them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from tests.data.dataset.conftest import N, scan_members, write_training_hdf5

PACKED: dict[str, Any] = {
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "bitshuffle with zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "blosc": hdf5plugin.Blosc(),
    "blosc2": hdf5plugin.Blosc2(),
    "lz4": hdf5plugin.LZ4(),
    "zstd": hdf5plugin.Zstd(),
    "bzip2": hdf5plugin.BZip2(),
}
ABSENT = 305
READ = """
import sys, warnings
warnings.simplefilter("error")
from ptychopinn_backend.data.raw_data import RawData
assert "hdf5plugin" not in sys.modules
print(RawData.from_file(sys.argv[1]).n_patterns)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.h5"
    write_training_hdf5(path, scan_members(3, 25))
    return path


def repack(path: Path, name: str, **packing: Any) -> None:
    with h5py.File(path, "a") as content:
        values = content[name][()]
        del content[name]
        content.create_dataset(name, data=values, **packing)


@pytest.mark.parametrize("packing", PACKED.values(), ids=PACKED)
def test_every_filter_that_loses_nothing_is_read(file: Path, tmp_path: Path, packing: Any) -> None:
    plain = RawData.from_file(file)
    for name in ("patterns", "probe", "bad_pixels", "probe_position_x_px"):
        repack(file, name, **packing)
    packed = RawData.from_file(file)
    np.testing.assert_array_equal(packed.diff3d, plain.diff3d)
    np.testing.assert_array_equal(packed.probeGuess, plain.probeGuess)
    np.testing.assert_array_equal(packed.positions_xy, plain.positions_xy)
    dataset = create_dataset(file, tmp_path / "set", ModelConfig(N=N))
    np.testing.assert_array_equal(dataset.scans[0].patterns[np.arange(25)], plain.diff3d)


def test_the_filters_are_there_without_a_word_of_the_user(file: Path) -> None:
    repack(file, "patterns", **hdf5plugin.Bitshuffle())
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", READ, str(file)],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "25"), done.stderr


def test_what_packs_very_tightly_is_no_bomb(tmp_path: Path) -> None:
    members = scan_members(3, 25)
    path = tmp_path / "train.h5"
    write_training_hdf5(path, members)
    with h5py.File(path, "a") as content:
        del content["object"]
        content.create_dataset("object", data=np.ones((1500, 1500), np.complex64), **hdf5plugin.Zstd())
        assert content["object"].id.get_storage_size() < 1500 * 1500 * 8 / 1032
    assert RawData.from_file(path).objectGuess is not None


def test_a_missing_filter_is_named_with_the_data_set_and_what_to_do(file: Path) -> None:
    with h5py.File(file, "a") as content:
        values = content["patterns"][()]
        del content["patterns"]
        packing = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        packing.set_chunk(values.shape)
        packing.set_filter(ABSENT, h5py.h5z.FLAG_OPTIONAL)
        space, kind = h5py.h5s.create_simple(values.shape), h5py.h5t.py_create(values.dtype)
        dataset = h5py.h5d.create(content.id, b"patterns", kind, space, packing)
        dataset.write_direct_chunk((0, 0, 0), values.tobytes())
    with pytest.raises(
        DataError,
        match=r"'patterns' in .*train\.h5 cannot be read: it is packed with the HDF5 filter 305 \(LZO\), which is not "
        r"installed here; h5repack -f GZIP=4 OLD NEW",
    ):
        RawData.from_file(file)


def test_patterns_that_were_never_written(file: Path) -> None:
    with h5py.File(file, "a") as content:
        shape = content["patterns"].shape
        del content["patterns"]
        content.create_dataset("patterns", shape, np.uint16, chunks=(1, *shape[1:]))
    with pytest.raises(DataError, match=r"'patterns' in .* declares .* bytes, and none was ever written"):
        RawData.from_file(file)


def test_chunks_that_were_never_written_are_left_out_by_name(file: Path) -> None:
    with h5py.File(file, "a") as content:
        values = content["patterns"][()]
        del content["patterns"]
        patterns = content.create_dataset("patterns", values.shape, values.dtype, chunks=(1, *values.shape[1:]))
        for index in np.setdiff1d(np.arange(25), (3, 4, 20)):
            patterns[index] = values[index]
    with pytest.warns(UserWarning, match="Patterns 3, 4 and 20 are without a photon; they are left out") as said:
        raw = RawData.from_file(file)
    assert len(said) == 1
    assert raw.n_patterns == 22
