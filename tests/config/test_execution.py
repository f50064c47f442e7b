"""Rules and precedence of the run-time options."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config.execution import ExecutionConfig, resolve_execution
from ptychopinn_backend.errors import ConfigError

WHOLE = "must be a whole number above 0"
WHOLE_OR_ZERO = "must be a whole number of at least 0"
BOOLEAN = "must be true or false"
WORKERS = "need num_workers above 0. Set num_workers to 1 or more"

RULES: list[tuple[str, tuple[Any, ...], str]] = [
    ("accelerator", ("tpu",), "is not supported: complex FFTs run on CPU and GPU only. Set accelerator to 'auto'"),
    ("accelerator", ("xpu", None), "is not one of 'auto', 'cpu', 'gpu', 'cuda', 'tensorrt', 'mps'."),
    ("devices", (0, -1, True, "all", None), WHOLE),
    *((name, (0, 1.5, True), WHOLE) for name in ("num_nodes", "accum_steps", "early_stop_patience")),
    ("recon_log_num_patches", (0,), WHOLE),
    ("strategy", ("dp",), "is not one of 'auto', 'ddp', 'ddp_spawn', 'fsdp'. Did you mean 'ddp'?"),
    ("deterministic", ("yes", 1), "is not one of True, False, 'warn'."),
    ("precision", ("16", 32), "is not one of '32-true', '16-mixed', 'bf16-mixed'."),
    *((name, (-1, 0.5, "2"), WHOLE_OR_ZERO) for name in ("num_workers", "checkpoint_save_top_k", "seed")),
    *((name, (1, None), BOOLEAN) for name in ("pin_memory", "enable_progress_bar", "enable_checkpointing")),
    ("compile_model", ("auto", 1), BOOLEAN),
    ("persistent_workers", ("yes",), BOOLEAN),
    ("persistent_workers", (True,), WORKERS),
    ("prefetch_factor", (0,), WHOLE),
    ("prefetch_factor", (2,), WORKERS),
    ("learning_rate", (0, -1e-3, float("nan"), "1"), "must be a finite number above 0"),
    ("checkpoint_monitor_metric", ("", 3), "must name a history key. Use 'val_loss'"),
    ("checkpoint_mode", ("avg",), "is not one of 'min', 'max'."),
    ("logger_backend", ("wandb", None), "is not one of 'csv', 'tensorboard', 'mlflow', 'none'."),
    *((name, (0, 2.5), WHOLE) for name in ("inference_batch_size", "recon_log_every_n_epochs")),
    ("recon_log_max_stitch_samples", (0,), WHOLE),
    ("recon_log_fixed_indices", (5, "12"), "must be a list of group indices. Write for example [0, 5]"),
    ("recon_log_fixed_indices", ([-1], [0.5]), WHOLE_OR_ZERO),
    ("recon_log_stitch", (1,), BOOLEAN),
]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [(name, value, words) for name, values, words in RULES for value in values],
)
def test_rule(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        ExecutionConfig(**{name: value})
    assert name in str(caught.value)


def test_every_option_has_a_rule_tested() -> None:
    assert {item.name for item in dataclasses.fields(ExecutionConfig)} == {name for name, _, _ in RULES}


def test_valid_values_are_kept() -> None:
    options = ExecutionConfig(
        devices="auto",
        deterministic="warn",
        num_workers=np.int64(2),  # type: ignore[arg-type]
        persistent_workers=True,
        prefetch_factor=4,
        recon_log_fixed_indices=[0, 3],  # type: ignore[arg-type]
        checkpoint_save_top_k=0,
    )
    assert (options.devices, options.deterministic) == ("auto", "warn")
    assert type(options.num_workers) is int
    assert options.recon_log_fixed_indices == (0, 3)


def test_explicit_values_win_over_the_object_and_the_object_over_defaults() -> None:
    base = ExecutionConfig(learning_rate=0.01, accum_steps=4)
    resolved = resolve_execution(base, {"learning_rate": 0.1, "precision": None})
    assert (resolved.learning_rate, resolved.accum_steps, resolved.precision) == (0.1, 4, "32-true")
    assert resolve_execution() == ExecutionConfig()


def test_applied_values_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ptychopinn_backend.config.execution"):
        resolve_execution(ExecutionConfig(accum_steps=4), {"learning_rate": 0.1})
        resolve_execution()
    first, second = [record.getMessage() for record in caplog.records]
    assert "'accum_steps': 4" in first
    assert "'learning_rate': 0.1" in first
    assert second.endswith("defaults: none")


def test_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'learning_rat' is not an execution option. Did you mean 'learning_rate'"):
        resolve_execution(None, {"learning_rat": 1.0})
