"""Seeded mutators: of bytes, of the members of a zip, of the words of a text."""

import io
import re
import warnings
import zipfile
from collections.abc import Callable

import h5py
import numpy as np
import onnx

from ptychopinn_backend.arrays import AnyArray

Mutation = Callable[[bytes, np.random.Generator], bytes]
INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFF)
WORDS = (
    *("-1", "0", "1", "1e999", "-1e-320", "nan", ".inf", "9" * 25, "9" * 5000, "0x7fffffffffffffff", "4.5", "1e6"),
    *("null", "~", "true", "no", "''", '""', "[]", "{}", "[[[]]]", "2026-01-01", "2026-99-99", "x", "\u00b5", "\ud7ff"),
    *(
        "[" * 5000,
        '{"a":' * 5000,
        "!!python/object/apply:os.mkdir [fuzz_ran]",
        "!!binary aGk=",
        "&a [*a]",
        "*a",
        "<<: {}",
        "? a : b",
        "--- ",
    ),
)
NUMBERS = np.array([np.nan, -np.inf, -1.0, 1e38, 1e300, 1e-42])
TYPES = ("bool", "int8", "uint64", "float16", "float64", "complex128", "<U3", "S2", "M8[s]", "O", ">f4", "i4,f4")
_WORD = re.compile(r"[^\s:,\[\]{}\"']+")
_VALUE = re.compile(r"(?<=[:=] )" + _WORD.pattern)


def mutate(original: bytes, rng: np.random.Generator) -> bytes:
    """Return `original` with 1 to 8 edits: bits, bytes, 32-bit words, cuts, copies and insertions."""
    data = bytearray(original)
    for _ in range(int(rng.integers(1, 9))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        length = int(rng.integers(1, 64))
        kind = int(rng.integers(7))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.choice(INTERESTING))
        elif kind == 2:
            data[at : at + 4] = int(rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1))).to_bytes(4, "little")
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            source = int(rng.integers(len(data)))
            data[at : at + length] = data[source : source + length]
        elif kind == 5:
            data[at:at] = rng.bytes(length)
        else:
            del data[at:]
    return bytes(data)


def mutate_zip(original: bytes, rng: np.random.Generator) -> bytes:
    """Return a zip one member of which is mutated near its beginning or anywhere; its checksum is made right."""
    members = unzipped(original)
    victim = sorted(members)[int(rng.integers(len(members)))]
    # The header decides what is done with the rest.
    head = 128 if rng.random() < 0.7 else len(members[victim])
    members[victim] = mutate(members[victim][:head], rng) + members[victim][head:]
    return zipped(members)


