"""Frozen configuration of the network; every rule is checked in the constructor.

Names, defaults and legacy keys are the contract `specs/config.md`. Import `ModelConfig` from
`ptychopinn_backend.config.training`, where the other configurations are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ptychopinn_backend.config.checks import (
    require_bool,
    require_choice,
    require_non_negative,
    require_non_negative_integer,
    require_odd,
    require_positive,
    require_positive_integer,
    unwrap_numpy_scalars,
)
from ptychopinn_backend.config.generators import CNN_OPTIONS, generator_names, halves_resolution, uses_back_projection
from ptychopinn_backend.errors import ConfigError

PATTERN_SIZES: Final = (32, 64, 128, 256, 512)
AMP_ACTIVATIONS: Final = ("sigmoid", "swish", "softplus", "relu")
CNN_OUTPUT_MODES: Final = ("amp_phase", "real_imag")
LAST_DECODER_MAPS: Final = 32
"""Maps of the last stage of a decoder of 'cnn' with n_filters_scale = 1."""
SMALLEST_SIDE: Final = 4
"""Side in pixels of the smallest maps of generators that halve the resolution."""


@dataclass(frozen=True)
class ModelConfig:
    """What the network is: sizes, activations and how patches meet the probe."""

    N: int = 64
    """Side of patterns and patches in pixels: 32, 64, 128, 256 or 512."""
    gridsize: int = 1
    """Neighbouring patterns a group holds along each side; channel = gridsize**2."""
    n_filters_scale: int = 2
    """Multiplies the number of feature maps of every convolution."""
    model_type: str = "pinn"
    """'pinn' trains against the measured counts, 'supervised' against given patches."""
    architecture: str = "cnn"
    """Name of the generator; see `ptychopinn_backend.config.generators`."""
    amp_activation: str = "sigmoid"
    """Activation of the amplitude head: sigmoid, swish (alias silu), softplus, relu."""
    object_big: bool = True
    """One patch per pattern, averaged where the group's patches overlap; False: one patch for the group."""
    probe_big: bool = True
    """Adds a low-resolution border outside the central N/2 pixels."""
    probe_mask: bool = False
    """Cuts the probe to a circle before it illuminates the patch."""
    probe_mask_sigma: float = 1.0
    """Width of the mask's soft edge in pixels; 0 is a hard edge."""
    probe_mask_diameter: float | None = None
    """Diameter of the mask in pixels; None means N/2."""
    pad_object: bool = True
    """The network fills the central N/2 pixels; False: the whole patch."""
    probe_scale: float = 4.0
    """The normalised probe has mean masked amplitude 1 / probe_scale."""
    gaussian_smoothing_sigma: float = 0.0
    """Sigma in pixels of a 3 x 3 smoothing of the illuminated patch; 0 is none."""
    fno_modes: int = 12
    """Fourier modes kept along each axis by Fourier-operator generators, at most half the side of the maps."""
    fno_width: int = 32
    """Feature maps of Fourier-operator generators."""
    fno_blocks: int = 4
    """Spectral blocks of Fourier-operator generators; the hybrid ones halve the resolution between blocks."""
    fno_cnn_blocks: int = 2
    """Convolutional blocks of 'fno', and those of each level of 'hybrid' and in the bottleneck of 'hybrid_resnet'."""
    fno_input_transform: str = "none"
    """Transform of the input of Fourier-operator generators: none, sqrt, log1p, instancenorm."""
    generator_output_mode: str = "real_imag"
    """How those generators express a patch: real_imag, amp_phase, amp_phase_logits."""
    max_hidden_channels: int | None = None
    """Upper limit of feature maps in hybrid generators; None is no limit."""
    resnet_width: int | None = None
    """Feature maps of the residual bottleneck of 'hybrid_resnet'; None takes those of the lowest resolution."""
    batch_norm: bool = False
    """Batch normalisation after the convolutions of 'cnn'; PyTorch only."""
    eca_encoder: bool = False
    """Efficient channel attention in the encoder of 'cnn'."""
    cbam_encoder: bool = False
    """Convolutional block attention in the encoder of 'cnn'."""
    cbam_bottleneck: bool = False
    """Convolutional block attention between encoder and decoders of 'cnn'."""
    cbam_decoder: bool = False
    """Convolutional block attention in the decoders of 'cnn'."""
    eca_decoder: bool = False
    """Efficient channel attention in the decoders of 'cnn'."""
    spatial_decoder: bool = False
    """Spatial attention in the decoders of 'cnn'."""
    decoder_spatial_kernel: int = 7
    """Side in pixels of the kernel of that spatial attention; odd."""
    shared_decoder: bool = False
    """Amplitude and phase of 'cnn' stand on the same decoder and differ in their heads alone."""
    cnn_output_mode: str = "amp_phase"
    """How 'cnn' expresses a patch: amp_phase, or real_imag, where amp_activation has no effect."""
    border_maps: int = 4
    """Maps of each decoder of 'cnn' that make the border; the others make the centre."""
    border_width: int | None = None
    """Feature maps of the border of 'cnn', or of its head without pad_object; None means n_filters_scale * 2048 / N."""

    def __post_init__(self) -> None:
        """Check every field and translate the activation alias 'silu'.

        Raises:
            ConfigError: a field breaks its rule.
        """
        unwrap_numpy_scalars(self)
        if isinstance(self.amp_activation, str) and self.amp_activation.lower() == "silu":
            object.__setattr__(self, "amp_activation", "swish")
        require_choice("N", self.N, PATTERN_SIZES)
        for name in ("gridsize", "n_filters_scale", "fno_modes", "fno_width", "fno_blocks", "fno_cnn_blocks"):
            require_positive_integer(name, getattr(self, name))
        for name in ("max_hidden_channels", "resnet_width", "border_width"):
            if getattr(self, name) is not None:
                require_positive_integer(name, getattr(self, name))
        for name in ("object_big", "probe_big", "probe_mask", "pad_object", "shared_decoder", *CNN_OPTIONS):
            require_bool(name, getattr(self, name))
        require_odd("decoder_spatial_kernel", self.decoder_spatial_kernel)
        self._check_border()
        require_choice("model_type", self.model_type, ("pinn", "supervised"))
        require_choice("architecture", self.architecture, generator_names())
        if uses_back_projection(self.architecture) and not self.object_big:
            raise ConfigError(
                f"object_big = False does not go with architecture = '{self.architecture}', which makes one patch per "
                "pattern. Set object_big to True."
            )
        if halves_resolution(self.architecture) and self.N >> (self.fno_blocks - 1) < SMALLEST_SIDE:
            most = (self.N // SMALLEST_SIDE).bit_length()
            raise ConfigError(
                f"fno_blocks = {self.fno_blocks} is too many for architecture = '{self.architecture}': it halves "
                f"N = {self.N} between blocks, and {SMALLEST_SIDE} pixels must remain. Set fno_blocks to {most} or "
                "less."
            )
        require_choice("amp_activation", self.amp_activation, AMP_ACTIVATIONS)
        require_choice("fno_input_transform", self.fno_input_transform, ("none", "sqrt", "log1p", "instancenorm"))
        require_choice(
            "generator_output_mode", self.generator_output_mode, ("real_imag", "amp_phase", "amp_phase_logits")
        )
        require_choice("cnn_output_mode", self.cnn_output_mode, CNN_OUTPUT_MODES)
        require_positive("probe_scale", self.probe_scale)
        require_non_negative("probe_mask_sigma", self.probe_mask_sigma)
        if self.probe_mask_diameter is not None:
            require_positive("probe_mask_diameter", self.probe_mask_diameter)
        require_non_negative("gaussian_smoothing_sigma", self.gaussian_smoothing_sigma)

    def _check_border(self) -> None:
        require_non_negative_integer("border_maps", self.border_maps)
        most = LAST_DECODER_MAPS * self.n_filters_scale - 1
        if self.border_maps > most or (self.border_maps == 0 and self.probe_big):
            raise ConfigError(
                f"border_maps = {self.border_maps} leaves the border or the centre without maps: the last stage of a "
                f"decoder has {most + 1}. Set border_maps to 1 ... {most}, or 0 with probe_big = False."
            )

    @property
    def channels(self) -> int:
        """Patterns in a group, gridsize**2."""
        return self.gridsize**2
