"""What was written comes back, bit for bit and type for type."""

import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychopinn_backend import params
from ptychopinn_backend.archive import ArchiveContent, read_archive, read_metadata, write_archive
from ptychopinn_backend.archive import metadata as archive_module
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.errors import ArchiveError, ArchiveNotFoundError, NewerArchiveError
from tests.config.strategies import trainings

from .conftest import read_zip


def same(left: object, right: object) -> bool:
    """Equality that looks at types, bits of floats and array contents."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray | np.generic):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right)


def test_everything_comes_back_bit_for_bit(archive: Path, content: ArchiveContent) -> None:
    loaded = read_archive(archive)
    for name in (
        "backend",
        "model",
        "training",
        "intensity_scale",
        "history",
        "params",
        "versions",
        "created",
        "seed",
        "probes",
    ):
        assert same(getattr(loaded, name), getattr(content, name)), name
    assert loaded.package_version == content.package_version
    arrays = {name: np.asarray(array) for name, array in content.weights.items()}
    assert same(loaded.weights, arrays)


@given(training=trainings, scale=st.floats(1e-9, 1e9), losses=st.lists(st.floats(), max_size=5))
@settings(max_examples=40, deadline=None)
def test_any_configuration_survives_an_archive(
    tmp_path_factory: pytest.TempPathFactory, training: TrainingConfig, scale: float, losses: list[float]
) -> None:
    weights = {"kernel": np.ones(3, np.float32)}
    written = ArchiveContent(training.backend, training.model, training, scale, weights, history={"loss": losses})
    loaded = read_archive(write_archive(tmp_path_factory.mktemp("archive") / "wts.h5.zip", written))
    assert (loaded.backend, loaded.model, loaded.training) == (training.backend, training.model, training)
    assert same(loaded.intensity_scale, scale)
    assert same(loaded.history, {"loss": losses})


def test_the_real_params_snapshot_comes_back(tmp_path: Path, content: ArchiveContent) -> None:
    saved = params.snapshot() | {"probe": np.ones((2, 32, 32), np.complex128)}
    loaded = read_archive(write_archive(tmp_path / "wts.h5.zip", replace(content, params=saved)))
    assert same(loaded.params, saved)


def test_a_deprecated_field_comes_back_without_a_second_warning(tmp_path: Path, content: ArchiveContent) -> None:
    with pytest.warns(DeprecationWarning, match="n_images is deprecated"):
        training = TrainingConfig(model=content.model, n_images=64)
    loaded = read_archive(write_archive(tmp_path / "wts.h5.zip", replace(content, training=training)))
    assert loaded.training == training


def test_equal_content_gives_equal_bytes(archive: Path, content: ArchiveContent, tmp_path: Path) -> None:
    assert write_archive(tmp_path / "again.zip", content).read_bytes() == archive.read_bytes()


def test_a_repacked_archive_still_opens(rebuild, content: ArchiveContent) -> None:
    assert read_archive(rebuild({}, compression=zipfile.ZIP_DEFLATED)).model == content.model


def test_folder_and_stem_name_the_archive(archive: Path, content: ArchiveContent) -> None:
    assert read_archive(archive.parent).model == content.model
    assert read_archive(str(archive).removesuffix(".zip")).model == content.model


def test_metadata_describes_the_archive_without_weights(archive: Path, rebuild) -> None:
    metadata = read_metadata(rebuild({"weights.h5": b"not looked at"}))
    assert metadata["model"]["N"] == 32
    assert metadata["weights"]["probe"] == {"shape": [2, 32, 32], "dtype": "complex64"}
    assert metadata["history"]["loss"] == [1.5, 0.1 + 0.2]


def test_members_are_the_three_of_the_contract_in_strict_json(archive: Path) -> None:
    members = read_zip(archive)
    assert list(members) == ["metadata.json", "params.json", "weights.h5"]

    def refuse(text: str) -> None:
        raise AssertionError(text)

    for name in ("metadata.json", "params.json"):
        json.loads(members[name], parse_constant=refuse)


def test_defaults_describe_the_writer() -> None:
    content = ArchiveContent("pytorch", ModelConfig(), TrainingConfig(), 1.0, {})
    assert content.created.endswith("+00:00")
    assert set(content.versions) == {"python", "numpy"}


def test_the_archive_is_as_readable_as_any_new_file(archive: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    assert stat.S_IMODE(archive.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_an_older_version_climbs_the_ladder(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def to_version_2(metadata: dict) -> dict:
        return metadata | {"created": "2001-01-01T00:00:00+00:00"}

    monkeypatch.setattr(archive_module, "FORMAT_VERSION", 2)
    monkeypatch.setitem(archive_module.UPGRADES, 1, to_version_2)
    assert read_archive(archive).created.startswith("2001")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": object()}, r"params\['a'\] is a object, which an archive cannot restore"),
        ({"a": [1, {2}]}, r"params\['a'\]\[1\] is a set"),
        ({"a": {1: 2}}, r"params\['a'\] is a dict, .* dict with string keys"),
        ({"a": np.array([None])}, r"params\['a'\] is a ndarray"),
        ({"a": np.longdouble(1)}, r"params\['a'\] is a longdouble"),
        ({"a": print}, "is a builtin_function_or_method"),
    ],
)
def test_what_cannot_be_restored_is_refused_at_writing(
    tmp_path: Path, content: ArchiveContent, value: dict, words: str
) -> None:
    with pytest.raises(ArchiveError, match=words):
        write_archive(tmp_path / "wts.h5.zip", replace(content, params=value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": np.array([1, np.nan], np.float32)}, "weights 'a' hold values that are not finite, so training diverged"),
        ({"a": np.array([1j * np.inf], np.complex64)}, "not finite"),
        ({"../a": np.zeros(1)}, r"'weights/\.\./a' cannot name an array"),
        ({"": np.zeros(1)}, "cannot name an array"),
        ({"a b": np.zeros(1)}, "cannot name an array"),
        ({"a": np.array(["x"])}, "Array 'weights/a' is of type <U1"),
        ({"a": np.zeros(1), "a/b": np.zeros(1)}, "Array 'weights/a/b' cannot stand beside the others"),
    ],
)
def test_weights_that_cannot_be_saved_are_refused(
    tmp_path: Path, content: ArchiveContent, weights: dict, words: str
) -> None:
    with pytest.raises(ArchiveError, match=words):
        write_archive(tmp_path / "wts.h5.zip", replace(content, weights=weights))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_archive_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"holds no archive: looked for .*wts\.h5\.zip.*Give the folder"):
        read_archive(tmp_path)


def test_newer_is_recognised_even_with_other_members(archive: Path, rebuild) -> None:
    document = json.loads(read_zip(archive)["metadata.json"]) | {"format_version": 2, "package_version": "9.1"}
    newer = rebuild({"metadata.json": json.dumps(document).encode(), "extra.bin": b"x"})
    with pytest.raises(NewerArchiveError, match=r"format version 2, written by ptychopinn-backend 9\.1.*Update"):
        read_archive(newer)
