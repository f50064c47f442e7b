"""Layers of Keras under the names that archives of the original PtychoPINN use; imports Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class IntensityScaler(keras.layers.Layer):
    """Divides by what the patterns were multiplied with; here both are left out."""

    def call(self, patterns: Any) -> Any:
        return patterns


class ActivationLayer(keras.layers.Layer):
    """An activation by name, times a factor."""

    def __init__(self, activation_name: str, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.activation_name, self.scale = activation_name, scale

    def call(self, maps: Any) -> Any:
        return self.scale * keras.activations.get(self.activation_name)(maps)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation_name": self.activation_name, "scale": self.scale}


class CenterMaskLayer(keras.layers.Layer):
    """1 outside of the central N/2, 0 inside."""

    def __init__(self, N: int, **options: Any) -> None:
        super().__init__(**options)
        self.N = N

    def call(self, maps: Any) -> Any:
        centre = ops.zeros((1, self.N // 2, self.N // 2, 1))
        quarter = (self.N // 4, self.N // 4)
        mask = ops.pad(centre, ((0, 0), quarter, quarter, (0, 0)), constant_values=1.0)
        return mask + 0 * maps[..., :1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "N": self.N, "c": 1, "kind": "border"}


class CombineComplexLayer(keras.layers.Layer):
    """Amplitude and phase to a complex patch."""

    def __init__(self, use_polar: bool | None, **options: Any) -> None:
        super().__init__(**options)
        self.use_polar = use_polar

    def call(self, parts: Any) -> Any:
        amplitude, phase = (ops.cast(part, "complex64") for part in parts)
        return amplitude * ops.exp(1j * phase)

    def get_config(self) -> dict[str, Any]:
        said = {} if self.use_polar is None else {"use_polar": self.use_polar}
        return {**super().get_config(), **said}


class ReassemblePatchesLayer(keras.layers.Layer):
    """Stands for the overlap of patches, which is no part of the network."""

    def call(self, inputs: Any) -> Any:
        return inputs[0]


class TrimReconstructionLayer(keras.layers.Layer):
    """Stands for a crop."""

    def __init__(self, output_size: int, **options: Any) -> None:
        super().__init__(**options)
        self.output_size = output_size

    def call(self, image: Any) -> Any:
        return image


class PadReconstructionLayer(keras.layers.Layer):
    """Stands for a padding."""

    def call(self, image: Any) -> Any:
        return image


layers = {
    cls.__name__: keras.saving.register_keras_serializable("ptycho")(cls)
    for cls in (
        IntensityScaler,
        ActivationLayer,
        CenterMaskLayer,
        CombineComplexLayer,
        ReassemblePatchesLayer,
        TrimReconstructionLayer,
        PadReconstructionLayer,
    )
}
