"""TensorFlow archives of the original PtychoPINN give the numbers they gave there, on both backends."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive, read_metadata, write_archive
from ptychopinn_backend.errors import DamagedArchiveError, UnsupportedModelError
from ptychopinn_backend.networks.weights import LOG_SCALE

from ...fuzz.mutator import zipped
from . import keras_models
from .keras_models import KerasVariant, example_patterns
from .predictions import SHARED, needs_shared, network_patches

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras")
TOLERANCE = 1e-5
"""Both compute in float32, in another order."""
BACKENDS = ("pytorch", "tensorflow")
DEFAULT = KerasVariant()


@pytest.fixture(scope="module")
def default_members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Name -> bytes of the members of a good archive."""
    return keras_models.members(keras_models.build(DEFAULT), DEFAULT, tmp_path_factory.mktemp("default"))


@pytest.fixture
def archived(default_members: dict[str, bytes], tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the good archive with other parameters or members."""

    def write(parameters: dict[str, Any] | None = None, **changes: bytes) -> Path:
        told = keras_models.parameters(replace(DEFAULT, parameters=parameters or {}))
        named = {name.replace("__", "."): content for name, content in changes.items()}
        changed = {f"diffraction_to_obj/{name}": content for name, content in named.items()}
        pickled = {"diffraction_to_obj/params.dill": pickle.dumps(told, 4)}
        return keras_models.write(tmp_path / "wts.h5.zip", default_members | pickled | changed)

    return write


@pytest.fixture
def with_graph(archived: Callable[..., Path], default_members: dict[str, bytes]) -> Callable[..., Path]:
    """Return a function that writes the good archive with a changed config.json of its network."""

    def write(change: Callable[[dict[str, Any]], object]) -> Path:
        keras = read_zip_image(default_members["diffraction_to_obj/model.keras"])
        document = json.loads(keras["config.json"])
        change(document)
        return archived(model__keras=zipped({**keras, "config.json": json.dumps(document).encode()}))

    return write


def read_zip_image(image: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(image)) as container:
        return {name: container.read(name) for name in container.namelist()}


@needs_shared
@pytest.mark.parametrize("name", ["legacy_gs1", "legacy_gs2"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_archives_of_the_original_give_its_numbers(name: str, backend: str) -> None:
    with np.load(SHARED / name / "reference.npz") as reference:
        patterns, expected = reference["x"], reference["amplitude"] * np.exp(1j * reference["phase"])
    found = network_patches(SHARED / name, patterns, backend)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


VARIANTS = {
    "gridsize 1": KerasVariant(),
    "gridsize 2": KerasVariant(gridsize=2, n_filters_scale=2, amp_activation="swish"),
    "gridsize 3": KerasVariant(gridsize=3),
    "without pad_object": KerasVariant(pad_object=False, amp_activation="softplus"),
    "without pad_object, gridsize 2": KerasVariant(pad_object=False, gridsize=2),
    "without probe_big": KerasVariant(probe_big=False, amp_activation="relu"),
    "without object_big": KerasVariant(object_big=False, gridsize=2),
    "without object_big, probe_big": KerasVariant(object_big=False, probe_big=False, gridsize=2),
    "without object_big, pad_object": KerasVariant(object_big=False, pad_object=False, gridsize=3),
    "N 128": KerasVariant(N=128, gridsize=2),
    "N 128 without pad_object": KerasVariant(N=128, pad_object=False),
    "N 128 without object_big": KerasVariant(N=128, gridsize=2, object_big=False),
    "N 256": KerasVariant(N=256),
    "N 256 without pad_object": KerasVariant(N=256, pad_object=False),
    "N 32": KerasVariant(N=32),
    "N 32, gridsize 3": KerasVariant(N=32, gridsize=3),
    "N 256, gridsize 3, without probe_big": KerasVariant(N=256, gridsize=3, probe_big=False),
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_gives_the_numbers_of_keras(variant: KerasVariant, tmp_path: Path) -> None:
    model = keras_models.build(variant)
    archive = keras_models.write(tmp_path / "wts.h5.zip", keras_models.members(model, variant, tmp_path))
    patterns = example_patterns(variant, 1)
    expected = keras_models.patches(model, patterns)
    assert expected.std() > 0.01
    # The weights of both backends are the same; tracing one takes seconds.
    for backend in BACKENDS if variant.gridsize == 2 or variant.N == 32 else BACKENDS[:1]:
        found = network_patches(archive, patterns, backend)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0, err_msg=backend)
    content = read_archive(archive)
    for name in ("N", "gridsize", "n_filters_scale", "amp_activation", "pad_object", "object_big"):
        assert getattr(content.model, name) == getattr(variant, name), name
    assert content.model.probe_big == (variant.probe_big or not variant.pad_object)
    assert content.intensity_scale == variant.intensity_scale
    assert content.weights[LOG_SCALE] == pytest.approx(np.log(variant.intensity_scale))
    assert content.backend == "tensorflow"


def test_numbers_in_the_names_of_layers_do_not_matter(archived: Callable[..., Path], tmp_path: Path) -> None:
    first = read_archive(archived())
    # A further model of a process is built of layers with higher numbers.
    again = keras_models.members(keras_models.build(DEFAULT), DEFAULT, tmp_path)
    assert b'"name": "conv2d"' not in read_zip_image(again["diffraction_to_obj/model.keras"])["config.json"]
    second = read_archive(keras_models.write(tmp_path / "second.zip", again))
    assert first.weights.keys() == second.weights.keys()
    for name, array in first.weights.items():
        np.testing.assert_array_equal(array, second.weights[name], err_msg=name)


def test_options_of_the_training_are_taken_over(archived: Callable[..., Path]) -> None:
    told = {"nphotons": 2e5, "probe_scale": 3.0, "probe.mask": True, "nepochs": 7, "batch_size": 10, "mae_weight": 2.0}
    content = read_archive(archived(told))
    assert content.training.nphotons == 2e5
    assert content.training.nepochs == 7
    assert content.model.probe_scale == 3.0
    assert content.model.probe_mask
    # What has no meaning here has its default: no power of two, a weight above 1.
    assert (content.training.batch_size, content.training.mae_weight) == (16, 0.0)
    assert content.params["batch_size"] == 10
    assert content.params["probe"].shape == (64, 64, 1)
    assert content.params["big_gridsize"] == 10


def test_a_converted_archive_is_the_same_model(archived: Callable[..., Path], tmp_path: Path) -> None:
    old = read_archive(archived())
    new = read_archive(write_archive(tmp_path / "new" / "wts.h5.zip", old))
    assert (new.model, new.training, new.intensity_scale) == (old.model, old.training, old.intensity_scale)
    assert new.converted_from == old.converted_from == "a TensorFlow archive of PtychoPINN"
    assert new.created == old.created
    for name, array in old.weights.items():
        np.testing.assert_array_equal(array, new.weights[name], err_msg=name)


def test_metadata_describe_the_model(archived: Callable[..., Path]) -> None:
    metadata = read_metadata(archived())
    assert metadata["converted_from"] == "a TensorFlow archive of PtychoPINN"
    assert metadata["model"]["N"] == 64
    assert metadata["weights"]["encoder/stage0/conv0/kernel"] == {"shape": [3, 3, 1, 32], "dtype": "float32"}


@pytest.mark.parametrize("polar", [None, False])
def test_amplitude_plus_i_phase_is_refused_with_the_reason(with_graph: Callable[..., Path], polar: bool | None) -> None:
    def change(document: dict[str, Any]) -> None:
        config = _layer(document, "CombineComplexLayer")["config"]
        del config["use_polar"]
        config.update({} if polar is None else {"use_polar": polar})

    with pytest.raises(UnsupportedModelError, match=r"amplitude \+ i phase.*Train a model here"):
        read_archive(with_graph(change))


def _layer(document: dict[str, Any], kind: str, name: str | None = None) -> dict[str, Any]:
    return next(
        layer for layer in document["config"]["layers"] if layer["class_name"] == kind and name in (None, layer["name"])
    )


def _set(kind: str, option: str, value: Any, name: str | None = None) -> Callable[[dict[str, Any]], None]:
    return lambda document: _layer(document, kind, name)["config"].update({option: value})


OTHER_NETWORKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another kernel": (_set("Conv2D", "kernel_size", [5, 5]), "3 x 3 convolution with bias and activation 'relu'"),
    "another activation": (_set("Conv2D", "activation", "gelu"), "activation 'relu'"),
    "another pooling": (_set("MaxPooling2D", "pool_size", [4, 4]), "a pooling of 2 x 2"),
    "another up-sampling": (_set("UpSampling2D", "interpolation", "bilinear"), "up-sampling by 2 to nearest"),
    "another padding": (_set("ZeroPadding2D", "padding", [[8, 8], [8, 8]]), "a padding by 16 pixels"),
    "another mask": (_set("CenterMaskLayer", "kind", "center"), "a border times its mask"),
    "another factor": (_set("ActivationLayer", "scale", 2.0, "amp"), r"its amplitude is 2\.0 times 'sigmoid'"),
    "another phase": (_set("ActivationLayer", "activation_name", "sigmoid", "phi"), "instead of pi times tanh"),
    "an unknown activation": (_set("ActivationLayer", "activation_name", "mish", "amp"), "amp_activation = 'mish'"),
    "no patch": (lambda document: _layer(document, "CombineComplexLayer").update(class_name="Other"), "has 0 layers"),
    "a new layer": (lambda document: _layer(document, "Silu").update(class_name="Dropout"), "an activation"),
}


@pytest.mark.parametrize("case", OTHER_NETWORKS.values(), ids=OTHER_NETWORKS)
def test_another_network_is_refused_not_misread(
    with_graph: Callable[..., Path], case: tuple[Callable[[dict[str, Any]], object], str]
) -> None:
    change, words = case
    with pytest.raises(UnsupportedModelError, match=f"{words}.*Train a model here"):
        read_archive(with_graph(change))


def test_layers_in_a_circle_end(with_graph: Callable[..., Path]) -> None:
    def join(document: dict[str, Any]) -> None:
        layers = document["config"]["layers"]
        last = [layer["name"] for layer in layers if layer["class_name"] == "MaxPooling2D"][-1]
        node = _layer(document, "Conv2D")["inbound_nodes"][0]
        node["args"][0]["config"]["keras_history"][0] = last

    with pytest.raises(UnsupportedModelError, match="'IntensityScaler'"):
        read_archive(with_graph(join))


NO_SCALE: list[Any] = [float("nan"), -1.0, "many", None, 10**400, [1.0, 2.0]]


@pytest.mark.parametrize("scale", NO_SCALE)
def test_a_missing_scale_is_that_of_the_attribute(archived: Callable[..., Path], scale: object) -> None:
    assert (
        read_archive(archived({"intensity_scale": scale}, model__h5=keras_models.attributed(640.0))).intensity_scale
        == 640.0
    )


@pytest.mark.parametrize("scale", NO_SCALE)
def test_a_missing_scale_is_damage(archived: Callable[..., Path], scale: object) -> None:
    for file in (b"", b"no HDF5", keras_models.attributed(-1.0), keras_models.attributed("many")):
        with pytest.raises(DamagedArchiveError, match=r"neither its params\.dill nor its .* tells the intensity"):
            read_archive(archived({"intensity_scale": scale}, model__h5=file))


class Tensor:
    """What TensorFlow makes of a tensor in a pickle."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        import tensorflow as tf

        return tf.constant(self.value).__reduce__()


@pytest.mark.parametrize("value", [np.float32(640.0), np.array(640.0), np.array([640.0], np.float32)])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_scale_that_is_a_tensor_is_read(archived: Callable[..., Path], value: Any, wrapped: bool) -> None:
    scale = Tensor(value) if wrapped else value
    assert read_archive(archived({"intensity_scale": scale}, model__h5=b"")).intensity_scale == 640.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params__dill": b"\x80\x04}"}, "params.dill cannot be read"),
        ({"params__dill": pickle.dumps([1])}, "params.dill holds a list instead of key: value pairs"),
        ({"model__keras": b"PK"}, "of its member diffraction_to_obj/model.keras, its zip structure is broken"),
        ({"model__keras": zipped({"config.json": b"{}"})}, "describes no functional model"),
        ({"model__keras": zipped({"config.json": b"[" * 9000})}, "describes no functional model"),
        ({"model__keras": zipped({})}, "its member config.json is missing"),
    ],
)
def test_a_damaged_member_is_named(archived: Callable[..., Path], changes: dict[str, bytes], words: str) -> None:
    with pytest.raises(DamagedArchiveError, match=f"{words}.*Copy the file again"):
        read_archive(archived(**changes))


def test_weights_of_another_shape_are_refused(archived: Callable[..., Path], default_members: dict[str, bytes]) -> None:
    keras = read_zip_image(default_members["diffraction_to_obj/model.keras"])
    image = io.BytesIO(keras["model.weights.h5"])
    with h5py.File(image, "r+") as file:
        del file["layers/conv2d_3/vars/0"]
        file["layers/conv2d_3/vars/0"] = np.ones((3, 3, 64, 32), np.float32)
    archive = archived(model__keras=zipped({**keras, "model.weights.h5": image.getvalue()}))
    with pytest.raises(UnsupportedModelError, match=r"shape \(3, 3, 64, 32\) where 'encoder/stage1/conv1/kernel' has"):
        read_archive(archive)
