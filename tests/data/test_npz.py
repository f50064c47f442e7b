from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from ptychopinn_backend.files.npz import member_header, member_names, read_npz, write_npz


class Tripwire:
    """Sets a flag when it is unpickled."""

    fired = False

    def __reduce__(self):
        return (setattr, (Tripwire, "fired", True))


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_members(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_round_trip_keeps_types_and_values(tmp_path):
    members = {"a": np.arange(6, dtype=np.uint16).reshape(2, 3), "b": np.array(1 + 2j), "text": np.array("héllo")}
    write_npz(tmp_path / "x.npz", members)
    assert member_names(tmp_path / "x.npz") == ["a", "b", "text"]
    read = read_npz(tmp_path / "x.npz", ("a", "b", "text", "absent"))
    assert set(read) == set(members)
    for name, array in members.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_a_failed_write_keeps_the_file_before(tmp_path):
    path = tmp_path / "x.npz"
    write_npz(path, {"a": np.arange(3)})

    class Unwritable:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("no array")

    with pytest.raises(RuntimeError, match="no array"):
        write_npz(path, {"a": Unwritable()})
    np.testing.assert_array_equal(read_npz(path, ("a",))["a"], np.arange(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npz"]


def test_missing_file(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"gone\.npz does not exist.*Check the path"):
        read_npz(tmp_path / "gone.npz", ("a",))


def test_folder(tmp_path):
    with pytest.raises(DataError, match="is not a file"):
        read_npz(tmp_path, ("a",))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(100), npy_bytes(np.arange(3))])
def test_file_of_another_kind(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"is not an NPZ file|is damaged or cut short \(108 bytes"):
        read_npz(tmp_path / "x.npz", ("a",))


def test_truncated_file(tmp_path):
    write_npz(tmp_path / "x.npz", {"a": np.arange(1000)})
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is cut short or damaged"):
        read_npz(tmp_path / "x.npz", ("a",))


def test_flipped_bit_is_found(tmp_path):
    write_npz(tmp_path / "x.npz", {"a": np.arange(1000)})
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"'a' in .* is damaged"):
        read_npz(tmp_path / "x.npz", ("a",))


def test_objects_are_refused_unopened(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([Tripwire()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"'a' .*Python objects, which are never unpickled"):
        read_npz(tmp_path / "x.npz", ("a",))
    assert not Tripwire.fired


def test_pickled_metadata_is_skipped_with_a_warning(tmp_path):
    np.savez(tmp_path / "x.npz", _metadata=np.array({"t": Tripwire()}, dtype=object), a=np.arange(2))
    with pytest.warns(UserWarning, match="pickled object and was skipped"):
        read = read_npz(tmp_path / "x.npz", ("a", "_metadata"))
    assert set(read) == {"a"}
    assert not Tripwire.fired


def test_a_bare_pickle_is_no_array(tmp_path):
    write_members(tmp_path / "x.npz", {"a.npy": pickle.dumps(Tripwire())})
    with pytest.raises(DataError, match=r"'a' in .* is damaged"):
        read_npz(tmp_path / "x.npz", ("a",))
    assert not Tripwire.fired


def test_header_that_declares_more_than_the_file_holds(tmp_path):
    honest = npy_bytes(np.zeros(4, np.uint8))
    lying = honest.replace(b"(4,)", b"(9999999999,)").replace(b"          \n", b"\n")[: len(honest)]
    write_members(tmp_path / "x.npz", {"a.npy": lying})
    with pytest.raises(DataError, match=r"'a' in .* is damaged"):
        read_npz(tmp_path / "x.npz", ("a",))


def test_decompression_bomb_is_refused_before_unpacking(tmp_path):
    write_members(tmp_path / "x.npz", {"a.npy": npy_bytes(np.zeros(2**20, np.uint8)), "b.npy": npy_bytes(np.arange(3))})
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    with pytest.raises(DataError, match=r"declares 0\.000977 GiB of arrays; at most .* are unpacked"):
        read_npz(tmp_path / "x.npz", ("a", "b"), max_bytes=2**20)
    assert set(read_npz(tmp_path / "x.npz", ("b",), max_bytes=2**20)) == {"b"}


def test_whatever_is_altered_the_error_is_ours(tmp_path):
    rng = np.random.default_rng(5)
    path = tmp_path / "x.npz"
    write_npz(path, {"a": np.arange(20.0)})
    whole = path.read_bytes()
    refused = 0
    for _ in range(400):
        altered = bytearray(whole)
        altered[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(altered)
        try:
            read_npz(path, ("a",))
        except DataError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("old", [b"}", b"'<f8'", b"False", b"(20,)"])
def test_altered_header_with_a_valid_checksum(tmp_path, old):
    content = npy_bytes(np.arange(20.0)).replace(old, b"(" * len(old))
    write_members(tmp_path / "x.npz", {"a.npy": content})
    with pytest.raises(DataError, match=r"'a' in .* is damaged"):
        read_npz(tmp_path / "x.npz", ("a",))


def test_a_pickled_none_counts_as_absent(tmp_path):
    np.savez(tmp_path / "x.npz", objectGuess=np.array(None, dtype=object), a=np.arange(2))
    assert set(read_npz(tmp_path / "x.npz", ("objectGuess", "a"))) == {"a"}
    assert member_header(tmp_path / "x.npz", "objectGuess") is None


def test_pickled_metadata_of_plain_data_is_read(tmp_path):
    for described in ({"nphotons": np.float64(1e6), "more": [1, 2]}, '{"nphotons": 1e6, "more": [1, 2]}'):
        np.savez(tmp_path / "x.npz", _metadata=np.array(described, dtype=object))
        text = str(read_npz(tmp_path / "x.npz", ("_metadata",))["_metadata"])
        assert json.loads(text) == {"nphotons": 1e6, "more": [1, 2]}
