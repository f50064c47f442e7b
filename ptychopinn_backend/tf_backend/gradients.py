"""Gradients given by hand, where TensorFlow has none or a slow one.

`tf.custom_gradient` registers a name of its own for every use, for the life of the process, and with it the graph it
was used in: each training would leave its graph behind. Here each kind of gradient is registered once, by
`tf.RegisterGradient`, and finds what it needs among the inputs of the operation.
"""

from __future__ import annotations

from typing import Any

from ptychopinn_backend.tf_backend.framework import tf


def with_gradient(name: str, result: Any, *inputs: Any) -> Any:
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
    with tf.compat.v1.get_default_graph().gradient_override_map({"IdentityN": name}):
        return tf.identity_n([result, *inputs])[0]
