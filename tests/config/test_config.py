"""Rules of the three configurations: each is refused with words that name the value, the rule and the remedy."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import (
    AMP_ACTIVATIONS,
    PATTERN_SIZES,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
    find_archive,
    generators,
)
from ptychopinn_backend.errors import ConfigError, PtychoPINNError

WHOLE = "must be a whole number above 0. Set {} to 1 or more"
WHOLE_OR_ZERO = "must be a whole number of at least 0. Set {} to 0 or more"
POSITIVE = "must be a finite number above 0. Set {} to a positive number"
NOT_NEGATIVE = "must be a finite number of at least 0. Set {} to 0 or more"
UNIT = "must lie in [0, 1]. Choose a number from 0 to 1"
BELOW_ONE = "must lie in [0, 1). Choose a number from 0 to just below 1"
BOOLEAN = "must be true or false. Set {} to True or False"

BAD_COUNTS = (0, -1, 0.5, True, "2", None)
BAD_POSITIVE = (0, -1, float("nan"), float("inf"), "1", True, None)
BAD_NOT_NEGATIVE = (-0.1, float("nan"), "1", None)
BAD_UNIT = (-0.1, 1.5, 2, float("nan"), "0.5", None)

Rule = tuple[str, tuple[Any, ...], str]

MODEL_RULES: list[Rule] = [
    ("N", (100, 16, 64.0, "64", None), "is not one of 32, 64, 128, 256, 512."),
    *(
        (name, BAD_COUNTS, WHOLE)
        for name in ("gridsize", "n_filters_scale", "fno_modes", "fno_width", "fno_blocks", "fno_cnn_blocks")
    ),
    *((name, BAD_COUNTS[:-1], WHOLE) for name in ("max_hidden_channels", "resnet_width")),
    ("model_type", ("foo", None), "is not one of 'pinn', 'supervised'."),
    ("model_type", ("PINN",), "Did you mean 'pinn'?"),
    ("architecture", ("resnet", ["cnn"]), "is not one of 'cnn'"),
    ("amp_activation", ("tanh", 3), "is not one of 'sigmoid', 'swish', 'softplus', 'relu'."),
    *(
        (name, (1, 0, "yes", None), BOOLEAN)
        for name in ("object_big", "probe_big", "probe_mask", "pad_object", "shared_decoder", *generators.CNN_OPTIONS)
    ),
    ("cnn_output_mode", ("amp", None), "is not one of 'amp_phase', 'real_imag'."),
    ("border_maps", (-1, 2.0, "4", True, None), "must be a whole number of at least 0. Set {} to 0 or more"),
    ("border_maps", (0, 64, 1000), "leaves the border or the centre without maps: the last stage of a decoder has 64"),
    ("border_width", (0, -1, 2.5, "8", True), "must be a whole number above 0. Set {} to 1 or more"),
    ("decoder_spatial_kernel", (0, -3, 4, 3.0, True, None), "must be an odd whole number above 0. Set {} to 3, 5 or 7"),
    ("probe_mask_sigma", BAD_NOT_NEGATIVE, NOT_NEGATIVE),
    ("probe_mask_diameter", BAD_POSITIVE[:-1], POSITIVE),
    ("probe_scale", BAD_POSITIVE, POSITIVE),
    ("gaussian_smoothing_sigma", BAD_NOT_NEGATIVE, NOT_NEGATIVE),
    ("fno_input_transform", ("log",), "is not one of 'none', 'sqrt', 'log1p', 'instancenorm'. Did you mean 'log1p'?"),
    ("generator_output_mode", ("amp",), "is not one of 'real_imag', 'amp_phase', 'amp_phase_logits'."),
]

SAMPLING_RULES: list[Rule] = [
    *((name, BAD_COUNTS[:-1], WHOLE) for name in ("n_groups", "n_images", "n_subsample", "neighbor_pool_size")),
    ("neighbor_count", BAD_COUNTS, WHOLE),
    ("subsample_seed", (-1, 0.5, "1"), WHOLE_OR_ZERO),
    ("enable_oversampling", (1, None), BOOLEAN),
    ("backend", ("torch",), "Did you mean 'pytorch'?"),
    ("output_dir", (None, 3), "must be a path. Give a string or a pathlib.Path"),
    ("model", (None, {"N": 64}), "must be a ModelConfig. Build one with ModelConfig(...)"),
]

TRAINING_RULES: list[Rule] = [
    *SAMPLING_RULES,
    ("backend", ("jax", "onnx", None), "is not one of 'tensorflow', 'pytorch'."),
    ("train_data_file", (3,), "must be a path. Give a string or a pathlib.Path"),
    ("test_data_file", (3.0,), "must be a path. Give a string or a pathlib.Path"),
    ("batch_size", BAD_COUNTS, WHOLE),
    ("batch_size", (3,), "must be a power of two. Use 2 or 4 instead"),
    ("batch_size", (24,), "must be a power of two. Use 16 or 32 instead"),
    ("nepochs", BAD_COUNTS, WHOLE),
    ("groups_per_epoch", BAD_COUNTS[:-1], WHOLE),
    *(
        (name, BAD_UNIT, UNIT)
        for name in ("mae_weight", "mse_weight", "nll_weight", "realspace_mae_weight", "realspace_weight")
    ),
    ("realspace_mae_weight", (0.1,), "has no effect while realspace_weight = 0"),
    ("realspace_mae_weight", (0.1,), "Set realspace_weight above 0"),
    *((name, BAD_NOT_NEGATIVE, NOT_NEGATIVE) for name in ("tv_weight", "mean_deviation_weight")),
    *((name, (0.1,), "has no effect while realspace_weight = 0") for name in ("tv_weight", "mean_deviation_weight")),
    ("nphotons", BAD_POSITIVE, POSITIVE),
    *(
        (name, (1, "no", None), BOOLEAN)
        for name in ("positions_provided", "probe_trainable", "intensity_scale_trainable", "sequential_sampling")
    ),
    ("torch_loss_mode", ("foo",), "is not one of 'poisson', 'mae'."),
    ("gradient_clip_val", BAD_POSITIVE[:-1], POSITIVE),
    ("gradient_clip_algorithm", ("clip",), "is not one of 'norm', 'value', 'agc'."),
    ("optimizer", ("adamax",), "is not one of 'adam', 'adamw', 'sgd'. Did you mean 'adam'?"),
    *((name, BAD_UNIT, UNIT) for name in ("momentum", "lr_min_ratio")),
    *(
        (name, (-0.1, 1, "0.5"), BELOW_ONE)
        for name in (
            "adam_beta1",
            "adam_beta2",
            "plateau_factor",
            "validation_fraction",
            "target_photon_fraction",
            "held_out_fraction",
        )
    ),
    *((name, BAD_NOT_NEGATIVE, NOT_NEGATIVE) for name in ("weight_decay", "plateau_min_lr", "plateau_threshold")),
    ("scheduler", ("default",), "Did you mean 'Default'?"),
    *((name, (-1, 0.5, None), WHOLE_OR_ZERO) for name in ("lr_warmup_epochs", "plateau_patience")),
    *((name, (-1, 0.5, None), WHOLE_OR_ZERO) for name in ("stage_1_epochs", "stage_2_epochs", "stage_3_epochs")),
    ("epochs_fine_tune", (-1, 0.5, None), WHOLE_OR_ZERO),
    *((name, BAD_POSITIVE, POSITIVE) for name in ("stage_3_lr_factor", "fine_tune_gamma")),
    ("physics_weight_schedule", ("Cosine",), "is not one of 'linear', 'cosine', 'exponential'. Did you mean 'cosine'?"),
    *(("scheduler", (name,), "follows the stages of a training") for name in ("MultiStage", "Adaptive")),
]

INFERENCE_RULES: list[Rule] = [
    *SAMPLING_RULES,
    ("backend", ("jax", None), "is not one of 'tensorflow', 'pytorch', 'onnx'."),
    ("debug", (0, None), BOOLEAN),
    ("model_path", (None, 3), "must be a path. Give a string or a pathlib.Path"),
    ("test_data_file", (None,), "must be a path. Give a string or a pathlib.Path"),
]


def spread(rules: list[Rule]) -> list[Any]:
    return [
        pytest.param(name, value, words.format(name), id=f"{name}={value!r}:{number}")
        for number, (name, values, words) in enumerate(rules)
        for value in values
    ]


def assert_refused(build: Any, name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        build(**{name: value})
    assert f"{name} = {value!r}" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, PtychoPINNError)


@pytest.mark.parametrize(("name", "value", "words"), spread(MODEL_RULES))
def test_model_rule(name: str, value: Any, words: str) -> None:
    assert_refused(ModelConfig, name, value, words)


@pytest.mark.parametrize(("name", "value", "words"), spread(TRAINING_RULES))
def test_training_rule(name: str, value: Any, words: str) -> None:
    assert_refused(TrainingConfig, name, value, words)


@pytest.mark.parametrize(("name", "value", "words"), spread(INFERENCE_RULES))
def test_inference_rule(name: str, value: Any, words: str, archive: Path) -> None:
    def build(**changes: Any) -> InferenceConfig:
        return InferenceConfig(**{"model_path": archive, "test_data_file": "scan.npz", **changes})

    assert_refused(build, name, value, words)


@pytest.mark.parametrize(
    ("cls", "rules"), [(ModelConfig, MODEL_RULES), (TrainingConfig, TRAINING_RULES), (InferenceConfig, INFERENCE_RULES)]
)
def test_every_field_has_a_rule_tested(cls: type[Any], rules: list[Rule]) -> None:
    assert {item.name for item in dataclasses.fields(cls)} == {name for name, _, _ in rules}


@pytest.mark.parametrize("size", PATTERN_SIZES)
def test_supported_pattern_sizes(size: int) -> None:
    assert size == ModelConfig(N=size).N


@pytest.mark.parametrize("architecture", ["hybrid", "hybrid_resnet"])
def test_generators_that_halve_the_resolution_leave_four_pixels(architecture: str) -> None:
    assert ModelConfig(N=32, fno_blocks=4, architecture=architecture).fno_blocks == 4
    words = f"fno_blocks = 5 is too many for architecture = '{architecture}'.*N = 32.*Set fno_blocks to 4 or less"
    with pytest.raises(ConfigError, match=words):
        ModelConfig(N=32, fno_blocks=5, architecture=architecture)
    assert ModelConfig(N=32, fno_blocks=5, architecture="fno").fno_blocks == 5


@pytest.mark.parametrize("alias", ["silu", "SiLU"])
def test_silu_means_swish(alias: str) -> None:
    assert ModelConfig(amp_activation=alias).amp_activation == "swish"
    assert "swish" in AMP_ACTIVATIONS


def test_channels_are_gridsize_squared() -> None:
    assert ModelConfig(gridsize=3).channels == 9


def test_numpy_scalars_become_python_numbers() -> None:
    model = ModelConfig(N=np.int64(128), probe_scale=np.float32(2.0), object_big=np.bool_(False))
    training = TrainingConfig(model=model, nphotons=np.float64(1e6), batch_size=np.int32(8))
    kinds = [type(value) for value in (model.N, model.probe_scale, model.object_big, training.nphotons)]
    assert kinds == [int, float, bool, float]
    assert type(training.batch_size) is int


@pytest.mark.parametrize("cls", [ModelConfig, TrainingConfig])
def test_configurations_are_frozen(cls: type[Any]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, 1)


def test_paths_are_path_objects(archive: Path) -> None:
    training = TrainingConfig(train_data_file="a.npz", test_data_file="b.npz", output_dir="out")  # type: ignore[arg-type]
    assert (training.train_data_file, training.test_data_file) == (Path("a.npz"), Path("b.npz"))
    assert training.output_dir == Path("out")
    inference = InferenceConfig(model_path=str(archive), test_data_file="b.npz")  # type: ignore[arg-type]
    assert (inference.model_path, inference.test_data_file) == (archive, Path("b.npz"))


def test_real_space_terms_are_accepted_with_their_weight() -> None:
    config = TrainingConfig(realspace_weight=0.2, realspace_mae_weight=0.1, tv_weight=0.3, mean_deviation_weight=2.0)
    assert config.realspace_mae_weight == 0.1


def test_n_images_alone_warns_and_is_copied(archive: Path) -> None:
    with pytest.warns(DeprecationWarning, match="n_images is deprecated; use n_groups instead") as caught:
        training = TrainingConfig(n_images=77)
    assert training.n_groups == 77
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="n_images is deprecated"):
        assert InferenceConfig(model_path=archive, n_images=77).n_groups == 77


def test_n_groups_wins_over_its_alias_without_a_warning() -> None:
    config = TrainingConfig(n_images=77, n_groups=5)
    assert config.n_groups == 5
    assert dataclasses.replace(config, nepochs=2).n_groups == 5


def test_n_groups_default(archive: Path) -> None:
    assert TrainingConfig().n_groups == 512
    assert InferenceConfig(model_path=archive).n_groups is None


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "wts.h5.zip"
    file.write_bytes(b"")
    return file


@pytest.mark.parametrize("given", ["", "wts.h5.zip", "wts.h5"])
def test_find_archive_accepts_folder_file_and_stem(archive: Path, given: str) -> None:
    assert find_archive(archive.parent / given) == archive
    assert InferenceConfig(model_path=archive.parent / given).model_path == archive.parent / given


def test_folder_without_archive_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"looked for {tmp_path / 'wts.h5.zip'}. Give the folder")):
        InferenceConfig(model_path=tmp_path)


def test_missing_file_names_what_was_looked_for(tmp_path: Path) -> None:
    looked_for = f"looked for {tmp_path / 'm'} and {tmp_path / 'm.zip'}"
    with pytest.raises(ConfigError, match=re.escape(looked_for)):
        InferenceConfig(model_path=tmp_path / "m")
