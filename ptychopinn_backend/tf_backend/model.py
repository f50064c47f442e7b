"""Network and physics as one model: its variables, its outputs, its loss and the gradients of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.data.source import GroupBatch, GroupSource
from ptychopinn_backend.networks.inputs import input_maps, network_inputs
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.physics.forward import overlap_weights
from ptychopinn_backend.physics.losses import LossWeights
from ptychopinn_backend.physics.placement import canvas_size
from ptychopinn_backend.seam.interface import BackendSetup
from ptychopinn_backend.tf_backend.device import compute_type
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.generators import StartsWithConvolution, build_generator
from ptychopinn_backend.tf_backend.physics import BatchTensors, GroupPhysics, SceneTensors, amplitude_of
from ptychopinn_backend.tf_backend.placement import MatrixPlacement, WindowPlacement

SCALAR: Final = tf.TensorSpec((), tf.float32)
"""Type of a number that changes from epoch to epoch."""


class PatchModel:
    """All weights, and the traced functions of them."""

    def __init__(self, setup: BackendSetup, weights: LossWeights, precision: str, device: str) -> None:
        """Create the variables; their values are a function of the setup alone.

        Args:
            setup: configuration and constants.
            weights: weights of the loss terms.
            precision: '32-true' or 'bf16-mixed'.
            device: TensorFlow name of the device it computes on.
        """
        self.setup = setup
        self.loss_weights = weights
        self._log_intensity_scale = math.log(setup.intensity_scale)
        self._compute_type = compute_type(precision)
        self._generator = build_generator(setup.model)
        in_windows = "CPU" in device and not setup.execution.compile_model
        self._physics = GroupPhysics(setup.model, WindowPlacement if in_windows else MatrixPlacement)
        start = dict(self._generator.initial_weights(setup.execution.seed))
        start[LOG_SCALE] = np.asarray(self._log_intensity_scale, np.float32)
        if setup.training.probe_trainable:
            start[PROBE] = setup.probes.astype(np.complex64)
        self._shapes = {name: tuple(array.shape) for name, array in start.items()}
        self._variables = {name: tf.Variable(_as_real(name, array)) for name, array in start.items()}
        self._compiled: dict[tuple[str, int], Callable[..., Any]] = {}

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name -> shape of every weight."""
        return dict(self._shapes)

    @property
    def trainable(self) -> dict[str, Any]:
        """Canonical name -> variable that training changes; complex ones as float32 with a last axis (real, imag)."""
        frozen = () if self.setup.training.intensity_scale_trainable else (LOG_SCALE,)
        return {name: variable for name, variable in self._variables.items() if name not in frozen}

    def dump_weights(self) -> dict[str, AnyArray]:
        """Return a copy of every weight in the canonical layout."""
        return {name: from_real(name, variable.numpy()) for name, variable in self._variables.items()}

    def load_weights(self, weights: Mapping[str, AnyArray]) -> None:
        """Take weights in the canonical layout.

        Args:
            weights: exactly the names and shapes of `weight_shapes`.
        """
        for name, variable in self._variables.items():
            variable.assign(_as_real(name, np.asarray(weights[name])))

    def canvas_px(self, source: GroupSource) -> int:
        """Return the side of the group frame for a source; N where groups have one member."""
        N = self.setup.model.N
        return N if self.setup.model.channels == 1 else canvas_size(N, source.max_local_offset_px)

    def scene_tensors(self, source: GroupSource) -> SceneTensors:
        """Return what the batches of a source share.

        Args:
            source: the groups.

        Returns:
            Probes and valid pixels on the device.
        """
        probes = np.asarray(source.probes, np.complex64)
        return SceneTensors(
            tf.constant(probes),
            tf.constant(np.asarray(source.valid_pixels, np.float32)),
            tf.constant(np.asarray(overlap_weights(self.setup.model, probes), np.float32)),
        )

    def batch_tensors(self, batch: GroupBatch, source: GroupSource) -> BatchTensors:
        """Return a batch on the device; the labels only where the loss needs them.

        Args:
            batch: groups of `source`.
            source: the groups' source.

        Returns:
            The tensors.
        """
        labels = np.zeros((0, 0, 0, 0), np.complex64)
        if self.loss_weights.needs_labels and batch.Y is not None:
            labels = np.asarray(batch.Y, np.complex64)
        return BatchTensors(
            tf.convert_to_tensor(np.asarray(batch.measured, np.float32)),
            tf.convert_to_tensor(np.asarray(batch.local_offsets, np.float32)),
            tf.convert_to_tensor(np.asarray(batch.scan_index, np.int32)),
            tf.convert_to_tensor(network_inputs(batch, source, self.setup.model)),
            tf.convert_to_tensor(labels),
        )

    def outputs(self, batch: BatchTensors, scene: SceneTensors, canvas_px: int) -> tuple[Any, Any]:
        """Return what the network puts out and the patches the physics sees, complex64 (group, N, N, channel) each."""
        inputs, weights = batch.inputs, dict(self._variables)
        scale = tf.exp(self._log_intensity_scale - self._variables[LOG_SCALE])
        if isinstance(self._generator, StartsWithConvolution):
            kernel = self._generator.first_kernel
            weights[kernel] = weights[kernel] * scale
        else:
            inputs *= scale
        network_patches = self._generator.patches(tf.cast(inputs, self._compute_type), weights)
        overlap_weights = tf.gather(scene.overlap_weights, batch.scan_index)
        return network_patches, self._physics.group_patches(
            network_patches, batch.local_offsets, overlap_weights, canvas_px
        )

    def patches(self, batch: BatchTensors, scene: SceneTensors, canvas_px: int) -> Any:
        """Return only the second of `outputs`."""
        return self.outputs(batch, scene, canvas_px)[1]

    def terms(self, batch: BatchTensors, scene: SceneTensors, physics_weight: Any, canvas_px: int) -> dict[str, Any]:
        """Return every active loss term and 'loss', float32 scalars."""
        _, patches = self.outputs(batch, scene, canvas_px)
        return self._physics.loss_terms(
            patches,
            batch,
            self._with_model_probe(scene),
            intensity_scale=self.setup.intensity_scale,
            log_scale=self._variables[LOG_SCALE],
            weights=self.loss_weights,
            physics_weight=physics_weight,
        )

    def terms_and_gradients(
        self,
        batch: BatchTensors,
        scene: SceneTensors,
        physics_weight: Any,
        canvas_px: int,
        frozen: Collection[str] = (),
    ) -> tuple[dict[str, Any], list[Any]]:
        """Return `terms` and the gradient of 'loss' for every variable of `trainable` not frozen, in that order."""
        variables = [variable for name, variable in self.trainable.items() if name not in frozen]
        terms = self.terms(batch, scene, physics_weight, canvas_px)
        # A tape would not see the gradients that operations of the graph are given by hand.
        gradients = tf.gradients(terms["loss"], variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return terms, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def forward(self, batch: BatchTensors, scene: SceneTensors, canvas_px: int) -> tuple[Any, Any, Any]:
        """Return network patches, consistent patches and the predicted amplitude."""
        network_patches, patches = self.outputs(batch, scene, canvas_px)
        probes = tf.gather(self._with_model_probe(scene).probes, batch.scan_index)
        intensity = self._physics.predicted_intensity(patches, probes, self._variables[LOG_SCALE])
        return network_patches, patches, amplitude_of(intensity)

    def compiled(self, name: str, canvas_px: int) -> Callable[..., Any]:
        """Return the traced form of `terms`, `terms_and_gradients`, `forward` or `patches` for one canvas.

        Args:
            name: the function.
            canvas_px: side of the group frame.

        Returns:
            A function of (batch, scene), the first two also of the physics weight; any number of groups, traced once.
        """
        if (name, canvas_px) not in self._compiled:
            body = getattr(self, name)
            signature = (*self.signature, SCALAR) if name.startswith("terms") else self.signature
            self._compiled[name, canvas_px] = self.traced(lambda *arguments: body(*arguments, canvas_px), signature)
        return self._compiled[name, canvas_px]

    @property
    def signature(self) -> tuple[BatchTensors, SceneTensors]:
        """Types of a batch and a scene with any number of groups, scans and modes."""
        N, channels = self.setup.model.N, self.setup.model.channels
        batch = BatchTensors(
            tf.TensorSpec((None, N, N, channels), tf.float32),
            tf.TensorSpec((None, 1, 2, channels), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, N, N, channels * input_maps(self.setup.model)), tf.float32),
            tf.TensorSpec((None, None, None, None), tf.complex64),
        )
        scene = SceneTensors(
            tf.TensorSpec((None, None, N, N), tf.complex64),
            tf.TensorSpec((None, N, N), tf.float32),
            tf.TensorSpec((None, N, N), tf.float32),
        )
        return batch, scene

    def traced(self, body: Callable[..., Any], signature: Sequence[Any]) -> Callable[..., Any]:
        """Return a function as a TensorFlow graph, compiled by XLA where the run asks for that.

        Args:
            body: the function.
            signature: types of its arguments.

        Returns:
            The graph, traced already: a function object per model would make TensorFlow warn of retracing.
        """
        # XLA compiles anew for every batch length, when it meets it.
        # Nothing here branches on the value of a tensor; rewriting the code for that takes longer than tracing it.
        graph = tf.function(body, autograph=False, jit_compile=self.setup.execution.compile_model)
        return cast(Callable[..., Any], graph.get_concrete_function(*signature))

    def _with_model_probe(self, scene: SceneTensors) -> SceneTensors:
        if PROBE not in self._variables:
            return scene
        pair = self._variables[PROBE]
        return scene._replace(probes=tf.complex(pair[..., 0], pair[..., 1]))


def _as_real(name: str, array: AnyArray) -> AnyArray:
    """Return float32 values; complex ones with a last axis (real, imag)."""
    if name != PROBE:
        return array.astype(np.float32)
    return np.stack((array.real, array.imag), axis=-1).astype(np.float32)


def from_real(name: str, array: AnyArray) -> AnyArray:
    """Return the canonical array of a variable's values (or of its gradient): the probe becomes complex64 again.

    Args:
        name: canonical name.
        array: float32 values.

    Returns:
        A copy.
    """
    if name != PROBE:
        return np.array(array)
    return np.asarray(array[..., 0] + 1j * array[..., 1], np.complex64)
