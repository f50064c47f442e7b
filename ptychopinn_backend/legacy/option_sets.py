"""The five option sets of existing PyTorch configurations, with the names and defaults those files use.

Three of them are called `ModelConfig`, `TrainingConfig` and `InferenceConfig`, like the configurations of
`ptychopinn_backend.config`, because that is what existing scripts write; refer to them by module.
`ptychopinn_backend.torch_configs` translates them. No framework is imported: a mask given as a tensor is any array.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ptychopinn_backend.config.checks import (
    is_number,
    require_bool,
    require_choice,
    require_fraction_below_one,
    require_non_negative,
    require_non_negative_integer,
    require_positive,
    require_positive_integer,
    unwrap_numpy_scalars,
)
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.legacy.option_checks import check, check_list, to_pairs
from ptychopinn_backend.legacy.result_sets import DatagenConfig, InferenceConfig

__all__ = [
    "ARRAY_OPTIONS",
    "DataConfig",
    "DatagenConfig",
    "InferenceConfig",
    "ModelConfig",
    "TrainingConfig",
    "default_options",
]

ARRAY_OPTIONS = ("probe_mask", "probe_mask_tensor")
"""Options that may hold an array."""


@dataclass(frozen=True)
class DataConfig:
    """How patterns are grouped, bounded and normalised."""

    nphotons: float = 1e5
    """Expected photon count of a pattern."""
    N: int = 64
    """Side of a pattern in pixels."""
    C: int = 4
    """Patterns in a group."""
    K: int = 6
    """Nearest neighbours from which a group is drawn."""
    K_quadrant: int = 30
    """Nearest neighbours sorted into quadrants by '4_quadrant'."""
    n_subsample: int = 7
    """Groups drawn around each scan point; not the thinning of the scan that `TrainingConfig.n_subsample` means."""
    subsample_seed: int | None = None
    """Seed of the draws."""
    grid_size: tuple[int, int] = (2, 2)
    """Neighbouring patterns of a group along the two sides."""
    neighbor_function: str = "Nearest"
    """Nearest, Min_dist or 4_quadrant."""
    min_neighbor_distance: float = 0.0
    """Lower limit of the distance of neighbours in pixels, for 'Min_dist'."""
    max_neighbor_distance: float = 3.0
    """Upper limit of the distance of neighbours in pixels, for 'Min_dist'."""
    scan_pattern: str = "Isotropic"
    """Isotropic or Rectangular."""
    normalize: str | None = "Batch"
    """Group, Batch, or None."""
    probe_scale: float = 4.0
    """The normalised probe has mean masked amplitude 1 / probe_scale."""
    probe_normalize: bool = True
    """Normalise the probe."""
    data_scaling: str = "Parseval"
    """Parseval or Max."""
    phase_subtraction: bool = True
    """Remove the mean phase of labels."""
    x_bounds: tuple[float, float] = (0.1, 0.9)
    """Kept part of the scan's width, as fractions."""
    y_bounds: tuple[float, float] = (0.1, 0.9)
    """Kept part of the scan's height, as fractions."""
    measurement_domain: str | None = None
    """count_intensity or normalized_amplitude; None looks at the data."""

    def __post_init__(self) -> None:
        """Check the options and turn lists (from JSON) into tuples.

        Raises:
            ConfigError: an option breaks its rule.
        """
        unwrap_numpy_scalars(self)
        to_pairs(self, ("grid_size", "x_bounds", "y_bounds"))
        if self.normalize == "None":
            object.__setattr__(self, "normalize", None)
        check(self, require_positive, ("nphotons", "probe_scale"))
        check(self, require_positive_integer, ("N", "C", "K", "K_quadrant", "n_subsample"))
        for length in self.grid_size:
            require_positive_integer("grid_size", length)
        if self.subsample_seed is not None:
            require_non_negative_integer("subsample_seed", self.subsample_seed)
        require_choice("neighbor_function", self.neighbor_function, ("Nearest", "Min_dist", "4_quadrant"))
        check(self, require_non_negative, ("min_neighbor_distance", "max_neighbor_distance"))
        require_choice("scan_pattern", self.scan_pattern, ("Isotropic", "Rectangular"))
        require_choice("normalize", self.normalize, ("Group", "Batch", None))
        check(self, require_bool, ("probe_normalize", "phase_subtraction"))
        require_choice("data_scaling", self.data_scaling, ("Parseval", "Max"))
        domains = ("count_intensity", "normalized_amplitude", None)
        require_choice("measurement_domain", self.measurement_domain, domains)
        for name in ("x_bounds", "y_bounds"):
            low, high = getattr(self, name)
            if not (is_number(low) and is_number(high) and 0 <= low < high <= 1):
                raise ConfigError(
                    f"{name} = {getattr(self, name)!r} must be two fractions, 0 <= low < high <= 1. "
                    "Use (0.0, 1.0) to keep the whole scan."
                )


