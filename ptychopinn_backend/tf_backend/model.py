"""Network and physics as one model: its variables, its outputs, its loss and the gradients of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.groups import GroupSource
from ptychopinn_backend.networks.generator import StartsWithConvolution
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.physics.forward import forward_constants
from ptychopinn_backend.physics.loss_formulas import MODULUS_FLOOR, LossInputs
from ptychopinn_backend.physics.losses import LossWeights, loss_terms
from ptychopinn_backend.physics.placement import canvas_size
from ptychopinn_backend.seam.interface import BackendSetup
from ptychopinn_backend.tf_backend.data import SourceConstants, TensorBatch, signature
from ptychopinn_backend.tf_backend.devices import compute_type
from ptychopinn_backend.tf_backend.framework import tf
from ptychopinn_backend.tf_backend.generators import build_generator
from ptychopinn_backend.tf_backend.losses import OPERATIONS
from ptychopinn_backend.tf_backend.physics import FarField, group_patches, parts
from ptychopinn_backend.tf_backend.placement import MatrixPlacement, WindowPlacement

Result = TypeVar("Result")

SCALAR: Final = tf.TensorSpec((), tf.float32)
"""Type of a number that changes from epoch to epoch."""


class PtychographyModel:
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
        self._far_field = FarField(setup.model)
        self._label_window = forward_constants(setup.model).label_window[None, :, :, None]
        in_windows = "CPU" in device and not setup.execution.compile_model
        self._placement = WindowPlacement if in_windows else MatrixPlacement
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
    def trainable(self) -> dict[str, tf.Variable]:
        """Canonical name -> variable that training changes; complex ones as float32 with a last axis (real, imag)."""
        frozen = () if self.setup.training.intensity_scale_trainable else (LOG_SCALE,)
        return {name: variable for name, variable in self._variables.items() if name not in frozen}

    def dump_weights(self) -> dict[str, AnyArray]:
        """Return a copy of every weight in the canonical layout."""
        return {name: to_canonical(name, variable.numpy()) for name, variable in self._variables.items()}

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

    def outputs(self, batch: TensorBatch, constants: SourceConstants, canvas_px: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what the network puts out and the patches the physics sees, complex64 (group, N, N, channel) each."""
        inputs, weights = batch.inputs, dict[str, tf.Tensor](self._variables)
        scale = tf.exp(self._log_intensity_scale - self._variables[LOG_SCALE])
        if isinstance(self._generator, StartsWithConvolution):
            kernel = self._generator.first_kernel
            weights[kernel] = weights[kernel] * scale
        else:
            inputs = inputs * scale
        network_patches = self._generator.patches(tf.cast(inputs, self._compute_type), weights)
        overlap_weights = tf.gather(constants.overlap_weights, batch.scan_index)
        return network_patches, group_patches(
            network_patches, batch.local_offsets, canvas_px, self.setup.model, overlap_weights, self._placement
        )

    def patches(self, batch: TensorBatch, constants: SourceConstants, canvas_px: int) -> tf.Tensor:
        """Return only the second of `outputs`."""
        return self.outputs(batch, constants, canvas_px)[1]

    def forward(
        self, batch: TensorBatch, constants: SourceConstants, canvas_px: int
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return network patches, consistent patches and the predicted amplitude."""
        network_patches, patches = self.outputs(batch, constants, canvas_px)
        return network_patches, patches, tf.sqrt(self._intensity(patches, batch, constants) + MODULUS_FLOOR)

    def loss_terms(
        self, batch: TensorBatch, constants: SourceConstants, physics_weight: tf.Tensor, canvas_px: int
    ) -> dict[str, tf.Tensor]:
        """Return every active loss term and 'loss', float32 scalars (`physics.losses`)."""
        patches = self.patches(batch, constants, canvas_px)
        intensity = target = valid = labels = None
        if self.loss_weights.needs_far_field:
            intensity = self._intensity(patches, batch, constants)
            target = batch.patterns * self.setup.intensity_scale
            valid = tf.gather(constants.valid_pixels, batch.scan_index)[..., None]
        if self.loss_weights.needs_labels:
            labels = parts(batch.labels)
        window = tf.constant(self._label_window, tf.float32)
        inputs = LossInputs(parts(patches), intensity, target, valid, labels, window)
        return loss_terms(OPERATIONS, inputs, self.loss_weights, physics_weight)

    def loss_and_gradients(
        self,
        batch: TensorBatch,
        constants: SourceConstants,
        physics_weight: tf.Tensor,
        canvas_px: int,
        frozen: Collection[str] = (),
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Return `loss_terms` and the gradient of 'loss' for every variable of `trainable` but the frozen, in order."""
        variables = [variable for name, variable in self.trainable.items() if name not in frozen]
        terms = self.loss_terms(batch, constants, physics_weight, canvas_px)
        # A tape would not see the gradients that operations of the graph are given by hand.
        gradients = tf.gradients(terms["loss"], variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return terms, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def compiled(self, body: Callable[..., Result], canvas_px: int, scalars: int = 0) -> Callable[..., Result]:
        """Return the traced form of a method of this model for one canvas.

        Args:
            body: `patches`, `forward`, `loss_terms` or `loss_and_gradients`.
            canvas_px: side of the group frame.
            scalars: numbers it takes between the source's constants and the canvas.

        Returns:
            A function of (batch, constants, *scalars) for any number of groups, traced once.
        """
        key = body.__name__, canvas_px
        if key not in self._compiled:
            types = (*signature(self.setup.model), *(SCALAR,) * scalars)
            self._compiled[key] = self.traced(lambda *arguments: body(*arguments, canvas_px), types)
        return self._compiled[key]

    def traced(self, body: Callable[..., Result], types: Sequence[Any]) -> Callable[..., Result]:
        """Return a function as a TensorFlow graph, compiled by XLA where the run asks for that.

        Args:
            body: the function.
            types: of its arguments.

        Returns:
            The graph, traced already: a function object per model would make TensorFlow warn of retracing.
        """
        # XLA compiles anew for every batch length, when it meets it.
        # Nothing here branches on the value of a tensor; rewriting the code for that takes longer than tracing it.
        graph = tf.function(body, autograph=False, jit_compile=self.setup.execution.compile_model)
        return graph.get_concrete_function(*types)

    def _intensity(self, patches: tf.Tensor, batch: TensorBatch, constants: SourceConstants) -> tf.Tensor:
        probes = constants.probes
        if PROBE in self._variables:
            pair = self._variables[PROBE]
            probes = tf.complex(pair[..., 0], pair[..., 1])
        return self._far_field.intensity(patches, tf.gather(probes, batch.scan_index), self._variables[LOG_SCALE])


def _as_real(name: str, array: AnyArray) -> AnyArray:
    """Return float32 values; complex ones with a last axis (real, imag)."""
    if name != PROBE:
        return array.astype(np.float32)
    return np.stack((array.real, array.imag), axis=-1).astype(np.float32)


def to_canonical(name: str, array: AnyArray) -> AnyArray:
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
