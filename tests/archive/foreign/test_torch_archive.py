"""PyTorch archives of the original PtychoPINN give the numbers they gave there, on both backends."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.errors import DamagedArchiveError, UnsupportedModelError

from ...fuzz.mutator import unzipped, zipped
from . import torch_models
from .keras_models import KerasVariant, example_patterns, write
from .predictions import SHARED, needs_shared, network_patches
from .torch_models import TorchVariant

TOLERANCE = 1e-5
"""Both compute in float32, in another order."""
BACKENDS = ("pytorch", "tensorflow")
DEFAULT = TorchVariant()
STATE = "diffraction_to_obj/model.pth"

VARIANTS = {
    "gridsize 1, border of one map": TorchVariant(border_maps=1),
    "gridsize 2": TorchVariant(gridsize=2),
    "gridsize 2, an eighth of the maps": TorchVariant(gridsize=2, n_filters_scale=2, border_maps=8),
    "gridsize 3": TorchVariant(gridsize=3, border_maps=9, cbam_encoder=False),
    "without probe_big": TorchVariant(gridsize=2, probe_big=False),
    "without object_big": TorchVariant(gridsize=2, object_big=False),
    "without pad_object": TorchVariant(gridsize=2, pad_object=False),
    "one decoder": TorchVariant(gridsize=2, shared_decoder=True),
    "one amplitude for the group": TorchVariant(gridsize=2, amplitude_channels=1),
    "N 128": TorchVariant(N=128, border_width=32, border_maps=1),
    "N 256": TorchVariant(N=256, border_width=16),
}


def archived(variant: TorchVariant, folder: Path, **changes: bytes) -> Path:
    contents = torch_models.members(torch_models.build(variant), variant)
    changed = {f"diffraction_to_obj/{name.replace('__', '.')}": content for name, content in changes.items()}
    return write(folder / "wts.h5.zip", contents | changed)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_gives_the_numbers_of_torch(variant: TorchVariant, tmp_path: Path) -> None:
    archive = archived(variant, tmp_path)
    patterns = 5 * example_patterns(KerasVariant(N=variant.N, gridsize=variant.gridsize), 1)
    expected = torch_models.patches(torch_models.build(variant), patterns)
    assert expected.std() > 0.003
    for backend in BACKENDS if variant.gridsize == 2 else BACKENDS[:1]:
        found = network_patches(archive, patterns, backend)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0, err_msg=backend)
    model = read_archive(archive).model
    assert (model.N, model.gridsize, model.n_filters_scale) == (variant.N, variant.gridsize, variant.n_filters_scale)
    assert model.cbam_encoder == variant.cbam_encoder
    assert (model.object_big, model.pad_object) == (variant.object_big, variant.pad_object)
    assert model.amp_activation == "swish"
    if variant.pad_object:
        assert model.border_maps == variant.border_maps


@needs_shared
@pytest.mark.parametrize(("name", "gridsize", "border_maps"), [("torch_gs1", 1, 1), ("torch_gs2", 2, 4)])
def test_archives_of_the_original_open(name: str, gridsize: int, border_maps: int) -> None:
    content = read_archive(SHARED / name)
    assert (content.model.gridsize, content.model.border_maps, content.backend) == (gridsize, border_maps, "pytorch")
    assert content.model.cbam_encoder
    assert content.intensity_scale == 812.5
    # The description of the network, filled with the weights of the original, gives what both backends give.
    variant = TorchVariant(gridsize=gridsize, border_maps=border_maps)
    module = torch_models.build(variant)
    with zipfile.ZipFile(SHARED / name / "wts.h5.zip") as container:
        state = torch.load(io.BytesIO(container.read(STATE)), weights_only=True)
    missing, beyond = module.load_state_dict(state, strict=False)
    assert not missing
    assert all(name.startswith("model.forward_model.") for name in beyond)
    patterns = example_patterns(KerasVariant(gridsize=gridsize))
    for backend in BACKENDS:
        found = network_patches(SHARED / name, patterns, backend)
        np.testing.assert_allclose(found, torch_models.patches(module, patterns), atol=TOLERANCE, rtol=0)


def test_torch_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archived(DEFAULT, tmp_path)
    expected = read_archive(archive).weights
    monkeypatch.setitem(sys.modules, "torch", None)
    found = read_archive(archive).weights
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_other_types_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {name: value.to(dtype) for name, value in torch_models.build(DEFAULT).state_dict().items()}
    found = read_archive(archived(DEFAULT, tmp_path, model__pth=torch_models.saved(state))).weights
    expected = state["model.autoencoder.encoder.blocks.0.conv1.weight"].float().numpy().transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(found["encoder/stage0/conv0/kernel"], expected)


def test_arrays_that_share_their_storage_or_are_turned_are_read(tmp_path: Path) -> None:
    state = torch_models.build(DEFAULT).state_dict()
    plain = read_archive(archived(DEFAULT, tmp_path)).weights
    flat = torch.cat([value.flatten() for value in state.values()])
    pieces = flat.split([value.numel() for value in state.values()])
    shared = {name: piece.view(value.shape) for (name, value), piece in zip(state.items(), pieces, strict=True)}
    turned = {
        name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value for name, value in state.items()
    }
    compiled = {name.replace("model.", "model._orig_mod.", 1): nn_parameter(value) for name, value in state.items()}
    for other in (shared, turned, compiled):
        found = read_archive(archived(DEFAULT, tmp_path, model__pth=torch_models.saved(other))).weights
        for name, array in plain.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def nn_parameter(value: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(value)


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "attention elsewhere": (
        lambda state: state.update({"model.autoencoder.decoder_amp.blocks.0.eca.conv.weight": torch.ones(1, 1, 3)}),
        r"a layer 'decoder_amp\.blocks\.0\.eca\.conv', for which the network 'cnn' has no place",
    ),
    "no network": (lambda state: state.clear(), "weights hold 0 networks 'autoencoder'"),
    "a missing layer": (
        lambda state: state.pop("model.autoencoder.decoder_phase.blocks.1.conv2.bias"),
        "lacks what is 'phase/stage1/conv1/bias' here",
    ),
    "other sizes": (
        lambda state: state.update({"model.autoencoder.decoder_amp.blocks.0.conv1.bias": torch.ones(7)}),
        r"weights of shape \(7,\) where 'amplitude/stage0/conv0/bias' has \(64,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_another_network_is_refused_by_name(
    tmp_path: Path, case: tuple[Callable[[dict[str, Any]], object], str]
) -> None:
    change, words = case
    state = torch_models.build(DEFAULT).state_dict()
    change(state)
    with pytest.raises(UnsupportedModelError, match=f"{words}.*Train a model here"):
        read_archive(archived(DEFAULT, tmp_path, model__pth=torch_models.saved(state)))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"architecture": "ffno"}, "architecture 'ffno', and only 'cnn' is read"),
        ({"amp_activation": "relu"}, "amp_activation = 'relu', which such networks were not seen to follow"),
        ({"pad_object": False}, "say pad_object = False, and its head is made for a padded centre"),
        ({"N": 128}, r"weights of shape \(3, 3, 1, 32\) where 'encoder/stage0/conv0/kernel' has \(3, 3, 1, 16\)"),
        ({"N": 100}, "N = 100 is not one of"),
        ({"cnn_output_mode": "real_imag"}, "real and imaginary part, and how it limits and scales them"),
    ],
)
def test_options_that_contradict_the_weights_are_refused(tmp_path: Path, told: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=words):
        read_archive(archived(replace(DEFAULT, parameters=told), tmp_path))


def _altered(name: str, change: Callable[[bytes], bytes]) -> bytes:
    parts = unzipped(torch_models.saved(torch_models.build(DEFAULT).state_dict()))
    full = next(key for key in parts if key.endswith(name))
    return zipped({**parts, full: change(parts[full])})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (_altered("data/2", lambda content: content[:-4]), r"the array 'model\.autoencoder.*' of .* is malformed"),
        (_altered("data.pkl", lambda content: content[:-9]), "the pickle of diffraction_to_obj/model.pth cannot be"),
        (_altered("data.pkl", lambda content: pickle.dumps([1])), "its weights are no dictionary"),
        (zipped({"x": b""}), "holds 0 pickles of PyTorch instead of one"),
        (b"\x80\x02", "its zip structure is broken"),
    ],
    ids=["short array", "short pickle", "a list", "no pickle", "no zip"],
)
def test_a_damaged_state_is_named(tmp_path: Path, state: bytes, words: str) -> None:
    with pytest.raises(DamagedArchiveError, match=f"{words}.*Copy the file again"):
        read_archive(archived(DEFAULT, tmp_path, model__pth=state))


@pytest.mark.parametrize("shape", [(2**30, 2**30), (2**20,), (3, 3, 2**40, 0), (1,) * 30])
def test_an_array_larger_than_its_storage_is_not_made(tmp_path: Path, shape: tuple[int, ...]) -> None:
    state = torch_models.build(DEFAULT).state_dict()
    name = "model.autoencoder.encoder.blocks.0.conv1.bias"
    state[name] = torch.as_strided(state[name], shape if 0 in shape else (1,) * len(shape), (0,) * len(shape))
    image = torch_models.saved(state)
    parts = unzipped(image)
    pickled = next(key for key in parts if key.endswith("data.pkl"))
    if 0 not in shape and len(shape) < 8:
        # PyTorch itself would not write such a shape.
        old, new = (pickle.dumps(value, 2)[2:-1] for value in ((1,) * len(shape), shape))
        assert parts[pickled].count(old[:-2]) >= 1
        parts[pickled] = parts[pickled].replace(old[:-2], new[:-2])
    with pytest.raises((DamagedArchiveError, UnsupportedModelError)):
        read_archive(archived(DEFAULT, tmp_path, model__pth=zipped(parts)))