@dataclass(frozen=True)
class ModelConfig:
    """The network of existing PyTorch configurations."""

    mode: str = "Unsupervised"
    """Unsupervised or Supervised."""
    architecture: str = "cnn"
    """Name of the generator."""
    n_filters_scale: int = 2
    """Multiplies the number of feature maps."""
    amp_activation: str = "silu"
    """Activation of the amplitude head."""
    batch_norm: bool = False
    """Batch normalisation in the convolutional blocks."""
    probe_mask: Any = False
    """Mask on the probe: True, False or None, or an array (row, column)."""
    probe_mask_tensor: Any = None
    """The mask as an array (row, column), where a configuration keeps the flag apart."""
    probe_mask_sigma: float = 1.0
    """Width of the mask's soft edge in pixels."""
    probe_mask_diameter: float | None = None
    """Diameter of the mask in pixels; None means N/2."""
    edge_pad: int = 10
    """Pixels of padding at the patch's edge."""
    decoder_last_c_outer_fraction: float = 0.125
    """Fraction of the decoder's channels that makes the border."""
    eca_encoder: bool = False
    """Efficient channel attention in the encoder."""
    cbam_encoder: bool = True
    """Convolutional block attention in the encoder."""
    cbam_bottleneck: bool = False
    """Convolutional block attention in the bottleneck."""
    cbam_decoder: bool = False
    """Convolutional block attention in the decoders."""
    eca_decoder: bool = False
    """Efficient channel attention in the decoders."""
    spatial_decoder: bool = False
    """Spatial attention in the decoders."""
    decoder_spatial_kernel: int = 7
    """Side of the spatial attention's kernel in pixels."""
    object_big: bool = True
    """One patch per pattern, averaged where patches overlap."""
    probe_big: bool = True
    """Adds a low-resolution border outside the central N/2 pixels."""
    offset: int = 6
    """Nominal scan step in pixels."""
    C_model: int = 4
    """Channels of the network."""
    C_forward: int = 4
    """Channels of the diffraction model."""
    pad_object: bool = True
    """The network fills the central N/2 pixels."""
    gaussian_smoothing_sigma: float = 0.0
    """Smoothing of the illuminated patch in pixels."""
    intensity_scale_trainable: bool = False
    """The factor from far-field amplitude to counts is refined with the network."""
    intensity_scale: float = 10000.0
    """That factor's initial value."""
    max_position_jitter: int = 10
    """Largest deviation from the nominal position in pixels."""
    num_datasets: int = 1
    """Scans trained together, each with its own scale."""
    loss_function: str = "Poisson"
    """Poisson or MAE."""
    amp_loss: str | None = None
    """Extra term on the amplitude: Total_Variation, Mean_Deviation or None."""
    phase_loss: str | None = None
    """Extra term on the phase: Total_Variation, Mean_Deviation or None."""
    amp_loss_coeff: float = 1.0
    """Weight of the amplitude term."""
    phase_loss_coeff: float = 1.0
    """Weight of the phase term."""
    fno_modes: int = 12
    """Fourier modes kept by Fourier-operator generators."""
    fno_width: int = 32
    """Feature maps of Fourier-operator generators."""
    fno_blocks: int = 4
    """Spectral blocks of Fourier-operator generators."""
    fno_cnn_blocks: int = 2
    """Convolutional blocks of hybrid generators."""
    fno_input_transform: str = "none"
    """Transform of the input of Fourier-operator generators."""
    generator_output_mode: str = "real_imag"
    """How those generators express a patch: real_imag, amp_phase, amp_phase_logits."""
    max_hidden_channels: int | None = None
    """Upper limit of feature maps in hybrid generators."""
    resnet_width: int | None = None
    """Feature maps of the residual bottleneck of 'hybrid_resnet'."""
    cnn_output_mode: str = "amp_phase"
    """How 'cnn' expresses a patch: amp_phase or real_imag."""
    use_shared_decoder: bool = False
    """Amplitude and phase of 'cnn' stand on the same decoder."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: an option breaks its rule.
        """
        unwrap_numpy_scalars(self)
        require_choice("mode", self.mode, ("Unsupervised", "Supervised"))
        require_choice("loss_function", self.loss_function, ("Poisson", "MAE"))
        for name in ("amp_loss", "phase_loss"):
            require_choice(name, getattr(self, name), (None, "Total_Variation", "Mean_Deviation"))
        attention = ("eca_encoder", "cbam_encoder", "cbam_bottleneck", "cbam_decoder", "eca_decoder", "spatial_decoder")
        check(
            self,
            require_bool,
            ("batch_norm", "use_shared_decoder", *attention, "object_big", "probe_big", "pad_object"),
        )
        check(self, require_bool, ("intensity_scale_trainable",))
        check(self, require_non_negative_integer, ("edge_pad", "offset", "max_position_jitter"))
        check(self, require_positive_integer, ("C_model", "C_forward", "num_datasets", "decoder_spatial_kernel"))
        require_fraction_below_one("decoder_last_c_outer_fraction", self.decoder_last_c_outer_fraction)
        require_positive("intensity_scale", self.intensity_scale)
        check(self, require_non_negative, ("amp_loss_coeff", "phase_loss_coeff"))


