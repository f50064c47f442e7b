"""Option files of existing installations in all their layouts: sections of the sets, of the core, of both, or none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_files import read_option_file

from .option_fields import read_quietly, written


@pytest.mark.parametrize(
    ("content", "options", "results"),
    [
        ({"inference": {"batch_size": 32}}, {"inference_batch_size": 32}, {}),
        (
            {"middle_trim": 24, "batch_size": 1000, "experiment_number": 2, "pad_eval": True, "window": 5},
            {},
            {"crop_px": 24, "experiment_number": 2, "window": 5},
        ),
    ],
)
def test_a_file_on_reconstructions_says_nothing_of_trainings(
    content: dict[str, Any], options: dict[str, Any], results: dict[str, Any], tmp_path: Path
) -> None:
    found = read_option_file(written(tmp_path, content))
    assert (dict(found.options), dict(found.results)) == ({"backend": "pytorch", **options}, results)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"training": {"batch_size": 24}}, "batch_size = 24 (a power of two is needed; 16 is taken)"),
        ({"training": {"device": "cuda:1"}}, "device = 'cuda:1' (CUDA_VISIBLE_DEVICES chooses a GPU)"),
        ({"data": {}, "notes": "mine", "nepochs": 3}, "notes = 'mine'"),
    ],
)
def test_values_that_are_taken_in_part_are_named(content: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in read_option_file(written(tmp_path, content)).left_out


MASK = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {"probe_mask": MASK}, "data": {}}, "probe_mask is an array, and the mask on the probe is a circle"),
        ({"model": {"probe_mask_tensor": MASK}}, "probe_mask_tensor is an array"),
        ({"data": {"grid_size": [2, 2]}, "model": {"C_model": 1}}, "C_model = 1 contradicts grid_size = (2, 2), which"),
        ({"data": {"C": 9}}, "C = 9 contradicts grid_size = (2, 2), which makes groups of 4 patterns"),
        ({"data": {"N": 64}, "epochs": 3, "nepochs": 4}, "nepochs is given twice, as 4 and by the option sets as 3"),
        ({"data": {"N": 64}, "N": 128}, "'N' is given twice, as 64 and as 128. Keep one of them"),
        (
            {"data": {"N": 64}, "epoch": 3},
            "'epoch' is not a section of option sets, nor an option. Did you mean 'epochs'",
        ),
    ],
)
def test_refused_option_sets(content: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_option_file(written(tmp_path, content))


CORE_SECTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": {"N": 64, "gridsize": 2}, "training": {"nepochs": 3}}, {"N": 64, "gridsize": 2, "nepochs": 3}),
    ({"ModelConfig": {"N": 64, "gridsize": 2, "object_big": None}}, {"N": 64, "gridsize": 2}),
    ({"inference": {"n_groups": 5, "model_path": "m"}}, {"n_groups": 5}),
    (
        {"PyTorchExecutionConfig": {"learning_rate": 0.01, "scheduler": "Exponential", "gradient_clip_val": 0.0}},
        {"learning_rate": 0.01, "scheduler": "Exponential", "gradient_clip_val": None},
    ),
    (
        {"TrainingConfig": {"model": {"gridsize": 1, "N": 32}, "nepochs": 2, "scheduler": "Default"}},
        {"gridsize": 1, "N": 32, "nepochs": 2, "scheduler": "Default"},
    ),
    (
        {"training": {"nepochs": 2}, "execution": {"num_workers": 1}, "seed": 3},
        {"nepochs": 2, "num_workers": 1, "seed": 3},
    ),
    ({"gridsize": 2, "N": 64, "notes": ""}, {"gridsize": 2, "N": 64}),
]


@pytest.mark.parametrize("name", ["options.json", "options.yaml"])
@pytest.mark.parametrize(("content", "options"), CORE_SECTIONS)
def test_sections_of_the_core_load_in_both_forms(
    content: dict[str, Any], options: dict[str, Any], name: str, tmp_path: Path
) -> None:
    found = read_quietly(written(tmp_path, content, name))
    assert (dict(found.options), found.is_torch) == (options, False)
