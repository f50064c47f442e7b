"""Flags of the original's commands: what each becomes, and what is said of those that have no effect."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend.cli.legacy_flags import (
    LegacyCall,
    inference_words,
    read_call,
    training_words,
    warn_of_unused,
)
from ptychopinn_backend.config.yaml_file import run_config
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_files import read_option_file


def words_of(*words: str) -> list[str]:
    return training_words(read_call(["--train_data_file", "a.npz", *words], read_option_file))[4:]


PLAIN = ["--preset", "legacy", "--calibrate", "never"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--nepochs 5 --gridsize 2 --batch_size 4", ["--epochs", "5", "--gridsize", "2", "--batch-size", "4"]),
        ("--nepochs=5", ["--epochs", "5"]),
        ("--n_images 64", ["--groups", "64"]),
        ("--n_images 64 --n_groups 32", ["--groups", "32"]),
        (
            "--neighbor_count 7 --nphotons 1e6",
            ["--neighbors", "7", "--photons", "1000000.0", "--nphotons", "1000000.0"],
        ),
        ("--sequential_sampling", ["--set", "sequential_sampling=true"]),
        ("--probe_trainable False", ["--set", "probe_trainable=false"]),
        ("--backend pytorch --architecture fno", ["--backend", "pytorch", "--architecture", "fno"]),
        ("--n_subsample 10 --subsample_seed 3", ["--set", "n_subsample=10", "--set", "subsample_seed=3"]),
        ("--torch-accelerator cpu --torch-learning-rate 1e-4", ["--accelerator", "cpu", "--learning-rate", "0.0001"]),
        ("--torch-scheduler WarmupCosine", ["--set", "scheduler=WarmupCosine"]),
        ("--torch-logger none --torch-deterministic", ["--set", "logger_backend=none", "--set", "deterministic=true"]),
        ("--torch-plateau-min-lr 1e-6", ["--set", "plateau_min_lr=1.0e-06"]),
        ("--torch-recon-log-fixed-indices 0 5 9", ["--set", "recon_log_fixed_indices=[0, 5, 9]"]),
        ("--torch-recon-log-fixed-indices 3", ["--set", "recon_log_fixed_indices=[3]"]),
        (
            "--torch-accumulate-grad-batches 2 --torch-num-workers 0",
            ["--set", "accum_steps=2", "--set", "num_workers=0"],
        ),
        ("--max_epochs 3 --no-deterministic", ["--epochs", "3", "--set", "deterministic=false"]),
        (
            "--disable-checkpointing --early-stop-patience 4",
            ["--set", "enable_checkpointing=false", "--set", "early_stop_patience=4"],
        ),
        ("--torch-loss-mode mae", ["--set", "torch_loss_mode=mae"]),
        ("--probe-mask --probe-mask-diameter 20", ["--set", "probe_mask=true", "--set", "probe_mask_diameter=20"]),
        ("--measurement-domain normalized_amplitude", ["--measurement", "normalized_amplitude"]),
    ],
)
def test_flags_of_the_original(flags: str, expected: list[str]) -> None:
    found = words_of(*flags.split())
    rest = [word for word in found if word not in PLAIN]
    assert sorted(rest) == sorted(expected)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--torch-checkpoint-save-top-k 2", {"checkpoint_save_top_k": 2}),
        ("--checkpoint-save-top-k 2", {"checkpoint_save_top_k": 2}),
        ("--torch-enable-checkpointing", {"enable_checkpointing": True}),
        ("--torch-plateau-factor 0.4 --torch-plateau-patience 3", {"plateau_factor": 0.4, "plateau_patience": 3}),
        ("--torch-plateau-threshold 0.1", {"plateau_threshold": 0.1}),
        (
            "--torch-recon-log-every-n-epochs 2 --torch-recon-log-num-patches 3",
            {"recon_log_every_n_epochs": 2, "recon_log_num_patches": 3},
        ),
        (
            "--torch-recon-log-stitch --torch-recon-log-max-stitch-samples 9",
            {"recon_log_stitch": True, "recon_log_max_stitch_samples": 9},
        ),
        ("--torch-inference-batch-size 4", {"inference_batch_size": 4}),
        ("--inference-batch-size 4", {"inference_batch_size": 4}),
        (
            "--checkpoint-monitor loss --checkpoint-mode max",
            {"checkpoint_monitor_metric": "loss", "checkpoint_mode": "max"},
        ),
        ("--ptycho_dir scans", {"scans": "scans"}),
        ("--infer_dir scans", {"test_data_file": "scans"}),
        ("--device cuda:0", {"accelerator": "cuda"}),
        ("--gradient_clip_val 0.0", {}),
        ("--nll False", {"nll_weight": 0.0, "mae_weight": 1.0, "torch_loss_mode": "poisson"}),
    ],
)
def test_flags_become_options(flags: str, expected: dict[str, Any]) -> None:
    found = call(*flags.split())
    assert found.options == expected
    run_config(found.options)


@pytest.mark.parametrize(
    ("flags", "command", "results"),
    [
        ("--verbose --console-level INFO", {"verbose": True, "console_level": "INFO"}, {}),
        ("--comparison_plot --phase_vmin -1", {"comparison_plot": True, "phase_vmin": -1}, {}),
        ("--file_index 2", {}, {"experiment_number": 2}),
    ],
)
def test_flags_that_concern_the_command(flags: str, command: dict[str, Any], results: dict[str, Any]) -> None:
    found = call(*flags.split())
    assert (found.options, found.command, found.results) == ({}, command, results)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--profile", "--profile: run the command under a profiler"),
        ("--disable_mlflow", "--disable_mlflow: MLflow is used with --logger mlflow alone"),
        ("--scale-contract-version legacy_v1", "--scale_contract_version = 'legacy_v1'"),
        ("--patch-stats-limit 3", "--patch_stats_limit = 3"),
    ],
)
def test_flags_that_have_no_effect_are_named(flags: str, words: str) -> None:
    with pytest.warns(UserWarning, match=f"^Flags without effect here: {re.escape(words)}"):
        assert call(*flags.split()).options == {}


@pytest.mark.parametrize(
    ("flags", "does", "words"),
    [
        (
            "--gridsize 2 --torch-num-workers 2 --n_images 3",
            {"reconstructs"},
            "--gridsize, --num_workers. The model says",
        ),
        ("--do_stitching", {"reconstructs"}, "--do_stitching. The model says how it was trained"),
        ("--window 3 --middle_trim 8 --phase_vmin 0", {"trains"}, "--phase_vmin, window = 3, crop_px = 8"),
        ("--model_path m", {"trains", "reconstructs"}, "--model_path. "),
    ],
)
def test_flags_of_the_other_command_are_named(flags: str, does: set[str], words: str) -> None:
    with pytest.warns(UserWarning, match=f"^Without effect on this command: {re.escape(words)}"):
        warn_of_unused(call(*flags.split()), trains="trains" in does, reconstructs="reconstructs" in does)


def test_flags_of_a_command_are_not_named() -> None:
    every = "--backend pytorch --n_images 9 --n_subsample 9 --subsample_seed 1 --phase_vmin 0 --debug --nphotons 1e5"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unused(call(*every.split(), "--test_data", "a", "--output_dir", "o"), trains=False, reconstructs=True)
        warn_of_unused(call("--nepochs", "3", "--do_stitching"), trains=True, reconstructs=True)


def call(*words: str) -> LegacyCall:
    return read_call(words, read_option_file)


def test_the_words_of_a_reconstruction() -> None:
    asked = call("--n_images", "30", "--n_subsample", "20", "--subsample_seed", "4", "--patch-weighting", "uniform")
    words = inference_words(asked, Path("m"), Path("s.npz"), Path("o"))
    assert words[:5] == ["infer", "m", "s.npz", "-o", "o"]
    expected = ["--calibrate", "never", "--groups", "30", "--subsample", "20", "--seed", "4", "--assembly", "central"]
    assert sorted(words[5:]) == sorted(expected)


def test_a_run_of_mlflow_names_its_model() -> None:
    run = "0123456789abcdef0123456789abcdef"
    assert call("--run_id", run).command["model_path"] == f"runs:/{run}"


def test_flags_without_effect_are_named_once() -> None:
    with pytest.warns(UserWarning, match="Flags without effect here") as warned:
        call("--debug_dump", "--varpro-scaling", "--log-patch-stats")
    (said,) = [str(item.message) for item in warned]
    assert re.search(r"--debug_dump: what .*, --log_patch_stats = True.*--varpro_scaling", said)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--nepoch", "3"], r"--nepoch is not a flag\. Did you mean 'nepochs'"),
        (["scan.npz"], r"'scan\.npz' belongs to no flag\. Write --name value"),
        (["--gridsize", "["], r"--gridsize \[ cannot be read as a value"),
        (
            ["--physics_forward_mode", "rectangular_scaled"],
            "physics_forward_mode = 'rectangular_scaled' is not offered",
        ),
    ],
)
def test_wrong_flags(words: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        call(*words)


def test_words_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    config = tmp_path / "old.yaml"
    config.write_text("gridsize: 2\nnepochs: 1\nn_groups: 16\ndata_source: generic\n")
    with pytest.warns(UserWarning, match="no effect here: data_source"):
        found = words_of("--config", str(config), "--gridsize", "1", "--n_images", "9")
    assert found[found.index("--gridsize") + 1] == "1"
    assert found[found.index("--groups") + 1] == "9"
    assert found[found.index("--epochs") + 1] == "1"
