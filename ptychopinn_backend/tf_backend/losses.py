"""What the formulas of the loss (`physics.loss_formulas`) need of TensorFlow."""

from __future__ import annotations

from typing import Final

from ptychopinn_backend.physics.loss_formulas import ArrayOperations
from ptychopinn_backend.tf_backend.framework import tf

OPERATIONS: Final = ArrayOperations["tf.Tensor"](
    image_axes=(1, 2),
    sqrt=tf.sqrt,
    log=tf.math.log,
    absolute=tf.abs,
    square=tf.square,
    mean=tf.reduce_mean,
    mean_along=lambda values, axes: tf.reduce_mean(values, axes, keepdims=True),
    sum_along=lambda values, axes: tf.reduce_sum(values, axes, keepdims=True),
    broadcast=lambda values, like: tf.broadcast_to(values, tf.shape(like)),
)
