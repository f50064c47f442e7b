"""Which tensor of a state dict of the original PtychoPINN is which weight of 'cnn'.

Only names and places that are known are read. Where a network holds anything else, as attention at other places does,
it is refused by that name, for what it computes is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ptychopinn_backend.archive.foreign.planned import filters_scale, gridsize_of
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import UnsupportedModelError

NETWORK: Final = "autoencoder."
"""The names of the network's tensors begin so, after what holds the network."""
_USUAL_STAGES: Final = 3
"""Stages of the encoder for N = 64."""
_BRANCHES: Final = {"amp": "amplitude", "phase": "phase"}
_PARTS: Final = {"weight": "kernel", "bias": "bias"}
_SHARED: Final = r"(?:decoder|decoder_shared|shared_decoder)"


def _kernel(array: AnyArray) -> AnyArray:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _matrix(array: AnyArray) -> AnyArray:
    return array.T[np.newaxis, np.newaxis] if array.ndim == 2 else array


def _spatial(array: AnyArray) -> AnyArray:
    # Their two maps are maximum and mean, ours mean and maximum.
    return _kernel(array)[:, :, ::-1] if array.ndim == 4 else array


Rule = tuple[str, Callable[[re.Match[str]], str], Callable[[AnyArray], AnyArray]]
_RULES: Final[tuple[Rule, ...]] = (
    (
        r"encoder\.blocks\.(\d+)\.conv([12])",
        lambda found: f"encoder/stage{found[1]}/conv{int(found[2]) - 1}",
        _kernel,
    ),
    (
        r"encoder\.blocks\.(\d+)\.attention\.ChannelGate\.mlp\.([13])",
        lambda found: f"encoder/stage{found[1]}/cbam/{'reduce' if found[2] == '1' else 'expand'}",
        _matrix,
    ),
    (
        r"encoder\.blocks\.(\d+)\.attention\.SpatialGate\.compress",
        lambda found: f"encoder/stage{found[1]}/cbam/spatial",
        _spatial,
    ),
    (
        r"decoder_(amp|phase)\.blocks\.(\d+)\.conv([12])",
        lambda found: f"{_BRANCHES[found[1]]}/stage{found[2]}/conv{int(found[3]) - 1}",
        _kernel,
    ),
    (
        _SHARED + r"\.blocks\.(\d+)\.conv([12])",
        lambda found: f"decoder/stage{found[1]}/conv{int(found[2]) - 1}",
        _kernel,
    ),
    (
        rf"(?:decoder_(?:amp|phase)|{_SHARED})\.(amp|phase)\.conv1",
        lambda found: f"{_BRANCHES[found[1]]}/centre",
        _kernel,
    ),
    (
        rf"(?:decoder_(?:amp|phase)|{_SHARED})\.(amp|phase)\.conv_up_block\.conv([12])",
        lambda found: f"{_BRANCHES[found[1]]}/border/conv{int(found[2]) - 1}",
        _kernel,
    ),
    (
        rf"(?:decoder_(?:amp|phase)|{_SHARED})\.(amp|phase)\.conv2",
        lambda found: f"{_BRANCHES[found[1]]}/border/conv2",
        _kernel,
    ),
)
"""Name of a layer -> canonical prefix -> how its weights are turned."""


