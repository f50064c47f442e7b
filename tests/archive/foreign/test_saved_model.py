"""Archives of the original PtychoPINN from before August 2025, which hold a SavedModel."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.archive.foreign.tensor_bundle import read_bundle
from ptychopinn_backend.cli import main
from ptychopinn_backend.errors import DamagedArchiveError, UnsupportedModelError

from . import keras_models
from .keras_models import KerasVariant, example_patterns
from .predictions import network_patches

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras")
DEFAULT = KerasVariant(N=32, gridsize=2)
VARIANTS = {
    "padded, with border": DEFAULT,
    "without border": KerasVariant(N=32, n_filters_scale=2, probe_big=False),
    "whole patch": KerasVariant(N=32, gridsize=2, pad_object=False),
    "gridsize 3": KerasVariant(N=32, gridsize=3),
    "N 128": KerasVariant(N=128),
}


def members(model: Any, variant: KerasVariant, folder: Path) -> dict[str, bytes]:
    """Return the members of the archive of a model."""
    import tensorflow as tf

    tf.saved_model.save(model, folder / "saved")
    found = {
        f"diffraction_to_obj/{path.relative_to(folder / 'saved')}": path.read_bytes()
        for path in (folder / "saved").rglob("*")
        if path.is_file()
    }
    told = {**keras_models.parameters(variant), "n_filters_scale": variant.n_filters_scale}
    return {**found, "diffraction_to_obj/params.dill": pickle.dumps(told, 4)}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return members(keras_models.build(DEFAULT), DEFAULT, tmp_path_factory.mktemp("saved"))


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_gives_the_numbers_of_keras(variant: KerasVariant, tmp_path: Path) -> None:
    model = keras_models.build(variant)
    archive = keras_models.write(tmp_path / "wts.h5.zip", members(model, variant, tmp_path))
    patterns = example_patterns(variant, 1)
    expected = keras_models.patches(model, patterns)
    np.testing.assert_allclose(network_patches(archive, patterns, "pytorch"), expected, atol=1e-5, rtol=0)
    assert read_archive(archive).converted_from.startswith("a TensorFlow archive of PtychoPINN from before August 2025")


def test_variables_are_those_that_tensorflow_reads(tmp_path: Path) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(1)
    values = {f"layer_{k}/{'x' * (k % 40)}": rng.normal(size=(k % 5, 3)) for k in range(200)}
    values["scalar"] = np.array(2.5)
    kept = {name: tf.Variable(value, dtype=tf.float32 if "1" in name else tf.float64) for name, value in values.items()}
    prefix = tf.train.Checkpoint(**{name.replace("/", "_"): variable for name, variable in kept.items()}).write(
        str(tmp_path / "variables")
    )
    index = Path(f"{prefix}.index").read_bytes()
    found = read_bundle(index, lambda number, count: Path(f"{prefix}.data-{number:05d}-of-{count:05d}").read_bytes())
    reader = tf.train.load_checkpoint(prefix)
    assert len(found) == len(values)
    for name, array in found.items():
        np.testing.assert_array_equal(array, reader.get_tensor(name), err_msg=name)


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "an index cut short": ("variables.index", lambda content: content[:-5], "its index does not end as one"),
    "an empty index": ("variables.index", lambda content: b"", "its index does not end as one"),
    "data cut short": (".data-00000-of-00001", lambda content: content[: len(content) // 2], "an array of shape"),
    "a compressed block": ("variables.index", lambda content: _with_byte(content, 1), "malformed"),
}


def _with_byte(content: bytes, value: int) -> bytes:
    changed = bytearray(content)
    changed[-48 - 5] = value
    return bytes(changed)


@pytest.mark.parametrize("case", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(
    good: dict[str, bytes], tmp_path: Path, case: tuple[str, Callable[[bytes], bytes], str]
) -> None:
    suffix, change, words = case
    name = next(name for name in good if name.endswith(suffix))
    archive = keras_models.write(tmp_path / "wts.h5.zip", {**good, name: change(good[name])})
    with pytest.raises(DamagedArchiveError, match=words):
        read_archive(archive)


def test_another_network_is_refused(good: dict[str, bytes], tmp_path: Path) -> None:
    told = {**keras_models.parameters(DEFAULT), "n_filters_scale": 2}
    changed = {**good, "diffraction_to_obj/params.dill": pickle.dumps(told)}
    with pytest.raises(
        UnsupportedModelError, match=r"none of shape \(3, 3, 4, 128\), which 'encoder/stage0/conv0' has"
    ):
        read_archive(keras_models.write(tmp_path / "wts.h5.zip", changed))


@pytest.mark.parametrize("place", ["", "wts.h5", "wts.h5/diffraction_to_obj"])
def test_a_folder_of_the_time_before_archives_is_named(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(b"")
    assert main(["inspect", str(tmp_path)]) == 2
    assert "as PtychoPINN wrote it before December 2024; only its archives are read" in capsys.readouterr().err
