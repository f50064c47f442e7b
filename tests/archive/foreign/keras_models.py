"""TensorFlow archives of the original PtychoPINN, made by Keras from the description of its network."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychopinn_backend.arrays import Complex64Array, Float32Array

BORDER_MAPS = 4


@dataclass(frozen=True)
class KerasVariant:
    """One network; the fields are options of the original."""

    N: int = 64
    gridsize: int = 1
    n_filters_scale: int = 1
    amp_activation: str = "sigmoid"
    pad_object: bool = True
    probe_big: bool = True
    object_big: bool = True
    use_polar: bool | None = True
    intensity_scale: float = 812.5
    parameters: dict[str, Any] = field(default_factory=dict)
    """Further entries of params.dill."""


def build(variant: KerasVariant, seed: int = 3) -> Any:
    """Return the Keras model from patterns and offsets to the object, seeded biases included."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    from .keras_layers import layers as custom

    keras.utils.set_random_seed(seed)
    N, channels, scale = variant.N, variant.gridsize**2, variant.n_filters_scale
    patterns = keras.Input((N, N, channels), name="input")
    positions = keras.Input((1, 2, channels), name="input_positions")
    maps = custom["IntensityScaler"](name="intensity_scaler")(patterns)
    widths, width = [], 2048 // N
    while width <= 128:
        widths.append(width * scale)
        width *= 2
    for width in widths:
        maps = _convolution(width)(_convolution(width)(maps))
        maps = keras.layers.MaxPooling2D(2, padding="same")(maps)
    out = channels if variant.object_big else 1
    parts = []
    for name, activation, factor in (("amp", variant.amp_activation, 1.0), ("phi", "tanh", float(np.pi))):
        # Layers of the head come first, as numbers in their names show.
        centre, last = _convolution(out, None), _convolution(out, None)
        decoded = maps
        for level in reversed(range(len(widths) - 1)):
            decoded = _convolution(32 * 2**level * scale)(decoded)
            decoded = _convolution(32 * 2**level * scale)(decoded)
            decoded = keras.layers.UpSampling2D(2)(decoded)
        activate = custom["ActivationLayer"](activation, factor, name=name)
        head = 2048 // N * scale

        def block(maps: Any, last: Any = last, head: int = head) -> Any:
            return last(keras.layers.UpSampling2D(2)(_convolution(head)(_convolution(head)(maps))))

        if not variant.pad_object:
            parts.append(activate(block(decoded)))
            continue
        patch = keras.layers.ZeroPadding2D(N // 4, name=f"{name}_padded")(activate(centre(decoded[..., :-BORDER_MAPS])))
        if variant.probe_big:
            border = keras.ops.silu(block(decoded[..., -BORDER_MAPS:]))
            patch = patch + border * custom["CenterMaskLayer"](N)(border)
        parts.append(patch)
    patch = custom["CombineComplexLayer"](variant.use_polar, name="obj")(parts)
    if variant.object_big:
        patch = custom["ReassemblePatchesLayer"](name="padded_obj_2")([patch, positions])
        found = custom["TrimReconstructionLayer"](N, name="trimmed_obj")(patch)
    else:
        found = custom["PadReconstructionLayer"](name="padded_obj")(patch)
    model = keras.Model([patterns, positions], found)
    rng = np.random.default_rng(seed)
    for weights in model.weights:
        if weights.shape[-1:] == weights.shape:
            weights.assign(rng.normal(0, 0.1, weights.shape))
    return model


def patches(model: Any, patterns: Float32Array) -> Complex64Array:
    """Return amplitude * exp(i phase) of the network for patterns.

    Args:
        model: from `build`.
        patterns: (group, N, N, channel), normalised.

    Returns:
        (group, N, N, out channel).
    """
    import keras

    to_parts = keras.Model(model.inputs[0], model.get_layer("obj").input)
    parts = to_parts(keras.ops.convert_to_tensor(patterns), training=False)
    amplitude, phase = (np.asarray(part.numpy()) for part in parts)
    return np.asarray(amplitude * np.exp(1j * phase), np.complex64)


def example_patterns(variant: KerasVariant, n_groups: int = 2) -> Float32Array:
    """Return normalised amplitudes, (group, N, N, channel)."""
    rng = np.random.default_rng(11)
    row, column = np.mgrid[: variant.N, : variant.N] - variant.N / 2
    envelope = np.exp(-(row**2 + column**2) / (2 * (variant.N / 8) ** 2))[..., np.newaxis]
    noise = rng.random((n_groups, variant.N, variant.N, variant.gridsize**2))
    return np.asarray(envelope * noise, np.float32)


def members(model: Any, variant: KerasVariant, folder: Path) -> dict[str, bytes]:
    """Return the members of the archive of a model.

    Args:
        model: from `build`.
        variant: what it was built from.
        folder: for a file in between.
    """
    model.save(folder / "model.keras")
    image = (folder / "model.keras").read_bytes()
    manifest = {"models": ["autoencoder", "diffraction_to_obj"], "version": "1.0"}
    return {
        "manifest.dill": pickle.dumps(manifest, 4),
        "diffraction_to_obj/custom_objects.dill": pickle.dumps({"ActivationLayer": os.mkdir}, 4),
        "diffraction_to_obj/model.keras": image,
        "diffraction_to_obj/model.h5": attributed(variant.intensity_scale),
        "diffraction_to_obj/params.dill": pickle.dumps(parameters(variant), 4),
        "autoencoder/model.keras": image,
        "autoencoder/params.dill": pickle.dumps(parameters(variant), 4),
    }


def attributed(scale: Any) -> bytes:
    """Return an HDF5 file without data sets, whose root has the scale as an attribute."""
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file.attrs["intensity_scale"] = scale
    return image.getvalue()


def parameters(variant: KerasVariant) -> dict[str, Any]:
    """Return what params.dill holds."""
    return {
        "N": variant.N,
        "offset": 4,
        "gridsize": variant.gridsize,
        "batch_size": 16,
        "nepochs": 60,
        "nphotons": 1e9,
        "object.big": variant.object_big,
        "probe.big": variant.probe_big,
        "probe.mask": False,
        "probe_scale": 4.0,
        "pad_object": variant.pad_object,
        "model_type": "pinn",
        "amp_activation": variant.amp_activation,
        "intensity_scale": variant.intensity_scale,
        "probe": np.ones((variant.N, variant.N, 1), np.complex64),
        "_version": "1.0",
        **variant.parameters,
    }


def write(path: Path, contents: dict[str, bytes]) -> Path:
    """Write a zip as the original does, compressed."""
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in contents.items():
            container.writestr(name, content)
    path.write_bytes(image.getvalue())
    return path


def _convolution(maps: int, activation: str | None = "relu") -> Any:
    import keras

    return keras.layers.Conv2D(maps, 3, padding="same", activation=activation)
