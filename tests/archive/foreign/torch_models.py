"""Networks of the original PtychoPINN in PyTorch, made from the description of names and layers, and their files."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ptychopinn_backend.arrays import Complex64Array, Float32Array


@dataclass(frozen=True)
class TorchVariant:
    """One network; the fields are options of the original."""

    N: int = 64
    gridsize: int = 1
    n_filters_scale: int = 1
    border_maps: int = 4
    border_width: int | None = None
    probe_big: bool = True
    object_big: bool = True
    pad_object: bool = True
    cbam_encoder: bool = True
    shared_decoder: bool = False
    amplitude_channels: int | None = None
    intensity_scale: float = 812.5
    parameters: dict[str, Any] = field(default_factory=dict)
    """Further entries of params.dill."""


class Pair(nn.Module):
    """Two convolutions with relu."""

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(maps, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.conv2(functional.relu(self.conv1(maps))))


class ChannelGate(nn.Module):
    """Weights for maps."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        hidden = max(maps // 16, 1)
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(maps, hidden), nn.ReLU(), nn.Linear(hidden, maps))

    def forward(self, maps: Tensor) -> Tensor:
        gate = self.mlp(maps.mean(dim=(2, 3))) + self.mlp(maps.amax(dim=(2, 3)))
        return maps * torch.sigmoid(gate)[:, :, None, None]


class SpatialGate(nn.Module):
    """Weights for pixels; maximum first."""

    def __init__(self) -> None:
        super().__init__()
        self.compress = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = torch.stack((maps.amax(dim=1), maps.mean(dim=1)), dim=1)
        return maps * torch.sigmoid(self.compress(pooled))


class Attention(nn.Module):
    """Both gates."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.ChannelGate, self.SpatialGate = ChannelGate(maps), SpatialGate()

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.SpatialGate(self.ChannelGate(maps))
        return found


class EncoderBlock(Pair):
    """A stage of the encoder."""

    def __init__(self, maps: int, width: int, *, attention: bool) -> None:
        super().__init__(maps, width)
        self.attention = Attention(width) if attention else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return functional.max_pool2d(self.attention(super().forward(maps)), 2)


class Blocks(nn.Module):
    """Stages in a row; `up` doubles the side after each."""

    def __init__(self, blocks: list[nn.Module], *, up: bool) -> None:
        super().__init__()
        self.blocks, self.up = nn.ModuleList(blocks), up

    def forward(self, maps: Tensor) -> Tensor:
        for block in self.blocks:
            maps = block(maps)
            maps = functional.interpolate(maps, scale_factor=2.0) if self.up else maps
        return maps


class Head(nn.Module):
    """Centre and border of a patch, or the whole of it."""

    def __init__(self, maps: int, out: int, variant: TorchVariant) -> None:
        super().__init__()
        self.variant = variant
        width = variant.border_width or 2048 // variant.N * variant.n_filters_scale
        border = variant.border_maps if variant.pad_object else maps
        self.conv1 = nn.Conv2d(maps - border if variant.pad_object else maps, out, 3, padding=1)
        self.conv_up_block = Pair(border, width)
        self.conv2 = nn.Conv2d(width, out, 3, padding=1)

    def forward(self, maps: Tensor, activation: Any) -> Tensor:
        quarter = self.variant.N // 4
        border = self.variant.border_maps
        if not self.variant.pad_object:
            found: Tensor = activation(self._block(maps))
            return found
        patch: Tensor = functional.pad(activation(self.conv1(maps[:, :-border])), (quarter,) * 4)
        if not self.variant.probe_big:
            return patch
        outside = torch.ones(self.variant.N, self.variant.N)
        outside[quarter:-quarter, quarter:-quarter] = 0
        return patch + outside * functional.silu(self._block(maps[:, -border:]))

    def _block(self, maps: Tensor) -> Tensor:
        found: Tensor = self.conv2(functional.interpolate(self.conv_up_block(maps), scale_factor=2.0))
        return found


class Autoencoder(nn.Module):
    """From patterns to amplitude and phase."""

    def __init__(self, variant: TorchVariant) -> None:
        super().__init__()
        channels = variant.gridsize**2
        out = channels if variant.object_big else 1
        widths, width = [], 2048 // variant.N
        while width <= 128:
            widths.append(width * variant.n_filters_scale)
            width *= 2
        seen = [channels, *widths]
        self.encoder = Blocks(
            [EncoderBlock(seen[k], w, attention=variant.cbam_encoder) for k, w in enumerate(widths)], up=False
        )
        up = [32 * 2**k * variant.n_filters_scale for k in reversed(range(len(widths) - 1))]
        names = ("decoder_shared",) if variant.shared_decoder else ("decoder_amp", "decoder_phase")
        for name in names:
            before = [widths[-1], *up]
            self.add_module(name, Blocks([Pair(before[k], w) for k, w in enumerate(up)], up=True))
        self.get_submodule(names[0]).amp = Head(up[-1], variant.amplitude_channels or out, variant)
        self.get_submodule(names[-1]).phase = Head(up[-1], out, variant)
        self._names = names

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(patterns)
        first, last = (self.get_submodule(self._names[k]) for k in (0, -1))
        return first.amp(first(features), functional.silu), last.phase(
            last(features), lambda maps: torch.pi * torch.tanh(maps)
        )


class ForwardModel(nn.Module):
    """Scales of the diffraction model, which do not act on patches."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))


class Model(nn.Module):
    """What a state dict is of."""

    def __init__(self, variant: TorchVariant) -> None:
        super().__init__()
        self.autoencoder, self.forward_model = Autoencoder(variant), ForwardModel()


