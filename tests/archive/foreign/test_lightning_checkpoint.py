"""Checkpoints of the library ptychopinn-torch open without it, and give the numbers they gave there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptychopinn_backend.archive import read_archive, read_metadata
from ptychopinn_backend.errors import ForeignArchiveError, UnsupportedModelError

from . import torch_models
from .keras_models import KerasVariant, example_patterns
from .predictions import network_patches
from .torch_models import TorchVariant

GRIDSIZE_2 = TorchVariant(gridsize=2, border_maps=4)
VARIANTS = {
    "gridsize 1": TorchVariant(border_maps=1),
    "gridsize 2": GRIDSIZE_2,
    "eighth of the maps": TorchVariant(gridsize=2, n_filters_scale=2, border_maps=8),
    "N 128": TorchVariant(N=128, border_width=32, border_maps=1, object_big=True),
}


def written(folder: Path, variant: TorchVariant = GRIDSIZE_2, **changes: Any) -> Path:
    path = folder / "epoch=3.ckpt"
    path.write_bytes(torch_models.checkpoint(torch_models.build(variant), variant, **changes))
    return path


@pytest.mark.parametrize("as_objects", [True, False])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_gives_the_numbers_of_torch(variant: TorchVariant, as_objects: bool, tmp_path: Path) -> None:
    path = written(tmp_path, variant, as_objects=as_objects)
    assert "ptycho_torch" not in sys.modules
    patterns = 5 * example_patterns(KerasVariant(N=variant.N, gridsize=variant.gridsize), 1)
    expected = torch_models.patches(torch_models.build(variant), patterns)
    for backend in ("pytorch", "tensorflow") if variant is GRIDSIZE_2 and as_objects else ("pytorch",):
        found = network_patches(path, patterns, backend)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0, err_msg=backend)
    content = read_archive(path)
    assert (content.model.N, content.model.gridsize, content.model.border_maps) == (
        variant.N,
        variant.gridsize,
        variant.border_maps,
    )
    assert "ptycho_torch" not in sys.modules


def test_options_are_taken_over(tmp_path: Path) -> None:
    network = {"mode": "Supervised", "amp_activation": "sigmoid", "intensity_scale": 321.0}
    changes = {"model_config": network, "training_config": {"nll": False, "batch_size": 20}}
    content = read_archive(written(tmp_path, **changes))
    assert (content.model.model_type, content.model.amp_activation) == ("supervised", "sigmoid")
    assert content.intensity_scale == 321.0
    training = content.training
    assert (training.nepochs, training.batch_size, training.nphotons) == (12, 16, 1e5)
    assert (training.nll_weight, training.mae_weight, training.neighbor_count) == (0.0, 1.0, 6)
    assert content.versions == {"lightning": "2.5.1"}
    assert content.params["gridsize"] == 2
    assert read_metadata(tmp_path / "epoch=3.ckpt")["converted_from"] == "a Lightning checkpoint of ptychopinn-torch"


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"object_representation": "rectangular"}, "real and imaginary part, and how it limits and scales them"),
        ({"cnn_output_mode": "real_imag"}, "real and imaginary part, and how it limits and scales them"),
        ({"architecture": "ccnf"}, "architecture 'ccnf', and only 'cnn' is read"),
        ({"amp_activation": "mish"}, "amp_activation = 'mish' is not one of"),
        ({"pad_object": False}, "say pad_object = False"),
    ],
)
def test_another_network_is_refused_with_the_reason(tmp_path: Path, network: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"{words}.*Train a model here"):
        read_archive(written(tmp_path, model_config=network))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 1}, r"it seems to be a PyTorch checkpoint \(.pt, .ckpt\), which holds no trained model"),
        (torch.ones(3), "which holds no trained model"),
        ({"state_dict": {}, "ptychopinn": {}}, "a checkpoint from which a training of this package goes on"),
        ({"state_dict": {"a": torch.ones(3)}}, "does not hold the options of its network"),
    ],
)
def test_checkpoints_of_something_else_are_foreign(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(torch_models.saved(content))
    with pytest.raises(ForeignArchiveError, match=words):
        read_archive(path)