def named_weights(tensors: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return the tensors of a network under canonical names.

    Args:
        tensors: name below `NETWORK` -> array.

    Returns:
        Canonical name -> float array in the canonical layout; heads may have fewer maps than the patch has channels.

    Raises:
        UnsupportedModelError: a name that is not known.
    """
    weights: dict[str, AnyArray] = {}
    for name, array in tensors.items():
        layer, _, part = name.rpartition(".")
        for pattern, prefix, turned in _RULES:
            found = re.fullmatch(pattern, layer)
            if found and part in _PARTS:
                weights[f"{prefix(found)}/{_PARTS[part]}"] = turned(array)
                break
        else:
            raise UnsupportedModelError(
                f"its network has a layer '{layer[:80]}', for which the network 'cnn' has no place or whose effect is "
                "not known"
            )
    for name in [name for name in weights if name.endswith("/cbam/spatial/kernel")]:
        weights.setdefault(f"{name.removesuffix('kernel')}bias", np.zeros(1, np.float32))
    return weights


def network_options(weights: dict[str, AnyArray], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what weights say of the network, and make the weights those of the plan.

    Args:
        weights: from `named_weights`; borders that have no effect are taken out, one amplitude for all patches of a
            group is repeated for each.
        told: N, object_big, probe_big, pad_object, where known.

    Returns:
        Fields of `ModelConfig`.

    Raises:
        UnsupportedModelError: it is no network of this kind.
    """
    stages = len({name.split("/")[1] for name in weights if name.startswith("encoder/stage")})
    channels = _maps(weights, "encoder/stage0/conv0", axis=2)
    scale = filters_scale(_maps(weights, f"encoder/stage{stages - 1}/conv1"))
    N = told.get("N") or 64 * 2 ** (stages - _USUAL_STAGES)
    shared = any(name.startswith("decoder/") for name in weights)
    options = {
        "N": N,
        "gridsize": gridsize_of(channels),
        "n_filters_scale": scale,
        "cbam_encoder": any("/cbam/" in name for name in weights),
        "shared_decoder": shared,
        **_head(weights, "decoder" if shared else "amplitude", told, scale * 2048 // N),
    }
    out = _maps(weights, "phase/full/conv2" if not options["pad_object"] else "phase/centre")
    options["object_big"] = bool(told.get("object_big", True)) if channels == 1 else out == channels
    _repeat_amplitude(weights, out)
    return options


def _head(weights: dict[str, AnyArray], stages: str, told: Mapping[str, Any], usual_width: int) -> dict[str, Any]:
    last = max(name.split("/")[1] for name in weights if name.startswith(f"{stages}/stage"))
    width = _maps(weights, f"{stages}/{last}/conv1")
    centre = _maps(weights, "amplitude/centre", axis=2)
    has_border = "amplitude/border/conv0/kernel" in weights
    border = _maps(weights, "amplitude/border/conv0", axis=2) if has_border else width - centre
    border_width = _maps(weights, "amplitude/border/conv0") if has_border else usual_width
    options = {"border_width": None if border_width == usual_width else border_width}
    if has_border and border == width:
        _rename(weights, "border", "full")
        _drop(weights, "/centre/")
        return {**options, "pad_object": False}
    if not told.get("pad_object", True):
        raise UnsupportedModelError("its options say pad_object = False, and its head is made for a padded centre")
    if centre + border != width:
        raise UnsupportedModelError(f"its head makes the centre of {centre} and the border of {border} of {width} maps")
    probe_big = has_border and bool(told.get("probe_big", True))
    if not probe_big:
        _drop(weights, "/border/")
    return {
        "border_width": options["border_width"] if probe_big else None,
        "pad_object": True,
        "probe_big": probe_big,
        "border_maps": border,
    }


def _repeat_amplitude(weights: dict[str, AnyArray], channels: int) -> None:
    for layer in ("amplitude/centre", "amplitude/border/conv2", "amplitude/full/conv2"):
        for name in (f"{layer}/kernel", f"{layer}/bias"):
            if name in weights and weights[name].shape[-1] == 1 < channels:
                weights[name] = np.repeat(weights[name], channels, axis=-1)


def _rename(weights: dict[str, AnyArray], old: str, new: str) -> None:
    for name in [name for name in weights if f"/{old}/" in name]:
        weights[name.replace(f"/{old}/", f"/{new}/")] = weights.pop(name)


def _drop(weights: dict[str, AnyArray], part: str) -> None:
    for name in [name for name in weights if part in name]:
        del weights[name]


def _maps(weights: Mapping[str, AnyArray], layer: str, axis: int = 3) -> int:
    """Return the maps a convolution gives, or with axis 2 takes."""
    kernel = weights.get(f"{layer}/kernel")
    if kernel is None or kernel.ndim != 4:
        raise UnsupportedModelError(f"its network lacks the convolution that is '{layer}' here")
    return int(kernel.shape[axis])
