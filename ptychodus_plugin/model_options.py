"""The settings of the group `PtychoPINNModel`; see `ptychodus_plugin.options`."""

from __future__ import annotations

from typing import Final

from ptychodus_plugin.devices import ALL
from ptychodus_plugin.options import FOURIER_GENERATORS, PRESET_CHOICES, Option, Selection, pinn, pytorch, trains
from ptychopinn_backend.config import BACKENDS, INFERENCE_BACKENDS, ONNX
from ptychopinn_backend.config.generators import (
    CNN_OPTION_BACKENDS,
    generator_names,
    halves_resolution,
    uses_back_projection,
)
from ptychopinn_backend.config.presets import AUTO
from ptychopinn_backend.factory import DEFAULT_BACKEND


def _fourier(selection: Selection) -> bool:
    return selection.architecture in FOURIER_GENERATORS


def _hybrid(selection: Selection) -> bool:
    return halves_resolution(selection.architecture)


def _refined(selection: Selection) -> bool:
    return _hybrid(selection) or selection.architecture == "fno"


def _resnet(selection: Selection) -> bool:
    return selection.architecture == "hybrid_resnet"


def _batch_norm(selection: Selection) -> bool:
    return selection.architecture == "cnn" and selection.backend in CNN_OPTION_BACKENDS["batch_norm"]


def _attention(selection: Selection) -> bool:
    return selection.architecture == "cnn"


def _has_filters(selection: Selection) -> bool:
    return not _fourier(selection)


def _fills_the_centre(selection: Selection) -> bool:
    return not uses_back_projection(selection.architecture)


def _may_share_a_patch(selection: Selection) -> bool:
    return pinn(selection) and not uses_back_projection(selection.architecture)


BACKEND_BOX: Final = "Backend"

