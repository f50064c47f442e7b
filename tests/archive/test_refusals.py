"""Every way an archive can be wrong has its own class and its own sentence; nothing in one is executed."""

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive, read_metadata
from ptychopinn_backend.archive.container import MAX_JSON_BYTES
from ptychopinn_backend.errors import (
    ArchiveError,
    DamagedArchiveError,
    ForeignArchiveError,
    UnsafeArchiveError,
)

from .conftest import read_zip


class Payload:
    """Unpickling this creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as container:
        for name, member in members.items():
            container.writestr(name, member)
    return path


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "a bare HDF5 file"),
        (pickle.dumps({"a": 1}), "a Python pickle, which is never opened"),
        (b"\x93NUMPY\x01\x00", "a NumPy array file"),
        (b"\x1f\x8b\x08", "a gzip or tar.gz file"),
        (b"N: 64\n", "a text file"),
        (bytes([0, 255, 254, 3]), "no zip file at all"),
        (b"PK\x05\x06" + bytes(18), "an empty zip file"),
    ],
)
def test_a_foreign_file_is_named(tmp_path: Path, start: bytes, words: str) -> None:
    file = tmp_path / "wts.h5.zip"
    file.write_bytes(start)
    with pytest.raises(ForeignArchiveError, match=f"it seems to be {words}.*Give the wts.h5.zip that training wrote"):
        read_archive(file)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["metadata.json", "config.json", "model.weights.h5"], "a Keras model"),
        (["archive/data.pkl", "archive/version"], "a PyTorch checkpoint"),
        (["manifest.dill", "params.dill"], "a zip of pickled Python objects, which are never opened"),
        (["diff3d.npy", "xcoords.npy"], "a NumPy NPZ file, such as a scan"),
        (["report.docx"], "some other zip file, holding 'report.docx'"),
    ],
)
def test_a_foreign_zip_is_named(tmp_path: Path, names: list[str], words: str) -> None:
    file = zip_of(tmp_path / "wts.h5.zip", dict.fromkeys(names, b"{}"))
    with pytest.raises(ForeignArchiveError, match=words):
        read_archive(file)


def test_metadata_of_another_program_is_foreign(rebuild: Callable[..., Path]) -> None:
    with pytest.raises(ForeignArchiveError, match=r"metadata\.json does not say 'ptychopinn-backend archive'"):
        read_archive(rebuild({"metadata.json": b'{"format": "something"}'}))


def test_an_empty_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "wts.h5.zip").touch()
    with pytest.raises(DamagedArchiveError, match=r"the file is empty.*Copy the file again"):
        read_archive(tmp_path)


@pytest.mark.parametrize("kept", [10, 500, 0.5, -1])
def test_a_truncated_archive_is_damaged(archive: Path, kept: float) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(DamagedArchiveError, match="broken or cut short"):
        read_archive(archive)


@pytest.mark.parametrize("member", ["metadata.json", "params.json", "weights.h5"])
def test_a_flipped_bit_is_damage(archive: Path, member: str) -> None:
    whole = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as container:
        info = container.getinfo(member)
    whole[info.header_offset + 30 + len(member) + info.file_size // 2] ^= 1
    archive.write_bytes(whole)
    with pytest.raises(DamagedArchiveError, match=f"member {member} is altered or cut short"):
        read_archive(archive)


@pytest.mark.parametrize("member", ["metadata.json", "params.json", "weights.h5"])
def test_a_missing_member_is_named(rebuild: Callable[..., Path], member: str) -> None:
    with pytest.raises(DamagedArchiveError, match=f"member {member} is missing"):
        read_archive(rebuild({member: None}))


@pytest.mark.parametrize("member", ["params.json", "weights.h5"])
def test_an_exchanged_member_fails_its_checksum(archive: Path, rebuild: Callable[..., Path], member: str) -> None:
    with pytest.raises(DamagedArchiveError, match=f"member {member} does not match its checksum"):
        read_archive(rebuild({member: read_zip(archive)[member] + b" "}))


def with_metadata(archive: Path, **changes: Any) -> bytes:
    return json.dumps(json.loads(read_zip(archive)["metadata.json"]) | changes).encode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 0}, "format version 0 never existed"),
        ({"format_version": "1"}, "'format_version' in its metadata.json is str instead of int"),
        ({"format_version": True}, "is bool instead of int"),
        ({"backend": 3}, "'backend' .* is int instead of str"),
        ({"backend": "jax"}, "backend 'jax' is not one of tensorflow, pytorch"),
        ({"created": "yesterday"}, "creation time 'yesterday' is not ISO 8601"),
        ({"intensity_scale": -1.0}, "intensity_scale is -1.0, not a number above 0"),
        ({"seed": -1}, "seed is -1, a number below 0"),
        ({"seed": "7"}, "'seed' in its metadata.json is str instead of int"),
        ({"versions": {"numpy": 2}}, "versions are not text"),
        ({"history": {"loss": [1, "x"]}}, "history 'loss' is not a list of numbers"),
        ({"weights": {"a": {"shape": [-1], "dtype": "float32"}}}, "weights 'a' are not described by a shape"),
        ({"weights": {"a": {"shape": [2], "dtype": "object"}}}, "weights 'a' are not described by a shape and a type"),
        ({"weights": {"a": {"shape": [2], "dtype": "f4, ("}}}, "weights 'a' are not described"),
        ({"weights": {"a": {"shape": [10**4000], "dtype": "f4"}}}, "weights 'a' are not described"),
        ({"weights": {}}, "weights and their description differ in "),
        ({"model": {"N": 33}}, "ModelConfig is not valid .*N = 33 is not one of"),
        ({"model": {"M": 32}}, r"ModelConfig has unknown fields \('M'\)"),
        ({"training": {"nepochs": [1]}}, "TrainingConfig is not valid .*nepochs"),
        ({"training": {"model": {}}}, "has a field 'model'"),
        ({"model": {"__type__": "evil"}}, r"metadata\.json is not valid JSON \(unknown tag 'evil'\)"),
        ({"model": {"__type__": "scalar", "dtype": "O", "value": 1}}, "'O' is not a number type"),
        # NumPy would read the number of repetitions as a Python literal.
        ({"model": {"__type__": "scalar", "dtype": "9" * 5000 + "f4", "value": 1}}, "is not a number type"),
        ({"checksums": {}}, "params.json does not match its checksum"),
    ],
)
def test_wrong_metadata_is_damage_that_is_named(
    archive: Path, rebuild: Callable[..., Path], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(DamagedArchiveError, match=words):
        read_archive(rebuild({"metadata.json": with_metadata(archive, **changes)}))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 10_000])
def test_broken_json_is_damage(rebuild: Callable[..., Path], text: bytes) -> None:
    with pytest.raises(DamagedArchiveError, match=r"metadata\.json is not valid JSON"):
        read_archive(rebuild({"metadata.json": text}))


def test_an_unknown_network_is_named_with_the_known_ones(archive: Path, rebuild: Callable[..., Path]) -> None:
    document = json.loads(read_zip(archive)["metadata.json"])
    document["model"]["architecture"] = "my_net"
    changed = rebuild({"metadata.json": json.dumps(document).encode()})
    for read in (read_archive, read_metadata):
        with pytest.raises(ArchiveError, match=r"architecture 'my_net', which this installation does not know .*cnn"):
            read(changed)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:\\evil", "..\\evil", "\\evil"])
def test_a_name_that_leaves_the_folder_is_unsafe(rebuild: Callable[..., Path], name: str) -> None:
    with pytest.raises(UnsafeArchiveError, match=r"names a place outside the archive.*Do not use this file"):
        read_archive(rebuild({name: b"x"}))


def test_a_further_member_is_unsafe(rebuild: Callable[..., Path]) -> None:
    with pytest.raises(UnsafeArchiveError, match=r"holds more than an archive may .*'run\.py'"):
        read_archive(rebuild({"run.py": b"print()"}))


def test_a_member_listed_twice_is_unsafe(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as container, pytest.warns(UserWarning, match="Duplicate"):
        container.writestr("params.json", b"{}")
    with pytest.raises(UnsafeArchiveError, match="a member listed twice"):
        read_archive(archive)


def test_a_link_is_unsafe(archive: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "a") as container:
        container.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafeArchiveError, match="'link' is a link"):
        read_archive(archive)


def test_a_decompression_bomb_is_refused_before_unpacking(rebuild: Callable[..., Path]) -> None:
    options = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 9}
    with pytest.raises(UnsafeArchiveError, match="decompression bomb"):
        read_archive(rebuild({"weights.h5": bytes(50_000_000)}, **options))
    with pytest.raises(UnsafeArchiveError, match=r"params\.json declares \d+ bytes; at most"):
        read_archive(rebuild({"params.json": b" " * (MAX_JSON_BYTES + 1)}, **options))


def test_many_members_are_refused(rebuild: Callable[..., Path]) -> None:
    with pytest.raises(UnsafeArchiveError, match="it lists 103 members"):
        read_archive(rebuild({f"{n}": b"" for n in range(100)}))


def test_a_declared_size_that_lies_is_refused(rebuild: Callable[..., Path]) -> None:
    changed = rebuild({}, compression=zipfile.ZIP_DEFLATED)
    whole = bytearray(changed.read_bytes())
    entry = whole.rindex(b"PK\x01\x02")
    assert whole[entry + 46 :].startswith(b"weights.h5")
    struct.pack_into("<I", whole, entry + 24, 100)
    changed.write_bytes(whole)
    with pytest.raises(DamagedArchiveError, match=r"member weights\.h5 is altered or cut short"):
        read_archive(changed)


def test_an_unreadable_file_says_why(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ArchiveError, match=r"cannot be opened: Permission denied\. Check that you may read it"):
        read_archive(archive)


def weights_image(build: Callable[[h5py.File], None]) -> bytes:
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        build(file)
    return image.getvalue()


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", shape=(4,))
    file.create_virtual_dataset("weights/a", layout)


def nested(file: h5py.File) -> None:
    group = file.create_group("weights")
    group["again"] = group


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda f: f.__setitem__("weights/a", h5py.ExternalLink("/etc/passwd", "/")), "'weights/a' is a soft or ext"),
        (lambda f: f.__setitem__("weights/a", h5py.SoftLink("/x")), "'weights/a' is a soft or external link"),
        (virtual, "'weights/a' is kept in pieces, filtered or outside"),
        (lambda f: f.create_dataset("weights/a", shape=(4,), dtype="f4", external="/etc/passwd"), "kept in pieces"),
        (lambda f: f.create_dataset("weights/a", data=np.zeros(10**7), compression=9), "kept in pieces"),
        (lambda f: f.create_dataset("weights/a", shape=(10**9,), dtype="f4"), "declares more data than the file"),
        (lambda f: f.create_dataset("weights/a", data=f.ref, dtype=h5py.ref_dtype), "instead of numbers"),
        (lambda f: f.create_dataset("weights/a", data="text"), "instead of numbers"),
        (lambda f: f.create_dataset("weights/a", data=h5py.Empty("f4")), "no shape|kept in pieces"),
        (lambda f: f.__setitem__("weights/a", np.dtype("f4")), "neither a group nor a dataset"),
        (nested, "more, or more deeply nested, objects"),
    ],
)
def test_hdf5_that_reaches_elsewhere_is_not_followed(
    archive: Path, rebuild: Callable[..., Path], build: Callable[[h5py.File], None], words: str
) -> None:
    image = weights_image(build)
    checksums = json.loads(read_zip(archive)["metadata.json"])["checksums"]
    checksums["weights.h5"] = hashlib.sha256(image).hexdigest()
    changed = rebuild({"weights.h5": image, "metadata.json": with_metadata(archive, checksums=checksums)})
    with pytest.raises(ArchiveError, match=words):
        read_archive(changed)


@pytest.mark.parametrize("member", ["metadata.json", "params.json", "weights.h5", "extra.pkl", None])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_planted_pickles_never_run(
    archive: Path, rebuild: Callable[..., Path], tmp_path: Path, member: str | None, protocol: int
) -> None:
    marker = tmp_path / "executed"
    payload = pickle.dumps(Payload(marker), protocol=protocol)
    if member is None:
        archive.write_bytes(payload)
        target = archive
    else:
        target = rebuild({member: payload})
    with pytest.raises(ArchiveError):
        read_archive(target)
    assert not marker.exists()
