"""Code planted in any member of any file never runs, and a few bytes never unfold to more than memory holds."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive, read_metadata
from ptychopinn_backend.config_file import load_run_config
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation.plan import read_plan
from ptychopinn_backend.errors import ArchiveError, ConfigError, DataError
from ptychopinn_backend.torch_configs import load_option_sets

from .formats import FORMATS, Format, good_bytes
from .mutator import zipped
from .watch import limited_memory, open_or_refuse, watched

ZIPPED = [form for form in FORMATS if form.file_name.endswith((".npz", ".ckpt"))]
MARKER = "payload_ran"


class Payload:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (MARKER,)


def planted(kind: str) -> bytes:
    """Return a pickle, or an array file that holds one, which runs code when it is opened."""
    if kind == "pickle":
        return pickle.dumps(Payload())
    image = io.BytesIO()
    np.lib.format.write_array(image, np.array([Payload()], dtype=object), allow_pickle=True)
    return image.getvalue()


@pytest.fixture(autouse=True)
def in_an_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")


@pytest.mark.parametrize("kind", ["pickle", "array"])
def test_the_payload_does_run_where_it_may(kind: str) -> None:
    if kind == "pickle":
        pickle.loads(planted(kind))  # noqa: S301 - shows that the tests below would notice
    else:
        np.lib.format.read_array(io.BytesIO(planted(kind)), allow_pickle=True)
    assert Path(MARKER).is_dir()


def test_the_watch_notices_a_pickle_and_a_written_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"pickle\.find_class"), watched():
        pickle.loads(planted("pickle"))  # noqa: S301 - as above
    with pytest.raises(AssertionError, match="stray"), watched():
        (tmp_path / "stray").write_bytes(b"")


@pytest.mark.parametrize("kind", ["pickle", "array"])
@pytest.mark.parametrize("form", ZIPPED, ids=lambda form: form.name)
def test_no_member_of_any_format_is_unpickled(form: Format, kind: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(good_bytes(form, tmp_path))) as container:
        members = {name: container.read(name) for name in container.namelist()}
    path = tmp_path / form.file_name
    for name in members:
        open_or_refuse(form.read, path, zipped({**members, name: planted(kind)}), form.refusals, writes=form.writes)
    open_or_refuse(form.read, path, planted("pickle"), form.refusals, writes=form.writes)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("kind", ["pickle", "array"])
def test_no_member_of_an_archive_is_unpickled(archive_members: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    path = tmp_path / "wts.h5.zip"
    for name in (*archive_members, "model.dill"):
        data = zipped({**archive_members, name: planted(kind)})
        assert not open_or_refuse(read_archive, path, data, ArchiveError)
        open_or_refuse(read_metadata, path, data, ArchiveError)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("tag", ["python/object/apply:os.mkdir", "python/object/new:os.mkdir", "python/name:os.mkdir"])
def test_no_yaml_tag_builds_an_object(tag: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    for read in (load_run_config, lambda file: read_plan(file, {})):
        assert not open_or_refuse(read, path, f"size: !!{tag} [{MARKER}]\n".encode(), ConfigError)
    assert not Path(MARKER).exists()


LAUGHTER = "training:\n  nphotons: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  key{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        f"{LAUGHTER}model: {{N: *a11}}\n",
        "N: &a [*a]\n",
        f"N: {'[' * 50_000}\n",
        f"N: {'[' * 200}{']' * 200}\n",
        f"N: {'9' * 6000}\n",
        "scans: [{repeat: 1000000000}]\n",
    ],
    ids=["aliases of aliases", "cycle", "unclosed", "deep", "long number", "many scans"],
)
def test_a_short_yaml_file_stays_small(text: str, tmp_path: Path) -> None:
    with limited_memory():
        for read in (load_run_config, lambda file: read_plan(file, {})):
            assert not open_or_refuse(read, tmp_path / "run.yaml", text.encode(), ConfigError)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"data": {"N": ' + "9" * 6000 + "}}", '{"data": {"N": 1e999}}'])
def test_a_short_json_file_stays_small(text: str, tmp_path: Path) -> None:
    with limited_memory():
        assert not open_or_refuse(load_option_sets, tmp_path / "options.json", text.encode(), ConfigError)


def test_an_array_larger_than_its_file_is_not_made(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**14, 2**9, 2**9)})
    path = tmp_path / "scan.npz"
    members = {"diffraction.npy": header.getvalue(), "xcoords.npy": b"", "ycoords.npy": b""}
    with limited_memory():
        assert not open_or_refuse(RawData.from_file, path, zipped(members), DataError)
