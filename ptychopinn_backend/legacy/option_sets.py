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
        _to_pairs(self, ("grid_size", "x_bounds", "y_bounds"))
        if self.normalize == "None":
            object.__setattr__(self, "normalize", None)
        _check(self, require_positive, ("nphotons", "probe_scale"))
        _check(self, require_positive_integer, ("N", "C", "K", "K_quadrant", "n_subsample"))
        for length in self.grid_size:
            require_positive_integer("grid_size", length)
        if self.subsample_seed is not None:
            require_non_negative_integer("subsample_seed", self.subsample_seed)
        require_choice("neighbor_function", self.neighbor_function, ("Nearest", "Min_dist", "4_quadrant"))
        _check(self, require_non_negative, ("min_neighbor_distance", "max_neighbor_distance"))
        require_choice("scan_pattern", self.scan_pattern, ("Isotropic", "Rectangular"))
        require_choice("normalize", self.normalize, ("Group", "Batch", None))
        _check(self, require_bool, ("probe_normalize", "phase_subtraction"))
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
        _check(self, require_bool, ("batch_norm", *attention, "object_big", "probe_big", "pad_object"))
        _check(self, require_bool, ("intensity_scale_trainable",))
        _check(self, require_non_negative_integer, ("edge_pad", "offset", "max_position_jitter"))
        _check(self, require_positive_integer, ("C_model", "C_forward", "num_datasets", "decoder_spatial_kernel"))
        require_fraction_below_one("decoder_last_c_outer_fraction", self.decoder_last_c_outer_fraction)
        require_positive("intensity_scale", self.intensity_scale)
        _check(self, require_non_negative, ("amp_loss_coeff", "phase_loss_coeff"))


@dataclass(frozen=True)
class TrainingConfig:
    """How existing PyTorch configurations train."""

    nll: bool = True
    """Minimise the Poisson negative log-likelihood."""
    device: str = "cuda"
    """cuda, cpu, mps, or auto."""
    strategy: str = "ddp"
    """Strategy for several devices."""
    n_devices: int = 1
    """Number of devices."""
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
    num_workers: int = 4
    """Data loading processes."""
    accum_steps: int = 1
    """Batches whose gradients are averaged before a step."""
    gradient_clip_val: float | None = None
    """Gradient limit; None is no clipping."""
    optimizer: str = "adam"
    """adam, adamw or sgd; only newer configurations hold it."""
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
        _check(self, require_positive_integer, ("n_devices", "epochs", "accum_steps"))
        stages = ("stage_1_epochs", "stage_2_epochs", "stage_3_epochs")
        _check(self, require_non_negative_integer, ("num_workers", "epochs_fine_tune", *stages))
        _check(self, require_positive, ("learning_rate", "fine_tune_gamma", "stage_3_lr_factor"))
        schedules = ("linear", "cosine", "exponential")
        require_choice("physics_weight_schedule", self.physics_weight_schedule, schedules)
        _check_list(self, "training_directories")


@dataclass(frozen=True)
class InferenceConfig:
    """How existing PyTorch configurations reconstruct."""

    middle_trim: int = 32
    """Side in pixels of the central part of each patch that is stitched."""
    batch_size: int = 1000
    """Groups per pass."""
    experiment_number: int = 0
    """Scan of a set that is reconstructed."""
    pad_eval: bool = True
    """Pad the object to the extent of the scan."""
    window: int = 20
    """Pixels cut from the stitched object's edge for evaluation."""
    patch_weighting: str = "probe"
    """Weights of overlapping patches: probe or uniform."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: an option breaks its rule.
        """
        unwrap_numpy_scalars(self)
        _check(self, require_positive_integer, ("middle_trim", "batch_size"))
        _check(self, require_non_negative_integer, ("experiment_number", "window"))
        require_bool("pad_eval", self.pad_eval)
        require_choice("patch_weighting", self.patch_weighting, ("probe", "uniform"))


@dataclass(frozen=True)
class DatagenConfig:
    """How existing PyTorch configurations simulate."""

    objects_per_probe: int = 4
    """Objects simulated with each probe."""
    diff_per_object: int = 7000
    """Patterns of each object."""
    object_class: str = "dead_leaves"
    """Kind of object."""
    image_size: tuple[int, int] = (250, 250)
    """Object size (row, column) in pixels."""
    probe_paths: list[str] = field(default_factory=list)
    """Files with probes."""
    beamstop_diameter: int = 4
    """Diameter of the beam stop in pixels; 0 is none."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: an option breaks its rule.
        """
        unwrap_numpy_scalars(self)
        _to_pairs(self, ("image_size",))
        _check(self, require_positive_integer, ("objects_per_probe", "diff_per_object"))
        for length in self.image_size:
            require_positive_integer("image_size", length)
        if not isinstance(self.object_class, str) or not self.object_class:
            raise ConfigError(f"object_class = {self.object_class!r} must name a kind of object. Use 'dead_leaves'.")
        require_non_negative_integer("beamstop_diameter", self.beamstop_diameter)
        _check_list(self, "probe_paths")


def default_options(cls: type[Any]) -> dict[str, Any]:
    """Return option name -> default of one of the option sets."""
    defaults = cls()
    return {item.name: getattr(defaults, item.name) for item in fields(cls)}


def _check(options: Any, rule: Any, names: tuple[str, ...]) -> None:
    for name in names:
        rule(name, getattr(options, name))


def _check_list(options: Any, name: str) -> None:
    value = getattr(options, name)
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{name} = {value!r} must be a list of paths. Write [{value!r}] for a single one.")
    object.__setattr__(options, name, [str(path) for path in value])


def _to_pairs(options: Any, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(options, name)
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ConfigError(f"{name} = {value!r} must be two numbers. Write for example (2, 2).")
        object.__setattr__(options, name, tuple(value))