@dataclass(frozen=True)
class TrainingConfig:
    """How existing PyTorch configurations train."""

    nll: bool = True
    """Minimise the Poisson negative log-likelihood."""
    device: str = "cuda"
    """cuda, cpu, mps, or auto."""
    strategy: str = "ddp"
    """Strategy for several devices."""
    n_devices: int | str = 1
    """Number of devices, or 'auto' for all."""
    learning_rate: float = 1e-3
    """Initial learning rate."""
    epochs: int = 50
    """Passes over the training groups."""
    batch_size: int = 16
    """Groups per optimiser step."""
    epochs_fine_tune: int = 0
    """Further epochs with a frozen encoder."""
    fine_tune_gamma: float = 0.1
    """Factor on the learning rate in them."""
    scheduler: str = "Default"
    """Learning-rate schedule."""
    lr_warmup_epochs: int = 0
    """Linear warm-up of WarmupCosine."""
    lr_min_ratio: float = 0.1
    """Final over initial learning rate of WarmupCosine."""
    plateau_factor: float = 0.5
    """Factor by which ReduceLROnPlateau lowers the learning rate."""
    plateau_patience: int = 2
    """Epochs without improvement ReduceLROnPlateau waits."""
    plateau_min_lr: float = 5e-5
    """Lower limit of ReduceLROnPlateau."""
    plateau_threshold: float = 0.0
    """Relative improvement that counts for ReduceLROnPlateau."""
    num_workers: int = 4
    """Data loading processes."""
    accum_steps: int = 1
    """Batches whose gradients are averaged before a step."""
    gradient_clip_val: float | None = None
    """Gradient limit; None is no clipping."""
    gradient_clip_algorithm: str = "norm"
    """How gradients are limited: norm, value, agc."""
    optimizer: str = "adam"
    """adam, adamw or sgd; only newer configurations hold it."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float = 0.0
    """Decay of weights."""
    adam_beta1: float = 0.9
    """First moment decay of adam and adamw."""
    adam_beta2: float = 0.999
    """Second moment decay of adam and adamw."""
    torch_loss_mode: str = "poisson"
    """poisson or mae; newer configurations hold it beside `loss_function`."""
    stage_1_epochs: int = 0
    """Epochs on normalised patterns."""
    stage_2_epochs: int = 0
    """Epochs of the weighted blend."""
    stage_3_epochs: int = 0
    """Epochs on the physics alone."""
    physics_weight_schedule: str = "cosine"
    """Ramp of the blend: linear, cosine or exponential."""
    stage_3_lr_factor: float = 0.1
    """Factor on the learning rate in stage 3."""
    experiment_name: str = ""
    """Name under which loggers file the run."""
    notes: str = ""
    """Free text."""
    model_name: str = ""
    """Name of the model in logs."""
    train_data_file: str | None = None
    """NPZ file to train on."""
    test_data_file: str | None = None
    """NPZ file to validate on."""
    output_dir: str = "training_outputs"
    """Folder for archive, history and figures."""
    n_groups: int | None = None
    """Groups drawn from the scan."""
    training_directories: list[str] = field(default_factory=list)
    """Folders with several scans."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: an option breaks its rule.
        """
        unwrap_numpy_scalars(self)
        require_bool("nll", self.nll)
        check(self, require_positive_integer, ("epochs", "accum_steps"))
        if self.n_devices != "auto":
            require_positive_integer("n_devices", self.n_devices)
        require_choice("torch_loss_mode", self.torch_loss_mode, ("poisson", "mae"))
        stages = ("stage_1_epochs", "stage_2_epochs", "stage_3_epochs")
        check(self, require_non_negative_integer, ("num_workers", "epochs_fine_tune", *stages))
        check(self, require_positive, ("learning_rate", "fine_tune_gamma", "stage_3_lr_factor"))
        schedules = ("linear", "cosine", "exponential")
        require_choice("physics_weight_schedule", self.physics_weight_schedule, schedules)
        check_list(self, "training_directories")


def default_options(cls: type[Any]) -> dict[str, Any]:
    """Return option name -> default of one of the option sets."""
    defaults = cls()
    return {item.name: getattr(defaults, item.name) for item in fields(cls)}
