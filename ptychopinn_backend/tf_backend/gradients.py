"""Gradients given by hand, where TensorFlow has none or a slow one.

`tf.custom_gradient` registers a name of its own for every use, for the life of the process, and with it the graph it
was used in: each training would leave its graph behind. Here each kind of gradient is registered once, by
`tf.RegisterGradient`, and finds what it needs among the inputs of the operation.
"""

from __future__ import annotations

from ptychopinn_backend.tf_backend.framework import tf


def with_gradient(name: str, result: tf.Tensor, *inputs: tf.Tensor) -> tf.Tensor:
    """Return a result whose gradient is the registered one for `tf.gradients`, in a graph that is being traced.

    Args:
        name: what `tf.RegisterGradient` registered: a function of an operation and the gradients of its outputs. The
            operation's inputs are the result and the inputs given here, and so are its outputs; the function returns
            a gradient for each of them, None for the result.
        result: made of the inputs.
        *inputs: tensors.

    Returns:
        The result.
    """
    if tf.executing_eagerly():
        return result  # there is no graph to take a gradient of
    with result.graph.gradient_override_map({"IdentityN": name}):
        return tf.identity_n([result, *inputs])[0]
