"""What PyTorch can do at best: the same convolutions one by one, channels last, and a dense matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks.convolutions import Layer

PEAK_SIDE = 1536
_TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def bare_convolutions(layers: Sequence[Layer], groups: int, precision: str, training: bool) -> Callable[[], None]:
    """Return a function that runs every convolution once, forward and in training backward too."""
    dtype = _TYPES[precision]
    prepared = []
    for number, layer in enumerate(layers):
        module = torch.nn.Conv2d(layer.in_maps, layer.out_maps, layer.size, padding="same")
        module.to(dtype=dtype, memory_format=torch.channels_last)
        shape = (groups * layer.images, layer.in_maps, layer.side, layer.side)
        images = torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
        # The first one's input is data.
        images.requires_grad_(training and number > 0)
        gradient = torch.randn(shape[0], layer.out_maps, *shape[2:], dtype=dtype)
        prepared.append((module, images, gradient.contiguous(memory_format=torch.channels_last)))

    def train() -> None:
        for module, images, gradient in prepared:
            images.grad = module.weight.grad = module.bias.grad = None
            module(images).backward(gradient)

    def predict() -> None:
        with torch.inference_mode():
            for module, images, _ in prepared:
                module(images)

    return train if training else predict


def matrix_product(precision: str) -> Callable[[], None]:
    """Return a function that multiplies two square matrices of side `PEAK_SIDE`."""
    left, right = torch.randn(2, PEAK_SIDE, PEAK_SIDE, dtype=_TYPES[precision])

    def multiply() -> None:
        torch.mm(left, right)

    return multiply
