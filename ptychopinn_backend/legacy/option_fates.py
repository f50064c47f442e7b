"""What becomes of every option of existing configurations: taken, left out with a warning, or refused.

`docs/migration.md` shows this table; `ptychopinn_backend.legacy.option_files` acts by it. An option is refused, unless
it has its usual value, where without it something else would be computed than its user means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ptychopinn_backend.legacy.params_bridge import KEY_MAPPINGS
from ptychopinn_backend.params import DEFAULTS


class Fate(NamedTuple):
    """What becomes of an option."""

    becomes: str = ""
    """The option it is here; empty where it is none."""
    note: str = ""
    """How it is translated, or why not."""
    usual: tuple[Any, ...] = ()
    """Its defaults, lists for tuples; of options that are not taken."""
    refused: bool = False
    """Another value than the usual ones is an error."""

    def is_usual(self, value: Any) -> bool:
        """Return whether a value is one of the defaults."""
        plain = list(value) if isinstance(value, tuple) else value
        return any(plain == known and type(plain) is type(known) for known in self.usual) or (
            type(plain) is int and any(plain == known for known in self.usual if type(known) is float)
        )

    def described(self) -> str:
        """Return the fate in words, for the documentation."""
        target = ", ".join(f"`{name}`" for name in self.becomes.split(", ") if name)
        if target:
            return f"{target}: {self.note}" if self.note else target
        if not self.refused:
            return f"left out: {self.note}"
        values = " and ".join(dict.fromkeys(repr(value) for value in self.usual))
        return f"refused, but for {values}: {self.note}"


Fates = dict[str, Fate]


def _same(*names: str) -> Fates:
    return {name: Fate(name) for name in names}


def _left(note: str, **usual: Any) -> Fates:
    return {name: Fate("", note, value if isinstance(value, tuple) else (value,)) for name, value in usual.items()}


def _refused(note: str, **usual: Any) -> Fates:
    return {name: fate._replace(refused=True) for name, fate in _left(note, **usual).items()}


_ON_DISK: Final = "only a data set on disk has it (`DatasetOptions.from_data_config`)"
_OTHER_NETWORK: Final = "of a network that is not here"
_LOG: Final = "a label or a log, which changes no number"
_STAGED: Final = "`epochs_fine_tune` with `fine_tune_gamma` freezes the encoder here"
_FROM_COUNTS: Final = "the scale comes from the counts of the scan"
_ARCHITECTURES: Final = "'unet' is 'cnn'; one that is not here is refused"
_LAYOUT: Final = Fate("object_big", "'single_patch' is False, 'grouped_patches' is True")
_OBJECT_BIG: Final = Fate("object_big", "None is True, or what object_layout says")
_TERMS: Final = "this term of the loss is not here; see `tv_weight` and `mean_deviation_weight`"
_OVERLAP: Final = (
    _refused("patches of a group are averaged with the network's own mask", training_canvas=None)
    | _refused(
        "patches of a group are averaged with the network's own mask", training_patch_weighting=(None, "central_mask")
    )
    | _refused("the network is given one map per pattern", learned_input_channels=1)
)
_NETWORK: Final = _same(
    *("n_filters_scale", "amp_activation", "probe_big", "pad_object", "gaussian_smoothing_sigma"),
    *("probe_mask_sigma", "probe_mask_diameter", "max_hidden_channels", "resnet_width", "generator_output_mode"),
    *("fno_modes", "fno_width", "fno_blocks", "fno_cnn_blocks", "fno_input_transform"),
) | {"architecture": Fate("architecture", _ARCHITECTURES), "object_big": _OBJECT_BIG, "object_layout": _LAYOUT}
_BOTTLENECK: Final = _left(
    _OTHER_NETWORK,
    spectral_bottleneck_blocks=6,
    spectral_bottleneck_gate_init=0.1,
    spectral_bottleneck_gate_mode="shared",
    spectral_bottleneck_modes=12,
    spectral_bottleneck_share_weights=True,
)
_OPTIMISER: Final = _same(
    *("batch_size", "gradient_clip_val", "gradient_clip_algorithm", "optimizer", "momentum", "weight_decay"),
    *("adam_beta1", "adam_beta2", "lr_warmup_epochs", "lr_min_ratio", "torch_loss_mode"),
    *("plateau_factor", "plateau_patience", "plateau_min_lr", "plateau_threshold"),
    *("train_data_file", "test_data_file", "output_dir", "n_groups"),
)
_MATCHED_L2: Final = _refused("the loss compares with the counts as they are", torch_mae_pred_l2_match_target=False)

_TORCH_DATA: Final[Fates] = {
    **_same("N", "probe_scale", "subsample_seed"),
    "nphotons": Fate("nphotons", "the default 1e5 gives way to the mean of the scan"),
    "K": Fate("neighbor_count"),
    "grid_size": Fate("gridsize", "its side; must be square"),
    "C": Fate("gridsize", "follows from grid_size; another than its patterns is refused"),
    "measurement_domain": Fate("measurement", "'count_intensity', the default, asks the file"),
    **_left(_ON_DISK, K_quadrant=30, n_subsample=7, neighbor_function="Nearest"),
    **_left(_ON_DISK, min_neighbor_distance=0.0, max_neighbor_distance=3.0, normalize="Batch"),
    **_left(_ON_DISK, probe_normalize=True, phase_subtraction=True, x_bounds=[0.1, 0.9], y_bounds=[0.1, 0.9]),
    **_left(_FROM_COUNTS, scale_contract_version="ci_intensity_v2"),
    **_refused("patterns divided by their largest value have no number of photons", data_scaling="Parseval"),
    **_refused("neighbours are sought by their distance in pixels", scan_pattern="Isotropic"),
    **_refused("the probe is taken as it is; take the ramp out of the file's probe", probe_ramp_removal=False),
}
_TORCH_MODEL: Final[Fates] = {
    **_NETWORK,
    **_OVERLAP,
    **_BOTTLENECK,
    **_same("batch_norm", "eca_encoder", "cbam_encoder", "cbam_bottleneck", "cbam_decoder", "eca_decoder"),
    **_same("spatial_decoder", "decoder_spatial_kernel", "cnn_output_mode", "intensity_scale_trainable"),
    "mode": Fate("model_type", "'Unsupervised' is 'pinn', 'Supervised' is 'supervised'"),
    "probe_mask": Fate("probe_mask", "None is False; an array is refused, for the mask is a circle"),
    "probe_mask_tensor": Fate("probe_mask", "an array is refused, for the mask is a circle"),
    "use_shared_decoder": Fate("shared_decoder"),
    "object_representation": Fate("cnn_output_mode", "'polar' is 'amp_phase', 'rectangular' is 'real_imag'"),
    "loss_function": Fate("torch_loss_mode", "'Poisson' is 'poisson', 'MAE' is 'mae'"),
    "C_model": Fate("gridsize", "follows from grid_size; another than its patterns is refused"),
    "C_forward": Fate("gridsize", "follows from grid_size; another than its patterns is refused"),
    **_refused(_TERMS, amp_loss=(None, "None"), phase_loss=(None, "None"), amplitude_variance_loss=False),
    **_refused(_TERMS, channel_balance_loss=False, modulus_target_loss=False, probe_reference_coeff=0.0),
    **_left(_TERMS, amp_loss_coeff=1.0, phase_loss_coeff=1.0, amplitude_variance_coeff=0.01),
    **_left(_TERMS, channel_balance_coeff=0.005, modulus_target_coeff=0.01, modulus_target_dead_zone=0.1),
    **_left(_TERMS, modulus_target_value=1.0),
    **_refused(
        "the far field is computed from amplitude and phase, at the scale of the counts",
        physics_forward_mode="amplitude",
    ),
    **_refused(_FROM_COUNTS, amplitude_physics_gain=1.0),
    **_left("of physics_forward_mode 'rectangular_scaled'", rect_s1s2_init="ones", rect_s1s2_trainable=True),
    **_left(_FROM_COUNTS, intensity_scale=10000.0, canvas_scale_mode="dynamic"),
    "decoder_last_c_outer_fraction": Fate("border_maps", "that part of the last stage's 32 n_filters_scale maps"),
    **_left("the amplitude has a map for each patch", decoder_last_amp_channels=1),
    **_refused(_OTHER_NETWORK, use_legacy_decoder_channel_override=False, use_reference_model=False),
    **_refused(_OTHER_NETWORK, encoder_type="cnn"),
    **_left("places come from the positions of the scan", offset=6, max_position_jitter=10, edge_pad=10),
    **_left("any number of scans is trained on together", num_datasets=1),
    **_left(_OTHER_NETWORK, ccnf_decoder_type="neural_field", cnn_decoder_base_ch=128, cnn_decoder_crop_size=8),
    **_left(_OTHER_NETWORK, cnn_decoder_n_refine=1, coord_encoding="sinusoidal", encoder_latent_size=8),
    **_left(_OTHER_NETWORK, feature_volume_channels=64, film_dim=256, fno_bottleneck_blocks=0),
    **_left(_OTHER_NETWORK, fno_interleave=False, fourier_bands_coord=10, fourier_bands_film=32, fusion_heads=4),
    **_left(_OTHER_NETWORK, fusion_tag_bands=3, latent_canvas_size=32, neural_field_hidden=[512, 256, 128]),
    **_left(_OTHER_NETWORK, nf_chunk_size=4096, overlap_encoding="fourier", overlap_fourier_bands=4),
    **_left(_OTHER_NETWORK, overlap_gate_groups=16, probe_encoding="intensity"),
}
_TORCH_TRAINING: Final[Fates] = {
    **_OPTIMISER,
    **_MATCHED_L2,
    **_same("stage_1_epochs", "stage_2_epochs", "stage_3_epochs", "physics_weight_schedule", "stage_3_lr_factor"),
    **_same("epochs_fine_tune", "fine_tune_gamma", "learning_rate", "accum_steps"),
    "num_workers": Fate("num_workers", "the default 4 gives way to 0"),
    "scheduler": Fate("scheduler", "'Cosine' is 'WarmupCosine'"),
    "epochs": Fate("nepochs", "with stages the sum of theirs"),
    "nll": Fate("nll_weight, mae_weight", "True is the likelihood, False the error of the amplitudes"),
    "device": Fate("accelerator", "'cuda', the default, is 'auto', which takes a GPU where there is one"),
    "strategy": Fate("strategy", "of several devices; None is 'auto'"),
    "n_devices": Fate("devices"),
    "warmup_epochs": Fate("lr_warmup_epochs"),
    "min_lr_ratio": Fate("lr_min_ratio"),
    "training_directories": Fate("scans", "folders of scans"),
    **_left(_LOG, experiment_name=("Synthetic_Runs", ""), notes="", model_name=("PtychoPINNv2", ""), run_tag=""),
    **_left(_LOG, log_grad_norm=False, grad_norm_log_freq=1, orchestrator="Mlflow", framework="Lightning"),
    **_left("data are held in memory, or on disk where they are large", dataloader_mode="materialized"),
    **_refused(_STAGED, enable_staged_finetuning=False),
    **_left(_STAGED, finetune_stage1_epochs=7, finetune_stage2_epochs=7, finetune_stage3_epochs=5),
    **_left(_STAGED, finetune_stage1_lr_decoder=0.1, finetune_stage2_lr_decoder=0.05),
    **_left(_STAGED, finetune_stage2_lr_encoder_top=0.01, finetune_stage2_lr_phase_head=0.1),
    **_left(_STAGED, finetune_stage3_lr_decoder=0.02, finetune_stage3_lr_encoder_bottom=0.005),
    **_left(_STAGED, finetune_stage3_lr_encoder_top=0.01, finetune_stage3_lr_phase_head=0.05),
    **_left(_STAGED, finetune_skip_stage3=True, finetune_early_stop_patience=3, finetune_val_split=0.05),
}
_COVERS: Final = "the object always covers the scan; `window` cuts its edge"
_TORCH_INFERENCE: Final[Fates] = {
    "middle_trim": Fate("crop_px", "side of the centre of each patch that is stitched"),
    "patch_weighting": Fate("assembly", "'probe' is 'probe', 'uniform' is 'central'"),
    "window": Fate("window", "pixels cut from the edges of the pictures"),
    "experiment_number": Fate("experiment_number", "which file of a folder of scans is reconstructed"),
    "batch_size": Fate("inference_batch_size", "the default 1000 gives way to 8"),
    **_refused(_COVERS, pad_eval=True),
    **_left("the object times the probe always gives the measured counts", varpro_scaling=True),
    **_left(_LOG, log_patch_stats=False, patch_stats_limit=None),
}
_GMM: Final = "of objects made from histograms of other objects"
_DATAGEN: Final[Fates] = {
    "objects_per_probe": Fate("repeat", "of `ptychopinn simulate`, for each probe"),
    "diff_per_object": Fate("patterns", "of `ptychopinn simulate`"),
    "object_class": Fate("object", "of `ptychopinn simulate`; 'unspecified' is 'dead_leaves'"),
    "image_size": Fate("step_px", "of `ptychopinn simulate`, so that the scan fills the object"),
    "probe_paths": Fate("probe_file", "of `ptychopinn simulate`, a scan or more for each"),
    "beamstop_diameter": Fate("beam_stop_px", "of `ptychopinn simulate`"),
    **_left(_GMM, amplitude_scale_std=0.03, center_jitter_std=0.05, gmm_clip_range=[-1.2, 1.2]),
    **_left(_GMM, gmm_n_clusters="auto", histogram_threshold=0.05, origin_mask_radius=0.4),
    **_left(_GMM, perturbation_mode="physical", phase_jitter_std=0.1, weight_dirichlet_conc=5.0),
    **_refused(_GMM, histogram_source_dir=None, reim_mode="histogram"),
    **_refused("positions are simulated; `scan` names their pattern", ref_scan_coords_path=None),
}
_CORE_MODEL: Final[Fates] = {
    **_NETWORK,
    **_OVERLAP,
    **_same("N", "gridsize", "model_type", "probe_mask", "probe_scale"),
}
_SAMPLING: Final = _same(
    *("n_groups", "n_subsample", "subsample_seed", "neighbor_count", "enable_oversampling"),
    *("neighbor_pool_size", "output_dir", "backend", "test_data_file"),
) | {"n_images": Fate("n_groups", "where n_groups is not given"), "model": Fate("model", "a section of its own")}
_CORE_TRAINING: Final[Fates] = {
    **_OPTIMISER,
    **_SAMPLING,
    **_MATCHED_L2,
    **_same("nepochs", "mae_weight", "nll_weight", "realspace_mae_weight", "realspace_weight", "nphotons"),
    **_same("positions_provided", "probe_trainable", "intensity_scale_trainable", "sequential_sampling", "scheduler"),
}
_OF_COMMAND: Final = "an argument of `infer` and `ptycho-inference`"
_CORE_INFERENCE: Final[Fates] = {
    **_SAMPLING,
    "model_path": Fate("model_path", _OF_COMMAND),
    "debug": Fate("debug", _OF_COMMAND),
}
_CORE_EXECUTION: Final[Fates] = {
    **_same("accelerator", "accum_steps", "checkpoint_mode", "checkpoint_monitor_metric", "checkpoint_save_top_k"),
    **_same("deterministic", "devices", "early_stop_patience", "enable_checkpointing", "enable_progress_bar"),
    **_same("gradient_clip_algorithm", "gradient_clip_val", "inference_batch_size", "learning_rate", "num_workers"),
    **_same("persistent_workers", "pin_memory", "precision", "prefetch_factor", "scheduler", "strategy"),
    **_same("recon_log_every_n_epochs", "recon_log_fixed_indices", "recon_log_max_stitch_samples"),
    **_same("recon_log_num_patches", "recon_log_stitch"),
    "logger_backend": Fate("logger_backend", "None is 'none'"),
    "middle_trim": Fate("crop_px", "side of the centre of each patch that is stitched; 0 leaves it to the assembly"),
    **_left(_COVERS, pad_eval=(False, True)),
    **_BOTTLENECK,
    **_left("`ffno` has `fno_blocks`, `fno_modes` and `fno_width` here", ffno_encoder_blocks=24, ffno_encoder_modes=12),
    **_left("`ffno` is made in one way here", ffno_encoder_gate_init=0.1, ffno_encoder_mlp_ratio=2.0),
    **_left("`ffno` is made in one way here", ffno_encoder_norm="instance", ffno_encoder_share_weights=True),
}
_SIMULATE: Final = "of `ptychopinn simulate`"
_TWO_PARTS: Final = "a scan for training and one for testing are two simulations"
_SIMULATED: Final[Mapping[str, Fates]] = {
    "SimulationConfig": {
        "N": Fate("size", _SIMULATE),
        "seed": Fate("seed", _SIMULATE),
        **{name: Fate(name, "a section of its own") for name in ("detector", "object", "probe", "scan")},
    },
    "DetectorSimulationConfig": {
        "beamstop_diameter": Fate("beam_stop_px", _SIMULATE),
        "photons_per_pattern": Fate("photons", _SIMULATE),
    },
    "SyntheticObjectConfig": {
        "kind": Fate("object", f"{_SIMULATE}; 'natural_patch' is refused"),
        "diffractions_per_object": Fate("patterns", _SIMULATE),
        "image_size": Fate("step_px", f"{_SIMULATE}, so that the scan fills the object"),
        "objects_per_probe": Fate("repeat", _SIMULATE),
        "set_phi": Fate("phase_min_rad, phase_max_rad", "False makes an object without a phase"),
    },
    "ProbeSimulationConfig": {
        "source": Fate("probe", f"{_SIMULATE}: 'custom' with source_path is 'file', 'ideal' is 'disk'"),
        "source_path": Fate("probe_file", _SIMULATE),
        "mask_diameter": Fate("probe_diameter_px", f"{_SIMULATE}, of an ideal probe"),
        **_refused("the probe is taken as it is", transform_pipeline="pad_preserve:64"),
    },
    "ScanSimulationConfig": {
        "kind": Fate("scan", f"{_SIMULATE}: 'grid' is 'raster', 'nongrid' is 'random'"),
        "offset": Fate("step_px", f"{_SIMULATE}, of a grid"),
        **_left("groups are drawn when a scan is trained on", grid_size=[1, 1], buffer=0),
        **_left(_TWO_PARTS, outer_offset_train=8, outer_offset_test=20, train_groups=2, test_groups=2),
    },
}
_HISTORICAL: Final[Fates] = {
    **{key: Fate(name) for name, key in KEY_MAPPINGS.items()},
    "stitch_crop_size": Fate("crop_px", "side of the centre of each patch that is stitched"),
    **_left(
        "of the historical simulation and its files",
        **{
            name: DEFAULTS[name]
            for name in (
                *("offset", "outer_offset_train", "outer_offset_test", "big_gridsize", "max_position_jitter"),
                *("sim_jitter_scale", "default_probe_scale", "nimgs_train", "nimgs_test", "data_source", "set_phi"),
                *("label", "size", "h5_path", "npseed", "use_xla_translate"),
            )
        },
    ),
}

TORCH: Final[Mapping[str, Fates]] = {
    "data": _TORCH_DATA,
    "model": _TORCH_MODEL,
    "training": _TORCH_TRAINING,
    "inference": _TORCH_INFERENCE,
    "datagen": _DATAGEN,
}
"""Section of the PyTorch option sets -> option -> fate."""
CORE: Final[Mapping[str, Fates]] = {
    "ModelConfig": _CORE_MODEL,
    "TrainingConfig": _CORE_TRAINING,
    "InferenceConfig": _CORE_INFERENCE,
    "PyTorchExecutionConfig": _CORE_EXECUTION,
    **_SIMULATED,
}
"""Configuration of the core -> option -> fate."""
FLAT: Final[Fates] = {**_HISTORICAL, **_CORE_EXECUTION, **_CORE_INFERENCE, **_CORE_TRAINING, **_CORE_MODEL}
"""Key of a file without sections, or of `params.cfg` -> fate."""
