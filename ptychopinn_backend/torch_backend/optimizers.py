"""Optimisers and gradient clipping with the constants of specs/backend.md."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.networks.weights import is_kernel
from ptychopinn_backend.seam.schedule import ADAM_EPSILON, AGC_MINIMUM_NORM
from ptychopinn_backend.torch_backend.model import PtychographyModel


def build_optimizer(model: PtychographyModel, config: TrainingConfig, learning_rate: float, fused: bool) -> Optimizer:
    """Return the configured optimiser; weight decay acts on kernels only.

    Args:
        model: gives the parameters.
        config: optimiser, its constants and weight decay.
        learning_rate: initial learning rate.
        fused: one kernel for all parameters; not possible with loss scaling.

    Returns:
        The optimiser.
    """
    named = model.canonical_parameters().items()
    kernels = [tensor for name, tensor in named if tensor.requires_grad and is_kernel(name)]
    others = [tensor for name, tensor in named if tensor.requires_grad and not is_kernel(name)]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return SGD(groups, lr=learning_rate, momentum=config.momentum, fused=fused)
    kind = AdamW if config.optimizer == "adamw" else Adam
    betas = (config.adam_beta1, config.adam_beta2)
    return kind(groups, lr=learning_rate, betas=betas, eps=ADAM_EPSILON, fused=fused)


def clip_gradients(parameters: Iterable[Tensor], limit: float, algorithm: str) -> None:
    """Limit gradients in place.

    Args:
        parameters: those whose gradients are limited.
        limit: `gradient_clip_val`.
        algorithm: 'norm' (of all gradients together), 'value' (element by element) or 'agc'.
    """
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    if algorithm == "norm":
        torch.nn.utils.clip_grad_norm_(parameters, limit)
    elif algorithm == "value":
        torch.nn.utils.clip_grad_value_(parameters, limit)
    else:
        _clip_adaptively(parameters, limit)


def _clip_adaptively(parameters: list[Tensor], limit: float) -> None:
    """Limit the gradient of every output unit to `limit` times the norm of its weights.

    Brock et al., High-Performance Large-Scale Image Recognition Without Normalization, 2021, equation 3. The unit of a
    kernel is an output map, that of a bias or of any other weight is its element.
    """
    with torch.no_grad():
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None:
                continue
            weight_norm = _unit_norm(parameter).clamp_min(AGC_MINIMUM_NORM)
            gradient_norm = _unit_norm(gradient).clamp_min(torch.finfo(torch.float32).tiny)
            gradient.mul_((limit * weight_norm / gradient_norm).clamp_max(1.0))


def _unit_norm(values: Tensor) -> Tensor:
    if values.ndim == 4:
        return values.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return values.abs()
