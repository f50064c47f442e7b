"""HDF5 files that mislead the HDF5 library itself, which would then fill the memory or end the process."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.files.untrusted_hdf5 import open_hdf5, why_unreadable

from .formats import FORMATS

TRAINING = next(form for form in FORMATS if form.name == "training HDF5")
READ_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
try:
    RawData.from_file(Path(sys.argv[1]))
except DataError as error:
    print(error)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scan.h5"
    TRAINING.good(path)
    return path


def exchange(path: Path, name: str, make: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "a") as content:
        del content[name]
        make(content)


def free_blocks(image: bytes | bytearray) -> int:
    """Return where the first free block of the file's names lies."""
    *_, first, address = struct.unpack_from("<QQQ", image, image.index(b"HEAP") + 8)
    return int(first + address)


def test_free_space_that_leads_back_to_itself_ends(file: Path) -> None:
    image = bytearray(file.read_bytes())
    block = free_blocks(image)
    address = struct.unpack_from("<Q", image, image.index(b"HEAP") + 24)[0]
    image[block : block + 8] = struct.pack("<Q", block - address)
    file.write_bytes(image)
    command = [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "its list of free space leads back to itself" in done.stdout


def test_reading_beyond_the_end_is_refused(file: Path) -> None:
    image = file.read_bytes()
    with h5py.File(file) as content:
        end = content["patterns"].id.get_offset() + 8
    with open_hdf5(io.BytesIO(image)) as content:
        assert content["patterns"].shape == (4, 8, 8)
    file.write_bytes(image[:end])
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        RawData.from_file(file)


def two_numbers_in_one_place() -> h5py.h5t.TypeID:
    overlapping = h5py.h5t.create(h5py.h5t.COMPOUND, 12)
    overlapping.insert(b"r", 0, h5py.h5t.IEEE_F64LE)
    overlapping.insert(b"i", 8, h5py.h5t.IEEE_F32LE)
    return overlapping


def odd_bits() -> h5py.h5t.TypeID:
    odd = h5py.h5t.STD_U16LE.copy()
    odd.set_precision(9)
    odd.set_offset(3)
    return odd


@pytest.mark.parametrize(
    ("kind", "words"),
    [(two_numbers_in_one_place, "instead of numbers"), (odd_bits, "its numbers are laid out in an unusual way")],
)
def test_numbers_of_an_odd_layout_are_not_read(file: Path, kind: Callable[[], h5py.h5t.TypeID], words: str) -> None:
    space = h5py.h5s.create_simple((4,))
    exchange(file, "probe", lambda content: h5py.h5d.create(content.id, b"probe", kind(), space))
    with pytest.raises(DataError, match=f"'probe' in .* cannot be read: .*{words}"):
        RawData.from_file(file)


@pytest.mark.parametrize("filtered", [{"scaleoffset": 4}, {"compression": "szip"}])
def test_filters_that_believe_the_file_are_not_applied(file: Path, filtered: dict[str, object]) -> None:
    values = np.zeros((4, 8, 8), np.uint16)
    try:
        exchange(file, "patterns", lambda content: content.create_dataset("patterns", data=values, **filtered))
    except ValueError:
        pytest.skip("this HDF5 library has no such filter")
    with pytest.raises(DataError, match=r"packed with the filter (scaleoffset|szip)"):
        RawData.from_file(file)


@pytest.mark.parametrize("filtered", [{}, {"compression": "gzip", "shuffle": True}, {"fletcher32": True}])
@pytest.mark.parametrize("dtype", ["u1", "<i4", ">u2", "f4", ">f8", "f2", "?"])
def test_usual_numbers_are_read(dtype: str, filtered: dict[str, object]) -> None:
    image = io.BytesIO()
    values = np.arange(60).reshape(3, 4, 5).astype(dtype)
    with h5py.File(image, "w") as content:
        content.create_dataset("values", data=values, **filtered)
    with open_hdf5(image) as content:
        assert why_unreadable(content["values"]) is None
        np.testing.assert_array_equal(content["values"][()], values)


def test_values_of_another_file_are_not_read(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(2**10))
    stored = {"shape": (4, 8, 8), "dtype": np.uint16, "external": str(secret)}
    exchange(file, "patterns", lambda content: content.create_dataset("patterns", **stored))
    with pytest.raises(DataError, match="is not a dataset kept in this file"):
        RawData.from_file(file)
    layout = h5py.VirtualLayout((4, 8, 8), np.uint16)
    layout[:] = h5py.VirtualSource(secret, "patterns", (4, 8, 8))
    exchange(file, "patterns", lambda content: content.create_virtual_dataset("patterns", layout))
    with pytest.raises(DataError, match="is not a dataset kept in this file"):
        RawData.from_file(file)


def test_a_reference_is_not_followed(file: Path) -> None:
    exchange(file, "probe", lambda content: content.create_dataset("probe", data=content.ref, dtype=h5py.ref_dtype))
    with pytest.raises(DataError, match="holds object instead of numbers"):
        RawData.from_file(file)


def test_a_piece_larger_than_the_file_may_unfold_to_is_not_made(file: Path) -> None:
    shape = {"shape": (0, 8, 8), "maxshape": (None, 8, 8), "chunks": (2**20, 8, 8), "dtype": np.uint16}
    exchange(file, "patterns", lambda content: content.create_dataset("patterns", **shape))
    with pytest.raises(DataError, match=r"declares 0\.125 GiB and stores 0 bytes"):
        RawData.from_file(file)