class Module(nn.Module):
    """The outermost module."""

    def __init__(self, variant: TorchVariant) -> None:
        super().__init__()
        self.model = Model(variant)


def build(variant: TorchVariant, seed: int = 5) -> Module:
    """Return a network with seeded weights."""
    torch.manual_seed(seed)
    return Module(variant).eval()


def patches(module: Module, patterns: Float32Array) -> Complex64Array:
    """Return amplitude * exp(i phase) of the network for patterns.

    Args:
        module: from `build`.
        patterns: (group, N, N, channel), normalised.

    Returns:
        (group, N, N, out channel).
    """
    with torch.no_grad():
        amplitude, phase = module.model.autoencoder(torch.from_numpy(np.moveaxis(patterns, -1, 1).copy()))
        found: Complex64Array = np.moveaxis((amplitude * torch.exp(1j * phase)).numpy(), 1, -1)
        return found


def saved(content: Any, **options: Any) -> bytes:
    """Return what `torch.save` writes."""
    image = io.BytesIO()
    torch.save(content, image, **options)
    return image.getvalue()


def members(module: Module, variant: TorchVariant) -> dict[str, bytes]:
    """Return the members of the archive of a model."""
    manifest = {"models": ["diffraction_to_obj", "autoencoder"], "version": "2.0-pytorch"}
    told = pickle.dumps(parameters(variant), 4)
    return {
        "manifest.dill": pickle.dumps(manifest, 4),
        "diffraction_to_obj/model.pth": saved(module.state_dict()),
        "diffraction_to_obj/params.dill": told,
        "autoencoder/model.pth": saved({"_sentinel": "autoencoder"}),
        "autoencoder/params.dill": told,
    }


def parameters(variant: TorchVariant) -> dict[str, Any]:
    """Return what params.dill holds."""
    return {
        "N": variant.N,
        "gridsize": variant.gridsize,
        "batch_size": 16,
        "nepochs": 50,
        "nphotons": 1e9,
        "n_groups": 512,
        "architecture": "cnn",
        "amp_activation": "sigmoid",
        "generator_output_mode": "real_imag",
        "object.big": variant.object_big,
        "probe.big": variant.probe_big,
        "pad_object": variant.pad_object,
        "probe_scale": 4.0,
        "model_type": "pinn",
        "intensity_scale": variant.intensity_scale,
        "_version": "2.0-pytorch",
        **variant.parameters,
    }


def checkpoint(module: Module, variant: TorchVariant, *, as_objects: bool = True, **changes: dict[str, Any]) -> bytes:
    """Return a Lightning checkpoint of the library `ptychopinn-torch`.

    Args:
        module: from `build`.
        variant: what it was built from.
        as_objects: whether the options are objects of classes that only that library has, or dictionaries.
        **changes: of the options `data_config`, `model_config`, `training_config`.
    """
    kept: dict[str, Any] = {name: {**fields, **changes.get(name, {})} for name, fields in options(variant).items()}
    with foreign_classes() as classes:
        if as_objects:
            for name, fields in kept.items():
                kept[name] = classes[name]()
                vars(kept[name]).update(fields)
        optimiser = torch.optim.Adam(module.parameters())
        content = {
            "epoch": 3,
            "global_step": 40,
            "pytorch-lightning_version": "2.5.1",
            "state_dict": module.state_dict(),
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 4}}}},
            "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(0.5)}},
            "optimizer_states": [optimiser.state_dict()],
            "lr_schedulers": [],
            "hparams_name": "kwargs",
            "hyper_parameters": kept,
        }
        return saved(content)


def options(variant: TorchVariant) -> dict[str, dict[str, Any]]:
    """Return the option sets that a checkpoint holds."""
    channels = variant.gridsize**2
    return {
        "data_config": {
            "N": variant.N,
            "C": channels,
            "grid_size": (variant.gridsize, variant.gridsize),
            "nphotons": 1e5,
            "probe_scale": 4.0,
            "K": 6,
            "x_bounds": (0.1, 0.9),
        },
        "model_config": {
            "mode": "Unsupervised",
            "n_filters_scale": variant.n_filters_scale,
            "amp_activation": "silu",
            "object_big": variant.object_big,
            "probe_big": variant.probe_big,
            "probe_mask": None,
            "cbam_encoder": variant.cbam_encoder,
            "decoder_last_c_outer_fraction": 0.125,
            "intensity_scale": 10000.0,
            "intensity_scale_trainable": False,
            "C_model": channels,
        },
        "training_config": {"epochs": 12, "batch_size": 32, "nll": True, "learning_rate": 1e-3, "device": "cuda"},
        "inference_config": {"middle_trim": 32, "window": 20},
    }


@contextmanager
def foreign_classes() -> Iterator[dict[str, type]]:
    """Make classes of `ptycho_torch.config_params` that are there while a checkpoint is written, and no longer."""
    names = ("DataConfig", "ModelConfig", "TrainingConfig", "InferenceConfig")
    module = ModuleType("ptycho_torch.config_params")
    classes = [type(name, (), {"__module__": module.__name__}) for name in names]
    for cls in classes:
        setattr(module, cls.__name__, cls)
    sys.modules.update({"ptycho_torch": ModuleType("ptycho_torch"), module.__name__: module})
    try:
        yield {cls.__name__.replace("Config", "_config").lower(): cls for cls in classes}
    finally:
        del sys.modules[module.__name__], sys.modules["ptycho_torch"]
