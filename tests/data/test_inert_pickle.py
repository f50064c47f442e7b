"""Pickles read as plain data: values come out as they went in, and nothing in them is looked up or called."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.files.inert_pickle import GlobalName, Record, array_value, plain_value, read_inert

PLAIN = {"a": 1, "b": [1.5, True, None, "x", b"bytes"], "c": [2**70, -1], "d": {"e": []}}


class Tripwire:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(protocol: int) -> None:
    assert plain_value(read_inert(pickle.dumps(PLAIN, protocol))) == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_numbers_of_numpy_become_lists_and_numbers(protocol: int) -> None:
    described = {"n": np.float64(1e6), "m": np.arange(6, dtype=">i2").reshape(2, 3), "s": np.str_("text")}
    for value in (described, np.array(described, dtype=object)):
        found = plain_value(read_inert(pickle.dumps(value, protocol)))
        assert found == {"n": 1e6, "m": [[0, 1, 2], [3, 4, 5]], "s": "text"}
    assert plain_value(read_inert(pickle.dumps(np.array(None, dtype=object), protocol))) is None


def test_a_shared_value_stays_shared() -> None:
    shared = [1]
    found = read_inert(pickle.dumps([shared, shared]))
    assert found[0] is found[1]


def test_what_would_be_called_becomes_a_record(tmp_path: Path) -> None:
    record = read_inert(pickle.dumps(Tripwire(tmp_path / "touched")))
    assert isinstance(record, Record)
    assert not (tmp_path / "touched").exists()
    with pytest.raises(ValueError, match="an object of"):
        plain_value(record)
    ordered = read_inert(pickle.dumps(OrderedDict(a=1)))
    assert (ordered.made_by, ordered.entries) == (GlobalName("collections", "OrderedDict"), {"a": 1})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "exhausted"),
        (pickle.dumps(PLAIN)[:-3], "exhausted|damaged|without an end"),
        (b"\x80\x04K\x01}b.", "gives a state to plain data"),
        (b"\x80\x05\x97.", "uses NEXT_BUFFER"),
        (b"]]a}]K\x01s.", "a list as key"),
        (b"}K\x01K\x02\x86q\x00h\x00\x86K\x01s.", "a nested tuple as key"),
        (b"cos\nmkdir\n]R.", "arguments that are no tuple"),
        (b"c__main__\nx\n.", "the name __main__.x"),
    ],
)
def test_damage_is_a_value_error(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plain_value(read_inert(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<c8", ">f8", "u1", "?"])
def test_an_array_of_numbers_comes_out_as_an_array(protocol: int, dtype: str) -> None:
    for array in (np.arange(6).reshape(2, 3).astype(dtype), np.asfortranarray(np.ones((2, 3), dtype))):
        np.testing.assert_array_equal(array_value(read_inert(pickle.dumps(array, protocol))), array)


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([None]), [1.0], np.float32(2), OrderedDict(a=1)])
def test_what_is_no_array_of_numbers_is_not_taken_for_one(value: object) -> None:
    with pytest.raises(ValueError, match="array of"):
        array_value(read_inert(pickle.dumps(value)))


def test_keys_and_steps_that_take_long_are_refused() -> None:
    doubled = b"(" + b"K\x01K\x02\x86" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    with pytest.raises(ValueError, match="nested tuple"):
        read_inert(b"}" + doubled[1:] + b"K\x01s.")
    with pytest.raises(ValueError, match="more than 1000000 instructions"):
        read_inert(b"N0" * 500_001 + b"N.")


def test_a_short_pickle_does_not_unfold_without_end() -> None:
    nested: list[Any] = [0] * 10
    for _ in range(30):
        nested = [nested] * 10
    with pytest.raises(ValueError, match="more data than a description holds"):
        plain_value(read_inert(pickle.dumps(nested)))


def test_altered_bytes_never_end_in_another_error() -> None:
    rng = np.random.default_rng(5)
    good = [pickle.dumps(np.array({"k": np.arange(4)}, dtype=object), protocol) for protocol in range(6)]
    for trial in range(3000):
        data = bytearray(good[trial % 6])
        for place in rng.integers(len(data), size=3):
            data[place] = rng.integers(256)
        try:
            plain_value(read_inert(bytes(data)))
        except ValueError:
            continue