MODEL_OPTIONS: Final = (
    Option(
        "Backend",
        DEFAULT_BACKEND,
        "Backend:",
        "Framework that trains and predicts; ONNX Runtime only predicts. The environment variable PTYCHOPINN_BACKEND "
        "overrides it.",
        box=BACKEND_BOX,
        choices=INFERENCE_BACKENDS,
    ),
    Option(
        "Accelerator",
        "auto",
        "Accelerator:",
        "Device: 'auto' takes a GPU where there is one.",
        config="execution.accelerator",
        box=BACKEND_BOX,
        choices=("auto", "cpu", "gpu", "cuda", "tensorrt", "mps"),
        offered_by={"mps": ("pytorch",), "tensorrt": (ONNX,)},
    ),
    Option(
        "VisibleDevices",
        ALL,
        "Visible Devices:",
        "GPUs that training and reconstruction may use: all, one of the list, or numbers in a settings file (0,1).",
        box=BACKEND_BOX,
        choices=(ALL,),
    ),
    Option(
        "Devices",
        1,
        "Devices:",
        "Number of devices that train together.",
        config="execution.devices",
        box=BACKEND_BOX,
        minimum=1,
        applies=pytorch,
    ),
    Option(
        "Precision",
        AUTO,
        "Precision:",
        "Arithmetic of training: single precision, or mixed with 16 bits. 'auto' mixes with a preset, where the device "
        "is faster for it.",
        config="execution.precision",
        left_open=AUTO,
        box=BACKEND_BOX,
        choices=(AUTO, "32-true", "16-mixed", "bf16-mixed"),
        offered_by={"16-mixed": ("pytorch",), "bf16-mixed": BACKENDS},
    ),
    Option(
        "Compile",
        False,
        "Compile Network:",
        "Compiles the network (torch.compile, or XLA in TensorFlow): longer to start, then faster, most on a GPU.",
        config="execution.compile_model",
        box=BACKEND_BOX,
        applies=trains,
    ),
    Option(
        "Preset",
        AUTO,
        "Preset:",
        "Tried options for a good image: 'fast' and 'fine' set network and training, and 'fine' trains longer. 'auto' "
        "chooses from the data, unless one of those options differs from its default. 'custom' leaves all to you.",
        choices=PRESET_CHOICES,
        applies=pinn,
    ),
    Option(
        "Architecture",
        "cnn",
        "Architecture:",
        "Network from diffraction patterns to object patches.",
        config="model.architecture",
        choices=generator_names(),
    ),
    Option(
        "NumFiltersScale",
        2,
        "Num. Filters Scale Factor:",
        "Multiplies the number of feature maps of every convolution.",
        config="model.n_filters_scale",
        applies=_has_filters,
        minimum=1,
        maximum=4,
    ),
    Option(
        "GridSize",
        1,
        "Grid Size:",
        "Neighbouring patterns solved together along each side: 2 means groups of 2 x 2 = 4 patterns.",
        config="model.gridsize",
        minimum=1,
        maximum=5,
    ),
    Option(
        "AmpActivation",
        "sigmoid",
        "Amplitude Activation Function:",
        "Activation of the amplitude output.",
        config="model.amp_activation",
        choices=("sigmoid", "swish", "softplus", "relu"),
        applies=_fills_the_centre,
    ),
    Option(
        "FnoModes",
        12,
        "Fourier Modes:",
        "Fourier modes kept along each axis.",
        config="model.fno_modes",
        minimum=1,
        applies=_fourier,
    ),
    Option(
        "FnoWidth",
        32,
        "Fourier Width:",
        "Feature maps of the first block.",
        config="model.fno_width",
        minimum=1,
        applies=_fourier,
    ),
    Option(
        "FnoBlocks",
        4,
        "Fourier Blocks:",
        "Spectral blocks; the hybrid networks halve the resolution between them.",
        config="model.fno_blocks",
        minimum=1,
        applies=_fourier,
    ),
    Option(
        "FnoConvolutions",
        2,
        "Convolutions:",
        "Convolutional blocks that refine the result, for the hybrid networks at each level.",
        config="model.fno_cnn_blocks",
        minimum=1,
        applies=_refined,
    ),
    Option(
        "FnoInputTransform",
        "none",
        "Input Transform:",
        "What is done to the patterns first.",
        config="model.fno_input_transform",
        choices=("none", "sqrt", "log1p", "instancenorm"),
        applies=_fourier,
    ),
    Option(
        "OutputMode",
        "real_imag",
        "Output Mode:",
        "How the network expresses a patch.",
        config="model.generator_output_mode",
        choices=("real_imag", "amp_phase", "amp_phase_logits"),
        applies=_fourier,
    ),
    Option(
        "MaxHiddenChannels",
        0,
        "Maximum Width:",
        "Upper limit of feature maps; 0 is no limit.",
        config="model.max_hidden_channels",
        minimum=0,
        zero_is_none=True,
        applies=_hybrid,
    ),
    Option(
        "ResnetWidth",
        0,
        "Bottleneck Width:",
        "Feature maps of the residual bottleneck; 0 takes those of the lowest resolution.",
        config="model.resnet_width",
        minimum=0,
        zero_is_none=True,
        applies=_resnet,
    ),
    Option(
        "BatchNorm",
        False,
        "Batch Normalisation:",
        "Batch normalisation after every convolution.",
        config="model.batch_norm",
        applies=_batch_norm,
    ),
    Option(
        "EcaEncoder",
        False,
        "Encoder ECA:",
        "Efficient channel attention in the encoder.",
        config="model.eca_encoder",
        applies=_attention,
    ),
    Option(
        "CbamEncoder",
        False,
        "Encoder CBAM:",
        "Convolutional block attention in the encoder.",
        config="model.cbam_encoder",
        applies=_attention,
    ),
    Option(
        "CbamBottleneck",
        False,
        "Bottleneck CBAM:",
        "Convolutional block attention between encoder and decoders.",
        config="model.cbam_bottleneck",
        applies=_attention,
    ),
    Option(
        "CbamDecoder",
        False,
        "Decoder CBAM:",
        "Convolutional block attention in the decoders.",
        config="model.cbam_decoder",
        applies=_attention,
    ),
    Option(
        "EcaDecoder",
        False,
        "Decoder ECA:",
        "Efficient channel attention in the decoders.",
        config="model.eca_decoder",
        applies=_attention,
    ),
    Option(
        "SpatialDecoder",
        False,
        "Decoder Spatial Attention:",
        "Spatial attention in the decoders.",
        config="model.spatial_decoder",
        applies=_attention,
    ),
    Option(
        "SpatialKernel",
        7,
        "Spatial Attention Kernel:",
        "Side in pixels of the kernel of that attention; odd.",
        config="model.decoder_spatial_kernel",
        minimum=1,
        applies=_attention,
    ),
    Option(
        "ObjectBig",
        True,
        "Object Big:",
        "One patch for every pattern, averaged where the patches of a group overlap; off: one patch for the group.",
        config="model.object_big",
        applies=_may_share_a_patch,
    ),
    Option(
        "ProbeBig",
        True,
        "Probe Big:",
        "Adds a low-resolution border outside the central half of the patch, for wide probes. Needs Pad Object.",
        config="model.probe_big",
        applies=_may_share_a_patch,
    ),
    Option(
        "ProbeMask",
        False,
        "Probe Mask:",
        "Cuts the probe to a circle before it illuminates the patch.",
        config="model.probe_mask",
        applies=pinn,
    ),
    Option(
        "ProbeMaskDiameter",
        0.0,
        "Probe Mask Diameter:",
        "Diameter of that circle in pixels; 0 is half the pattern size.",
        config="model.probe_mask_diameter",
        minimum=0.0,
        zero_is_none=True,
        applies=pinn,
    ),
    Option(
        "ProbeMaskSigma",
        1.0,
        "Probe Mask Edge:",
        "Width of the soft edge of that circle in pixels; 0 is a hard edge.",
        config="model.probe_mask_sigma",
        minimum=0.0,
        applies=pinn,
    ),
    Option(
        "PadObject",
        True,
        "Pad Object:",
        "The network fills the central half of the patch, as the oversampling of the patterns asks; off: all of it.",
        config="model.pad_object",
        applies=_fills_the_centre,
    ),
    Option(
        "ProbeScale",
        4.0,
        "Probe Scale Factor:",
        "The normalised probe has mean amplitude 1 / factor.",
        config="model.probe_scale",
        applies=pinn,
    ),
    Option(
        "GaussianSmoothingSigma",
        0.0,
        "Gaussian Smoothing Sigma:",
        "Smoothing of the illuminated patch in pixels, against noise at the cost of resolution; 0 is none.",
        config="model.gaussian_smoothing_sigma",
        applies=pinn,
    ),
)
