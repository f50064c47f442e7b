"""Code planted in any member of any file never runs, and a few bytes never unfold to more than memory holds."""

import io
import pickle
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from ptychopinn_backend.archive import read_archive, read_metadata
from ptychopinn_backend.config.yaml_file import load_run_config
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ArchiveError, ConfigError, DataError
from ptychopinn_backend.runs.simulation_plan import read_plan
from ptychopinn_backend.torch_configs import load_option_sets

from .formats import FORMATS, Format, good_bytes
from .mutator import unzipped, zipped
from .payloads import MARKER, PAYLOADS
from .watch import Watch, watched

ZIPPED = [form for form in FORMATS if form.file_name.endswith((".npz", ".ckpt"))]
HDF5 = [form for form in FORMATS if form.file_name.endswith(".h5")]


def test_the_payload_does_run_where_it_may() -> None:
    pickle.loads(PAYLOADS["pickle"])  # noqa: S301 - shows that the tests below would notice
    assert Path(MARKER).is_dir()
    Path(MARKER).rmdir()
    np.lib.format.read_array(io.BytesIO(PAYLOADS["array"]), allow_pickle=True)
    assert Path(MARKER).is_dir()


def test_the_watch_notices_what_is_forbidden(tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.watch.SLOWEST_S", 0.5)
    with pytest.raises(AssertionError, match=r"pickle\.find_class"), watched():
        pickle.loads(PAYLOADS["pickle"])  # noqa: S301 - as above
    with pytest.raises(AssertionError, match="stray"), watched():
        (tmp_path / "stray").write_bytes(b"")
    forbidden = {
        "grew by 1": lambda _: np.ones(2**27 + 2**20),
        "took 0.5": lambda _: time.sleep(0.51),
        "no sentence": lambda _: refuse("Broken"),
        "a dump of": lambda _: refuse("x" * 2000 + "."),
        "files came or went": lambda path: path.unlink(),
    }
    for words, read in forbidden.items():
        with pytest.raises(AssertionError, match=words):
            watch.reads(read, tmp_path / "file", b"", RefusedError, writes=True)


class RefusedError(Exception):
    """Stands for an error of the package."""


def refuse(words: str) -> None:
    raise RefusedError(words)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_no_file_is_unpickled(form: Format, payload: bytes, tmp_path: Path, watch: Watch) -> None:
    opened = watch.reads(form.read, tmp_path / form.file_name, payload, form.refusals, writes=form.writes)
    assert opened == form.writes
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("form", ZIPPED, ids=lambda form: form.name)
def test_no_member_of_any_format_is_unpickled(form: Format, payload: bytes, tmp_path: Path, watch: Watch) -> None:
    members = unzipped(good_bytes(form, tmp_path))
    path = tmp_path / form.file_name
    for name in members:
        watch.reads(form.read, path, zipped({**members, name: payload}), form.refusals, writes=form.writes)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("form", HDF5, ids=lambda form: form.name)
def test_no_dataset_is_unpickled(form: Format, payload: bytes, tmp_path: Path, watch: Watch) -> None:
    good = good_bytes(form, tmp_path)
    with h5py.File(io.BytesIO(good)) as file:
        names = list(file)
    for name in names:
        for value in (np.void(payload), np.frombuffer(payload, np.uint8)):
            image = io.BytesIO(good)
            with h5py.File(image, "r+") as file:
                del file[name]
                file[name] = value
            watch.reads(form.read, tmp_path / form.file_name, image.getvalue(), form.refusals)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_member_of_an_archive_is_unpickled(
    archive_members: dict[str, bytes], payload: bytes, tmp_path: Path, watch: Watch
) -> None:
    path = tmp_path / "wts.h5.zip"
    for name in (*archive_members, "model.dill"):
        data = zipped({**archive_members, name: payload})
        assert not watch.reads(read_archive, path, data, ArchiveError)
        watch.reads(read_metadata, path, data, ArchiveError)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("tag", ["python/object/apply:os.mkdir", "python/object/new:os.mkdir", "python/name:os.mkdir"])
def test_no_yaml_tag_builds_an_object(tag: str, tmp_path: Path, watch: Watch) -> None:
    path = tmp_path / "run.yaml"
    for read in (load_run_config, lambda file: read_plan(file, {})):
        assert not watch.reads(read, path, f"size: !!{tag} [{MARKER}]\n".encode(), ConfigError)
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
def test_a_short_yaml_file_stays_small(text: str, tmp_path: Path, watch: Watch) -> None:
    for read in (load_run_config, lambda file: read_plan(file, {})):
        assert not watch.reads(read, tmp_path / "run.yaml", text.encode(), ConfigError)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"data": {"N": ' + "9" * 6000 + "}}", '{"data": {"N": 1e999}}'])
def test_a_short_json_file_stays_small(text: str, tmp_path: Path, watch: Watch) -> None:
    assert not watch.reads(load_option_sets, tmp_path / "options.json", text.encode(), ConfigError)


def test_an_array_larger_than_its_file_is_not_made(tmp_path: Path, watch: Watch) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**14, 2**9, 2**9)})
    path = tmp_path / "scan.npz"
    members = {"diffraction.npy": header.getvalue(), "xcoords.npy": b"", "ycoords.npy": b""}
    assert not watch.reads(RawData.from_file, path, zipped(members), DataError)


def test_an_image_of_too_many_pixels_is_not_unfolded(tmp_path: Path, watch: Watch) -> None:
    image = io.BytesIO()
    Image.new("L", (20_000, 5_000)).save(image, "png")
    assert len(image.getvalue()) < 2**18
    form = next(form for form in FORMATS if form.name == "object image")
    assert not watch.reads(form.read, tmp_path / form.file_name, image.getvalue(), DataError)


def test_a_narrow_object_is_not_enlarged_without_end(tmp_path: Path, watch: Watch) -> None:
    narrow = io.BytesIO()
    np.save(narrow, np.ones((2, 10**6), np.float16))
    form = next(form for form in FORMATS if form.name == "object array")
    assert not watch.reads(form.read, tmp_path / form.file_name, narrow.getvalue(), DataError)
