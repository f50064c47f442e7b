"""Gradients that are given by hand: those of their functions, in the versions of TensorFlow they were seen on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.tf_backend import network
from ptychopinn_backend.tf_backend.gradients import with_gradient

SEEN_ON = ("2.19", "2.21")
"""Versions in which `tf.Graph.gradient_override_map`, public but rarely used, was seen to do what is expected here."""


def test_this_version_was_seen() -> None:
    version = ".".join(tf.version.VERSION.split(".")[:2])
    assert version in SEEN_ON, (
        f"TensorFlow {version} is not among {SEEN_ON}. Where the other tests of this file, test_placement.py and "
        "test_graphs.py pass with it, add it to SEEN_ON."
    )


def gradient(function: Callable[[tf.Tensor], tf.Tensor], values: AnyArray, direction: AnyArray) -> AnyArray:
    @tf.function(autograph=False)
    def traced(given: tf.Tensor) -> tf.Tensor:
        (found,) = tf.gradients(function(given), [given], grad_ys=[tf.constant(direction, tf.float32)])
        return found

    return np.asarray(traced(tf.constant(values, tf.float32)))


def random(*shape: int) -> AnyArray:
    return np.random.default_rng(2).normal(size=shape)


def test_the_gradient_is_the_registered_one_and_only_there() -> None:
    name = "PtychopinnTestThreefold"

    @tf.RegisterGradient(name)
    def _threefold(_operation: tf.Operation, upstream: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        return None, 3 * upstream

    def overridden(given: tf.Tensor) -> tf.Tensor:
        # An identity outside the context keeps its own gradient.
        return tf.identity_n([with_gradient(name, tf.square(given), given)])[0]

    values, direction = random(4), random(4)
    np.testing.assert_allclose(gradient(overridden, values, direction), 3 * direction, rtol=1e-6)


def test_swish() -> None:
    values, direction = 3 * random(2, 4, 4, 3), random(2, 4, 4, 3)
    expected = gradient(lambda given: given * tf.sigmoid(given), values, direction)
    np.testing.assert_allclose(gradient(network._silu, values, direction), expected, rtol=1e-5, atol=1e-6)


def test_up_sampling() -> None:
    values, direction = random(2, 4, 4, 3), random(2, 8, 8, 3)
    expected = gradient(network._repeated, values, direction)
    np.testing.assert_allclose(gradient(network._up_sample, values, direction), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [network._silu, network._up_sample])
def test_outside_a_graph_the_values_are_the_same(function: Callable[[tf.Tensor], tf.Tensor]) -> None:
    values = tf.constant(random(2, 4, 4, 3), tf.float32)
    traced = tf.function(function, autograph=False)
    np.testing.assert_allclose(function(values), traced(values), rtol=1e-6)
