"""Strategies that draw any valid configuration."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from ptychopinn_backend.config import AMP_ACTIVATIONS, PATTERN_SIZES, ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig


def fraction(top: float = 1.0) -> st.SearchStrategy[float]:
    return st.floats(0, top, exclude_max=True)


positive = st.floats(1e-6, 1e12, allow_subnormal=False)
count = st.integers(1, 10_000)
optional_count = st.none() | count
models = st.builds(
    ModelConfig,
    N=st.sampled_from(PATTERN_SIZES),
    gridsize=st.integers(1, 5),
    n_filters_scale=st.integers(1, 8),
    model_type=st.sampled_from(["pinn", "supervised"]),
    amp_activation=st.sampled_from([*AMP_ACTIVATIONS, "silu"]),
    probe_mask=st.booleans(),
    probe_mask_diameter=st.none() | positive,
    probe_scale=positive,
    gaussian_smoothing_sigma=fraction(5.0),
    fno_input_transform=st.sampled_from(["none", "sqrt", "log1p", "instancenorm"]),
    resnet_width=optional_count,
)
file_names = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_characters="\x7f\x85"), min_size=1)
trainings = st.builds(
    TrainingConfig,
    model=models,
    train_data_file=st.none() | file_names.map(Path),
    output_dir=file_names.map(Path),
    batch_size=st.integers(0, 12).map(lambda power: 2**power),
    nepochs=count,
    nll_weight=fraction(),
    nphotons=positive,
    n_groups=count,
    n_subsample=optional_count,
    subsample_seed=st.none() | st.integers(0, 2**40),
    realspace_weight=st.floats(0.01, 1),
    realspace_mae_weight=fraction(),
    backend=st.sampled_from(["tensorflow", "pytorch"]),
    gradient_clip_val=st.none() | positive,
    adam_beta1=fraction(),
    scheduler=st.sampled_from(["Default", "WarmupCosine"]),
    validation_fraction=fraction(),
    target_photon_fraction=fraction(),
    held_out_fraction=fraction(),
    epochs_fine_tune=st.integers(0, 9),
    fine_tune_gamma=positive,
    physics_weight_schedule=st.sampled_from(["linear", "cosine", "exponential"]),
)
executions = st.builds(
    ExecutionConfig,
    accelerator=st.sampled_from(["auto", "cpu", "gpu", "cuda", "tensorrt", "mps"]),
    devices=st.just("auto") | count,
    deterministic=st.sampled_from([True, False, "warn"]),
    num_workers=count,
    prefetch_factor=optional_count,
    learning_rate=positive,
    logger_backend=st.sampled_from(["csv", "tensorboard", "mlflow", "none"]),
    recon_log_fixed_indices=st.none() | st.lists(st.integers(0, 99)).map(tuple),
)
