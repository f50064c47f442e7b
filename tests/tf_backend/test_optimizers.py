"""One formula at a time: the optimisers' steps and the three ways to clip, against numbers worked out in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.tf_backend.optimizers import Optimizer, clip_gradients

START = {"a/kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "a/bias": np.array([0.25, -0.75])}
RATE = 0.1


def steps(n: int, **options: Any) -> dict[str, AnyArray]:
    variables = {name: tf.Variable(array, dtype=tf.float32) for name, array in START.items()}
    optimizer = Optimizer(variables, TrainingConfig(**options))
    for step in range(1, n + 1):
        optimizer.apply([tf.constant(g, tf.float32) for g in gradients(step).values()], tf.constant(RATE))
    return {name: variable.numpy() for name, variable in variables.items()}


def gradients(step: int) -> dict[str, AnyArray]:
    return {name: (array + 0.3) * (-0.7) ** step for name, array in START.items()}


@pytest.mark.parametrize("decay", [0.0, 0.2])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_is_that_of_its_paper_with_decay_of_kernels(optimizer: str, decay: float) -> None:
    found = steps(3, optimizer=optimizer, weight_decay=decay, adam_beta1=0.8, adam_beta2=0.95)
    for name, start in START.items():
        own_decay = decay if name.endswith("kernel") else 0.0
        weights, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
        for step in range(1, 4):
            gradient = gradients(step)[name]
            if optimizer == "adamw":
                weights = weights - RATE * own_decay * weights
            else:
                gradient = gradient + own_decay * weights
            first = 0.8 * first + 0.2 * gradient
            second = 0.95 * second + 0.05 * gradient**2
            corrected = first / (1 - 0.8**step), second / (1 - 0.95**step)
            weights = weights - RATE * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
        np.testing.assert_allclose(found[name], weights, rtol=1e-5)


def test_sgd_remembers_its_momentum() -> None:
    found = steps(2, optimizer="sgd", momentum=0.6, weight_decay=0.2)
    kernel, bias = START["a/kernel"], START["a/bias"]
    velocity = gradients(1)["a/bias"]
    expected = bias - RATE * velocity
    expected = expected - RATE * (0.6 * velocity + gradients(2)["a/bias"])
    np.testing.assert_allclose(found["a/bias"], expected, rtol=1e-5)
    velocity = gradients(1)["a/kernel"] + 0.2 * kernel
    moved = kernel - RATE * velocity
    moved = moved - RATE * (0.6 * velocity + gradients(2)["a/kernel"] + 0.2 * moved)
    np.testing.assert_allclose(found["a/kernel"], moved, rtol=1e-5)


def test_state_survives_dump_and_load_exactly() -> None:
    variables = [{"a/kernel": tf.Variable(START["a/kernel"], dtype=tf.float32)} for _ in range(2)]
    one, other = (Optimizer(named, TrainingConfig()) for named in variables)
    gradient = [tf.constant(START["a/kernel"], tf.float32)]
    one.apply(gradient, tf.constant(RATE))
    other.load(one.dump())
    variables[1]["a/kernel"].assign(variables[0]["a/kernel"])
    for optimizer in (one, other):
        optimizer.apply(gradient, tf.constant(RATE))
    np.testing.assert_array_equal(variables[0]["a/kernel"].numpy(), variables[1]["a/kernel"].numpy())


def clipped(limit: float | None, algorithm: str, *arrays: AnyArray, weights: list[AnyArray] | None = None) -> Any:
    config = TrainingConfig(gradient_clip_val=limit, gradient_clip_algorithm=algorithm)
    tensors = [tf.constant(array, tf.float32) for array in arrays]
    variables = tensors if weights is None else [tf.constant(array, tf.float32) for array in weights]
    return [tensor.numpy() for tensor in clip_gradients(tensors, variables, config)]


def test_norm_scales_all_gradients_by_one_factor() -> None:
    first, second = clipped(1.0, "norm", np.array([3.0, 0.0]), np.array([[4.0]]))
    np.testing.assert_allclose(first, [0.6, 0.0], rtol=1e-5)
    np.testing.assert_allclose(second, [[0.8]], rtol=1e-5)
    np.testing.assert_array_equal(clipped(6.0, "norm", np.array([3.0, 4.0]))[0], [3.0, 4.0])


def test_value_limits_every_number() -> None:
    np.testing.assert_array_equal(clipped(1.5, "value", np.array([-3.0, 1.0, 2.0]))[0], [-1.5, 1.0, 1.5])


def test_adaptive_clipping_compares_every_output_map_with_its_weights() -> None:
    weights = np.zeros((1, 1, 2, 3))
    weights[..., 0] = 4.0, 3.0
    weights[..., 1] = 4.0, 3.0
    gradient = np.ones((1, 1, 2, 3)) * np.array([100.0, 0.01, 1.0])
    found = clipped(0.1, "agc", gradient, weights=[weights])[0]
    np.testing.assert_allclose(np.linalg.norm(found[0, 0], axis=0), [0.5, 0.01 * np.sqrt(2), 1e-4], rtol=1e-5)
    bias = clipped(0.1, "agc", np.array([10.0, 10.0]), weights=[np.array([2.0, 0.0])])[0]
    np.testing.assert_allclose(bias, [0.2, 1e-4], rtol=1e-5)


def test_without_a_limit_nothing_is_clipped() -> None:
    np.testing.assert_array_equal(clipped(None, "norm", np.array([1e6]))[0], [1e6])
