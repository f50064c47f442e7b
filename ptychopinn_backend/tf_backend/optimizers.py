"""Adam, AdamW and SGD with the constants and the arithmetic of PyTorch, so that steps agree between the backends.

Keras adds epsilon before the bias correction of the second moment and decays weights differently, which is enough to
drift apart within a few steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.networks.weights import is_kernel
from ptychopinn_backend.seam.schedule import ADAM_EPSILON, AGC_MINIMUM_NORM, CLIPPED_NORM_EPSILON
from ptychopinn_backend.tf_backend.framework import tf


class Optimizer:
    """Updates variables in place; its slots are what a checkpoint keeps."""

    def __init__(self, variables: Mapping[str, tf.Variable], training: TrainingConfig) -> None:
        """Create the slots, all zero.

        Args:
            variables: canonical name -> trainable variable.
            training: optimiser, its constants and the clipping.
        """
        self._variables = dict(variables)
        self._training = training
        self._names = ("momentum",) if training.optimizer == "sgd" else ("first_moment", "second_moment")
        self._slots = {
            f"{slot}/{name}": tf.Variable(tf.zeros_like(variable), trainable=False)
            for slot in self._names
            for name, variable in self._variables.items()
        }
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    def dump(self) -> dict[str, AnyArray]:
        """Return slots and step count by name."""
        return {"steps": np.asarray(self._steps.numpy()), **{n: s.numpy() for n, s in self._slots.items()}}

    def load(self, state: Mapping[str, AnyArray]) -> None:
        """Take up what `dump` returned."""
        self._steps.assign(state["steps"])
        for name, slot in self._slots.items():
            slot.assign(state[name])

    def apply(self, gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor, frozen: Collection[str] = ()) -> None:
        """Clip the gradients and make one step; weight decay acts on kernels only. May be traced.

        Args:
            gradients: one tensor per variable that moves, in the order of the variables.
            learning_rate: float32 scalar.
            frozen: names of variables that stay as they are.
        """
        moving = {name: variable for name, variable in self._variables.items() if name not in frozen}
        clipped = clip_gradients(gradients, list(moving.values()), self._training)
        self._steps.assign_add(1)
        rate, epsilon = self._rate_and_epsilon(learning_rate)
        for (name, variable), gradient in zip(moving.items(), clipped, strict=True):
            if self._training.weight_decay > 0 and is_kernel(name):
                if self._training.optimizer == "adamw":
                    variable.assign(variable * (1 - learning_rate * self._training.weight_decay))
                else:
                    gradient = gradient + self._training.weight_decay * variable
            self._update(name, gradient, rate, epsilon)

    def _rate_and_epsilon(self, learning_rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what takes the place of the learning rate and of Adam's epsilon in this step, both float32.

        TensorFlow's Adam adds epsilon before it corrects the second moment, PyTorch's after that.
        """
        if self._training.optimizer == "sgd":
            return learning_rate, tf.constant(0.0)
        steps = tf.cast(self._steps, tf.float64)
        first, second = (
            1 - tf.pow(tf.constant(beta, tf.float64), steps)
            for beta in (self._training.adam_beta1, self._training.adam_beta2)
        )
        rate = tf.cast(learning_rate, tf.float64) * tf.sqrt(second) / first
        return tf.cast(rate, tf.float32), tf.cast(ADAM_EPSILON * tf.sqrt(second), tf.float32)

    def _update(self, name: str, gradient: tf.Tensor, rate: tf.Tensor, epsilon: tf.Tensor) -> None:
        # One operation for the dozen it stands for: the graph of a training is built and run sooner.
        variable, slots = self._variables[name].handle, [self._slots[f"{slot}/{name}"].handle for slot in self._names]
        if self._training.optimizer == "sgd":
            tf.raw_ops.ResourceApplyMomentum(
                var=variable, accum=slots[0], lr=rate, grad=gradient, momentum=self._training.momentum
            )
            return
        tf.raw_ops.ResourceApplyAdam(
            var=variable,
            m=slots[0],
            v=slots[1],
            # Powers of 0 leave the correction to the rate.
            beta1_power=0.0,
            beta2_power=0.0,
            lr=rate,
            beta1=self._training.adam_beta1,
            beta2=self._training.adam_beta2,
            epsilon=epsilon,
            grad=gradient,
        )


def clip_gradients(
    gradients: Sequence[tf.Tensor], variables: Sequence[tf.Tensor], training: TrainingConfig
) -> list[tf.Tensor]:
    """Limit gradients as configured.

    'norm' scales all by one factor so that their common norm stays within the limit, 'value' limits every number,
    'agc' limits the gradient of every output map to a multiple of the norm of its weights (Brock et al.,
    High-Performance Large-Scale Image Recognition Without Normalization, 2021, equation 3).

    Args:
        gradients: one tensor per variable.
        variables: the variables.
        training: gradient_clip_val and gradient_clip_algorithm.

    Returns:
        The limited gradients.
    """
    limit = training.gradient_clip_val
    if limit is None:
        return list(gradients)
    if training.gradient_clip_algorithm == "value":
        return [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
    if training.gradient_clip_algorithm == "norm":
        factor = tf.minimum(1.0, limit / (tf.linalg.global_norm(gradients) + CLIPPED_NORM_EPSILON))
        return [gradient * factor for gradient in gradients]
    return [
        _clip_adaptively(gradient, variable, limit) for gradient, variable in zip(gradients, variables, strict=True)
    ]


def _clip_adaptively(gradient: tf.Tensor, variable: tf.Tensor, limit: float) -> tf.Tensor:
    allowed = limit * tf.maximum(_unit_norm(variable), AGC_MINIMUM_NORM)
    return gradient * tf.minimum(1.0, allowed / tf.maximum(_unit_norm(gradient), np.finfo(np.float32).tiny))


def _unit_norm(values: tf.Tensor) -> tf.Tensor:
    # The unit of a kernel is an output map; that of a bias or of any other weight is its element.
    if len(values.shape) == 4:
        return tf.sqrt(tf.reduce_sum(tf.square(values), axis=(0, 1, 2), keepdims=True))
    return tf.abs(values)
