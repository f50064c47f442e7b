"""Option files of existing installations: every option loads, and what it becomes is what docs/migration.md says."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend.config.yaml_file import is_option, run_config
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_fates import CORE, FLAT, TORCH, Fate
from ptychopinn_backend.legacy.option_files import read_option_file
from ptychopinn_backend.torch_configs import (
    DataConfig,
    InferenceConfig,
    load_option_sets,
    to_inference_config,
    to_model_config,
    to_reconstruct_options,
)

from .option_fields import FULL_LIST, SECTIONS, known_fields, listed_fields, read_quietly, written
from .option_table import BEGIN, END, PAGE, fate_of, table

FIELDS = known_fields()
TORCH_FIELDS = [(name, option) for name, options in FIELDS["torch"].items() for option in options]
FLAT_FIELDS = [
    (name, option)
    for name, options in FIELDS["core"].items()
    if name in ("ModelConfig", "TrainingConfig", "InferenceConfig", "PyTorchExecutionConfig")
    for option in options
    if option != "model"
]
WITHOUT_DEFAULT = {"model_path": "wts.h5.zip", "test_data_file": "scan.npz"}


@pytest.mark.skipif(not FULL_LIST.is_file(), reason="the full list of options is not at hand")
def test_the_copy_of_the_list_is_up_to_date() -> None:
    assert listed_fields() == known_fields(), "run python -m tests.legacy.option_fields"


def test_every_option_has_a_fate_and_every_fate_an_option() -> None:
    for kind, classes in FIELDS.items():
        for name, options in classes.items():
            fates = TORCH[SECTIONS[name]] if kind == "torch" else CORE[name]
            assert set(fates) == set(options)
            for option, defaults in options.items():
                fate = fates[option]
                assert fate.becomes or fate.usual
                assert fate.becomes or all(map(fate.is_usual, defaults)), (name, option, defaults)


def test_the_page_lists_every_option() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == table(), "run python -m tests.legacy.option_table"


@pytest.mark.parametrize(("name", "option"), TORCH_FIELDS)
def test_every_option_of_pytorch_loads_with_its_default(name: str, option: str, tmp_path: Path) -> None:
    fate = fate_of("torch", name, option)
    for default in FIELDS["torch"][name][option]:
        file = written(tmp_path, {SECTIONS[name]: {option: default}})
        found = read_option_file(file)
        if fate.becomes:
            assert not [text for text in found.left_out if not text.endswith("(for 'ptychopinn simulate')")]
        else:
            assert found.left_out == (option,)
            assert set(found.options) <= {"backend", *THEIRS}
        sets = load_quietly(file)
        assert sets._fields == tuple(SECTIONS.values())


def load_quietly(file: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load_option_sets(file)


@pytest.mark.parametrize(("name", "option"), FLAT_FIELDS)
def test_every_option_of_the_core_loads_with_its_default(name: str, option: str, tmp_path: Path) -> None:
    for default in FIELDS["core"][name][option] or [WITHOUT_DEFAULT[option]]:
        found = read_option_file(written(tmp_path, {option: default}, "options.yaml"))
        fate = FLAT[option]
        assert found.left_out == (() if fate.becomes else (option,))
        assert set(found.options) <= {option, "object_big"}
        run_config({key: value for key, value in found.options.items() if key != "n_images"})


@pytest.mark.parametrize(
    ("section", "option", "fate"),
    [(section, option, fate) for section, fates in TORCH.items() for option, fate in fates.items() if fate.refused],
)
def test_what_would_change_the_result_is_refused_by_name(section: str, option: str, fate: Fate, tmp_path: Path) -> None:
    other = {bool: True, str: "another", int: 3, float: 3.0}.get(type(fate.usual[0]), "another")
    if option == "pad_eval":
        other = False
    elif option in ("amp_loss", "phase_loss"):
        other = "Total_Variation"
    elif option == "data_scaling":
        other = "Max"
    elif option == "scan_pattern":
        other = "Rectangular"
    with pytest.raises(ConfigError, match=rf"^{option} = .* is not offered, .* leave it out\.$"):
        read_option_file(written(tmp_path, {section: {option: other}}))


def test_a_whole_dump_is_read_with_one_warning(tmp_path: Path) -> None:
    content = {
        f"{SECTIONS[name]}_config": {option: values[-1] for option, values in options.items()}
        for name, options in FIELDS["torch"].items()
    }
    content["training_config"]["run_tag"] = "of mine"
    with pytest.warns(UserWarning, match="Options without effect here") as warned:
        load_option_sets(written(tmp_path, content))
    (said,) = [str(item.message) for item in warned]
    assert "run_tag = 'of mine', adam" not in said
    assert re.search(r"run_tag = 'of mine'.*finetune_val_split.*docs/migration.md", said)
    found = read_option_file(written(tmp_path, content))
    assert found.is_torch
    assert found.left_out[0] == "run_tag = 'of mine'"
    assert run_config({name: value for name, value in found.options.items() if name != "n_groups"})


THEIRS = {
    "architecture": "cnn",
    "gridsize": 2,
    "neighbor_count": 6,
    "amp_activation": "silu",
    "cbam_encoder": True,
    "border_maps": 8,
    "intensity_scale_trainable": False,
}
"""What options that such a file leaves out are there, where it is something else here."""
TRANSLATED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"data": {"grid_size": [3, 3], "N": 128, "K": 9}}, {"gridsize": 3, "N": 128, "neighbor_count": 9}),
    ({"data": {"measurement_domain": "normalized_amplitude"}}, {"measurement": "normalized_amplitude"}),
    ({"data": {"measurement_domain": "count_intensity", "nphotons": 1e5}}, {}),
    ({"data": {"nphotons": 1e6}}, {"nphotons": 1e6}),
    ({"model": {"mode": "Supervised", "architecture": "unet"}}, {"model_type": "supervised", "architecture": "cnn"}),
    ({"model": {"amp_activation": "silu", "probe_mask": None}}, {"amp_activation": "silu", "probe_mask": False}),
    (
        {"model_config": {"probe_mask": True, "probe_mask_diameter": 20.0, "probe_mask_sigma": 0.5}},
        {"probe_mask": True, "probe_mask_diameter": 20.0, "probe_mask_sigma": 0.5},
    ),
    ({"model": {"cnn_output_mode": "real_imag"}, "data": {}}, {"cnn_output_mode": "real_imag"}),
    ({"model": {"object_representation": "polar"}}, {"cnn_output_mode": "amp_phase"}),
    ({"model": {"object_big": None, "object_layout": "single_patch"}, "data": {}}, {"object_big": False}),
    ({"model": {"object_big": None}, "data": {}}, {}),
    ({"model": {"use_shared_decoder": True}}, {"shared_decoder": True}),
    (
        {"model": {"decoder_last_c_outer_fraction": 0.25, "n_filters_scale": 1}},
        {"border_maps": 8, "n_filters_scale": 1},
    ),
    (
        {"model": {"decoder_last_c_outer_fraction": 0.01, "mode": "Supervised"}},
        {"border_maps": 1, "model_type": "supervised"},
    ),
    (
        {"model": {"decoder_last_c_outer_fraction": 0.125, "use_shared_decoder": False}},
        {"border_maps": 8, "shared_decoder": False},
    ),
    ({"model": {"n_filters_scale": 1}}, {"n_filters_scale": 1}),
    ({"data_config": {"N": 64}, "training_config": {"epochs": 2}}, {"N": 64, "nepochs": 2}),
    ({"data_config": {"N": 64}, "epochs": 3, "notes": ""}, {"N": 64, "nepochs": 3}),
    (
        {"data_config": {"N": 64}, "nepochs": 3, "execution": {"num_workers": 2}},
        {"N": 64, "nepochs": 3, "num_workers": 2},
    ),
    (
        {"data": {"grid_size": [1, 1]}, "training": {"nepochs": 3, "epochs_fine_tune": 1}},
        {"gridsize": 1, "nepochs": 3, "epochs_fine_tune": 1},
    ),
    (
        {"training": {"batch_size": 24, "gradient_clip_val": 0.0, "device": "cuda:0"}},
        {"batch_size": 16, "accelerator": "auto"},
    ),
    ({"training": {"device": "cuda:1", "gradient_clip_val": 0}}, {"accelerator": "auto"}),
    ({"model": {"max_hidden_channels": 64, "resnet_width": 48}}, {"max_hidden_channels": 64, "resnet_width": 48}),
    ({"model": {"loss_function": "MAE"}, "training": {"torch_loss_mode": "poisson"}}, {"torch_loss_mode": "mae"}),
    (
        {"training": {"epochs": 3, "nll": False}},
        {"nepochs": 3, "nll_weight": 0.0, "mae_weight": 1.0, "torch_loss_mode": "poisson"},
    ),
    (
        {"model": {"loss_function": "MAE"}, "training": {"nll": False}},
        {"nll_weight": 0.0, "mae_weight": 1.0, "torch_loss_mode": "poisson"},
    ),
    (
        {"training": {"epochs": 50, "stage_1_epochs": 2, "stage_3_epochs": 1}},
        {"nepochs": 3, "stage_1_epochs": 2, "stage_3_epochs": 1},
    ),
    (
        {"training": {"scheduler": "Cosine", "warmup_epochs": 5, "min_lr_ratio": 0.2}},
        {"scheduler": "WarmupCosine", "lr_warmup_epochs": 5, "lr_min_ratio": 0.2},
    ),
    (
        {"training": {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "agc"}, "data": {}},
        {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "agc"},
    ),
    ({"training": {"device": "cuda", "n_devices": 1, "strategy": "ddp"}}, {"accelerator": "auto", "devices": 1}),
    (
        {"training": {"device": "cpu", "n_devices": 2, "strategy": "ddp"}},
        {"accelerator": "cpu", "devices": 2, "strategy": "ddp"},
    ),
    ({"training": {"training_directories": ["a", "b"]}}, {"scans": ["a", "b"]}),
    # Without sections, an option is in the first set that knows it.
    ({"epochs": 4, "grid_size": [2, 2], "batch_size": 8}, {"nepochs": 4, "gridsize": 2, "batch_size": 8}),
]


@pytest.mark.parametrize(("content", "expected"), TRANSLATED)
def test_translation_of_option_sets(content: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    found = read_quietly(written(tmp_path, content))
    theirs = dict(THEIRS)
    if expected.get("n_filters_scale") == 1:
        del theirs["border_maps"]  # an eighth of 32 maps is what it is here
    assert dict(found.options) == {"backend": "pytorch", **theirs, **expected}
    run_config(found.options)


FLAT_FILES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"N": 64, "gridsize": 2, "nepochs": 7}, {"N": 64, "gridsize": 2, "nepochs": 7}, {}),
    ({"stitch_crop_size": 20}, {}, {"crop_px": 20, "assembly": "central"}),
    ({"middle_trim": 0, "pad_eval": True}, {}, {}),
    ({"middle_trim": 24, "stitch_crop_size": 20}, {}, {"crop_px": 20, "assembly": "central"}),
    ({"object.big": False, "probe.trainable": True}, {"object_big": False, "probe_trainable": True}, {}),
    ({"output_prefix": "out", "train_data_file_path": "a.npz"}, {"output_dir": "out", "train_data_file": "a.npz"}, {}),
    ({"model": {"N": 64, "object_layout": "single_patch"}}, {"N": 64, "object_big": False}, {}),
    ({"logger_backend": None}, {"logger_backend": "none"}, {}),
    ({"model_path": "m", "debug": True}, {}, {"model_path": "m", "debug": True}),
]


@pytest.mark.parametrize(("content", "options", "results"), FLAT_FILES)
def test_translation_of_files_of_the_core(
    content: dict[str, Any], options: dict[str, Any], results: dict[str, Any], tmp_path: Path
) -> None:
    found = read_option_file(written(tmp_path, content, "options.yaml"))
    assert (dict(found.options), dict(found.results), found.is_torch) == (options, results, False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"learned_input_channels": 2}, "learned_input_channels = 2 is not offered"),
        ({"model": {"training_canvas": "independent"}}, "training_canvas = 'independent' is not offered"),
        ({"model": {"object_layout": "both"}}, "object_layout = 'both' is not one of 'single_patch'"),
        ({"output_prefix": "a", "output_dir": "b"}, "'output_prefix' and 'output_dir' say the same"),
        ({"stitch_crop_size": -3}, "stitch_crop_size = -3 must be a whole number above 0"),
        ({"nepoch": 3}, "'nepoch' is not a configuration key. Did you mean 'nepochs'"),
        ({"model": 3}, "Section 'model' is 3; expected indented"),
    ],
)
def test_refused_files_of_the_core(content: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_option_file(written(tmp_path, content, "options.yaml"))


def test_a_trained_file_warns_once_of_all_that_has_no_effect(tmp_path: Path) -> None:
    file = written(tmp_path, {"stitch_crop_size": 20, "label": "mine", "use_xla_translate": True}, "options.yaml")
    with pytest.warns(UserWarning, match="holds options that have no effect here") as warned:
        read_option_file(file).warn(file, to_train=True)
    (said,) = [str(item.message) for item in warned]
    assert re.search(
        r"no effect here: label = 'mine', use_xla_translate\..* says crop_px = 20, assembly = central", said
    )


def test_every_key_without_effect_is_none_of_ours() -> None:
    assert not [name for name, fate in FLAT.items() if not fate.becomes and is_option(name)]


@pytest.mark.parametrize("options", [{"middle_trim": 24, "patch_weighting": "uniform", "batch_size": 10}])
def test_how_patches_are_put_together(options: dict[str, Any]) -> None:
    assert to_reconstruct_options(InferenceConfig(**options)) == {
        "assembly": "central",
        "crop_px": 24,
        "batch_size": 10,
    }
    assert to_reconstruct_options(InferenceConfig())["assembly"] == "probe"
    with pytest.raises(ConfigError, match="pad_eval = False is not offered: the object always covers the scan"):
        to_reconstruct_options(InferenceConfig(pad_eval=False))


def test_the_experiment_is_a_file_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "wts.h5.zip").write_bytes(b"")
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("b.npz", "a.npz", ".hidden"):
        (scans / name).write_bytes(b"")
    model = to_model_config(DataConfig(), {})
    given = {"model_path": tmp_path, "test_data_file": scans}
    for number, name in enumerate(("a.npz", "b.npz")):
        config = to_inference_config(model, DataConfig(), InferenceConfig(experiment_number=number), given)
        assert config.test_data_file == scans / name
    with pytest.raises(ConfigError, match=r"experiment_number = 2, but .* holds 2 scans. Choose one from 0 to 1"):
        to_inference_config(model, DataConfig(), InferenceConfig(experiment_number=2), given)
    with pytest.raises(ConfigError, match=r"experiment_number = 1, but .* is a single scan"):
        to_inference_config(
            model, DataConfig(), InferenceConfig(experiment_number=1), {**given, "test_data_file": scans / "a.npz"}
        )