@np.errstate(all="ignore")
def mutate_arrays(original: bytes, rng: np.random.Generator) -> bytes:
    """Return an NPZ file in which one array has another type, shape, value or name, or is missing."""
    with np.load(io.BytesIO(original)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    victim = sorted(arrays)[int(rng.integers(len(arrays)))]
    array = arrays.pop(victim)
    kind = int(rng.integers(7))
    if kind == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            array = (
                np.zeros(array.shape, rng.choice(TYPES)) if array.dtype.kind == "U" else array.astype(rng.choice(TYPES))
            )
    elif kind == 1:
        array = array[(slice(0, int(rng.integers(0, 3))),) * array.ndim]
    elif kind == 2:
        array = array[(None,) * int(rng.integers(3)) + (...,) + (None,) * int(rng.integers(30))]
    elif kind == 3:
        array = array.T if rng.random() < 0.5 else array.ravel()
    elif kind == 4 and array.size and array.dtype.kind in "fc":
        array.reshape(-1)[int(rng.integers(array.size))] = rng.choice(NUMBERS).astype(array.dtype)
    elif kind == 4 and array.dtype.kind == "U" and array.ndim == 0:
        array = np.array(mutate_words(str(array).encode(), rng).decode())
    elif kind == 5:
        victim = rng.choice([*arrays, f"x{victim}", victim.upper(), "../" + victim, "/" + victim])
    else:
        return _saved(arrays)
    return _saved({**arrays, victim: array})


def _saved(arrays: dict[str, AnyArray]) -> bytes:
    image = io.BytesIO()
    np.savez(image, **arrays)  # type: ignore[arg-type]
    return image.getvalue()


def mutate_npz(original: bytes, rng: np.random.Generator) -> bytes:
    """Return a mutation of an array or of the bytes of a member."""
    return (mutate_arrays if rng.random() < 0.7 else mutate_zip)(original, rng)


def mutate_hdf5(original: bytes, rng: np.random.Generator) -> bytes:
    """Return an HDF5 file one dataset or group of which is something else, refers elsewhere, is huge or missing."""
    image = io.BytesIO(original)
    with h5py.File(image, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        victim = sorted(names)[int(rng.integers(len(names)))]
        item = file[victim]
        array = item[()] if isinstance(item, h5py.Dataset) else np.zeros(3)
        del file[victim]
        kind = int(rng.integers(len(_REPLACEMENTS) + 1))
        # Else it is missing.
        if kind < len(_REPLACEMENTS):
            _REPLACEMENTS[kind](file, victim, np.asarray(array))
    return image.getvalue()


def _virtual(file: h5py.File, name: str, array: AnyArray) -> None:
    layout = h5py.VirtualLayout(array.shape or (1,), np.float32)
    layout[...] = h5py.VirtualSource("/etc/passwd", name, array.shape or (1,))
    file.create_virtual_dataset(name, layout)


_BIG = (2**12, 2**10, 2**10)
_REPLACEMENTS: tuple[Callable[[h5py.File, str, AnyArray], object], ...] = (
    lambda file, name, _: file.__setitem__(name, h5py.SoftLink("/")),
    lambda file, name, _: file.__setitem__(name, h5py.ExternalLink("/etc/passwd", name)),
    lambda file, name, _: file.__setitem__(name, file["/"]),
    lambda file, name, _: file.__setitem__(name, np.dtype("f4")),
    lambda file, name, _: file.create_group(name),
    lambda file, name, _: file.create_dataset(name, data="text"),
    lambda file, name, _: file.create_dataset(name, data=h5py.Empty("f4")),
    lambda file, name, _: file.create_dataset(name, (3,), h5py.ref_dtype),
    lambda file, name, _: file.create_dataset(name, (3,), h5py.vlen_dtype(np.int8)),
    lambda file, name, _: file.create_dataset(name, (2**40,), np.float32, chunks=(2**10,)),
    lambda file, name, _: file.create_dataset(name, _BIG, np.uint8, chunks=(1, *_BIG[1:]), compression="gzip"),
    lambda file, name, _: file.create_dataset(name, (1,), np.uint8, maxshape=(None,), chunks=(2**31,)),
    lambda file, name, array: file.create_dataset(name, array.shape, np.float32, external="/etc/passwd"),
    _virtual,
    lambda file, name, array: file.create_dataset(name, data=array[None, ..., None]),
    lambda file, name, array: file.create_dataset(name, data=np.full(array.shape, np.nan)),
    lambda file, name, array: file.create_dataset(name, data=np.zeros(array.shape, "i4,f8")),
    lambda file, name, array: file.create_dataset(name, data=np.zeros(array.shape), dtype=">f2"),
)
"""Each puts something in the place of an array."""


def unzipped(image: bytes) -> dict[str, bytes]:
    """Return the members of a zip."""
    with zipfile.ZipFile(io.BytesIO(image)) as container:
        return {name: container.read(name) for name in container.namelist()}


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip with right CRCs."""
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w") as container:
        for name, member in members.items():
            container.writestr(name, member)
    return image.getvalue()


def mutate_onnx(original: bytes, rng: np.random.Generator) -> bytes:
    """Return a model of ONNX with one part mutated: a node, a text of the metadata, or a tensor."""
    model = onnx.load_from_string(original)
    kind = int(rng.integers(3))
    part = (model.graph.node, model.metadata_props, model.graph.initializer)[kind]
    item = part[int(rng.integers(len(part)))]
    if kind == 0:
        item.doc_string = rng.bytes(8).hex()
        item.op_type = "Loop"
    elif kind == 1:
        item.value = mutate_words(item.value.encode(), rng).decode(errors="replace")
    elif rng.random() < 0.5:
        item.raw_data = mutate(item.raw_data, rng)
    else:
        item.dims.append(int(rng.choice((0, 1, 2**31, 2**62))))
    return model.SerializeToString()


def mutate_words(original: bytes, rng: np.random.Generator) -> bytes:
    """Return a text in which 1 to 3 words are exchanged for words that parsers find hard, or for one another."""
    text = original.decode()
    for _ in range(int(rng.integers(1, 4))):
        words = list((_VALUE if rng.random() < 0.7 else _WORD).finditer(text))
        if not words:
            break
        chosen = words[int(rng.integers(len(words)))]
        other = words[int(rng.integers(len(words)))].group()
        word = other if rng.random() < 0.2 else WORDS[int(rng.integers(len(WORDS)))]
        text = text[: chosen.start()] + word + text[chosen.end() :]
    return text.encode()
