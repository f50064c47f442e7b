"""Network, intensity scale and probe in one module, and its weights in the canonical layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.physics.forward import forward_constants
from ptychopinn_backend.physics.loss_formulas import LossInputs
from ptychopinn_backend.physics.losses import LossWeights, loss_terms
from ptychopinn_backend.seam.interface import BackendSetup
from ptychopinn_backend.torch_backend.data import SourceConstants, TensorBatch
from ptychopinn_backend.torch_backend.generators import build_generator
from ptychopinn_backend.torch_backend.losses import OPERATIONS
from ptychopinn_backend.torch_backend.patch_generator import canonical_layout, torch_layout
from ptychopinn_backend.torch_backend.physics import FarField, Patches, group_patches


class PtychographyModel(nn.Module):
    """From normalised patterns to patches, far field and loss terms."""

    def __init__(self, setup: BackendSetup, weights: LossWeights) -> None:
        """Build the model with the initial weights that the seed means.

        Args:
            setup: configuration and constants.
            weights: weights of the loss terms.
        """
        super().__init__()
        self._config = setup.model
        self.loss_weights = weights
        """Weights of the loss terms."""
        self._log_intensity_scale = math.log(setup.intensity_scale)
        self.generator = build_generator(setup.model)
        self.far_field = FarField(setup.model)
        log_scale = torch.tensor(self._log_intensity_scale, dtype=torch.float32)
        if setup.training.intensity_scale_trainable:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        # Kept as (..., 2) real numbers: optimisers, clipping and reduction over processes then need no special case.
        self.probe: nn.Parameter | None = None
        if setup.training.probe_trainable:
            probes = torch.from_numpy(np.array(setup.probes, np.complex64))
            self.probe = nn.Parameter(torch.view_as_real(probes).clone())
        window = torch.from_numpy(forward_constants(setup.model).label_window).float()
        self.register_buffer("_label_window", window, persistent=False)
        self._load_network(self.generator.initial_weights(setup.execution.seed))
        cast(Any, self.generator).to(memory_format=torch.channels_last)

    @property
    def needs_labels(self) -> bool:
        """Whether the loss compares patches with labels."""
        return self.loss_weights.needs_labels

    def network_patches(self, batch: TensorBatch) -> Patches:
        """Return what the network puts out.

        Args:
            batch: the groups.

        Returns:
            One patch per channel with object_big, else one per group.
        """
        scale = torch.exp(self._log_intensity_scale - self.log_scale)
        return Patches(*self.generator.of_scaled(batch.inputs, scale))

    def patches(self, network_patches: Patches, batch: TensorBatch, constants: SourceConstants) -> Patches:
        """Return the patches as the physics sees them, consistent within each group.

        Args:
            network_patches: what the network put out.
            batch: the groups.
            constants: of their source.

        Returns:
            One patch per channel.
        """
        weights = constants.overlap_weights_of(batch.scan_index)
        return group_patches(network_patches, batch.local_offsets, constants.canvas_px, self._config, weights)

    def intensity(self, patches: Patches, batch: TensorBatch, constants: SourceConstants) -> Tensor:
        """Return the predicted intensity in counts.

        Args:
            patches: consistent patches.
            batch: the groups.
            constants: of their source.

        Returns:
            (group, channel, N, N) float32.
        """
        probes = constants.get_buffer("probes") if self.probe is None else torch.view_as_complex(self.probe)
        illumination = constants.of_scans(self.far_field.illumination(probes), batch.scan_index)
        intensity: Tensor = self.far_field(patches, illumination)
        return torch.exp(2 * self.log_scale) * intensity

    def loss_terms(
        self, batch: TensorBatch, constants: SourceConstants, physics_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Return every active loss term and 'loss', which they add up to, scalars (`physics.losses`).

        Args:
            batch: the groups.
            constants: of their source.
            physics_weight: weight of the configured loss in a training with stages.

        Returns:
            Term name -> scalar tensor.
        """
        network_patches = self.network_patches(batch)
        with torch.autocast(batch.patterns.device.type, enabled=False):
            patches = self.patches(network_patches, batch, constants)
            intensity = target = valid = labels = None
            if self.loss_weights.needs_far_field:
                intensity = self.intensity(patches, batch, constants)
                target = batch.patterns * math.exp(self._log_intensity_scale)
                valid = constants.valid_of(batch.scan_index)
            if batch.labels is not None:
                labels = batch.labels.real, batch.labels.imag
            inputs = LossInputs(patches, intensity, target, valid, labels, self.get_buffer("_label_window"))
            return loss_terms(OPERATIONS, inputs, self.loss_weights, physics_weight)

    def canonical_parameters(self) -> dict[str, Tensor]:
        """Return the tensor behind every canonical name, running statistics and a constant `log_scale` included."""
        found = {**self.generator.canonical_weights(), LOG_SCALE: self.log_scale}
        if self.probe is not None:
            found[PROBE] = self.probe
        return found

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name -> shape of every weight."""
        return {name: array.shape for name, array in self.dump_weights().items()}

    def dump_weights(self) -> dict[str, AnyArray]:
        """Return a copy of every weight in the canonical layout."""
        return {name: to_canonical(name, tensor) for name, tensor in self.canonical_parameters().items()}

    def load_weights(self, weights: Mapping[str, AnyArray]) -> None:
        """Take weights in the canonical layout.

        Args:
            weights: exactly the names and shapes of `weight_shapes`.
        """
        with torch.no_grad():
            self.log_scale.copy_(torch.tensor(float(weights[LOG_SCALE])))
            if self.probe is not None:
                probe = torch.from_numpy(np.array(weights[PROBE], np.complex64))
                self.probe.copy_(torch.view_as_real(probe))
        self._load_network({name: array for name, array in weights.items() if name not in (LOG_SCALE, PROBE)})

    def _load_network(self, weights: Mapping[str, AnyArray]) -> None:
        parameters = self.canonical_parameters()
        with torch.no_grad():
            for name, array in weights.items():
                values = torch_layout(np.asarray(array, np.float32))
                parameters[name].copy_(torch.from_numpy(np.array(values, order="C")))


def to_canonical(name: str, tensor: Tensor) -> AnyArray:
    """Return a weight, or its gradient, in the canonical layout.

    Args:
        name: canonical name.
        tensor: a tensor of `PtychographyModel.canonical_parameters`, or its gradient.

    Returns:
        A copy: kernels (height, width, in, out) float32, the probe complex64 (scan, mode, N, N).
    """
    values = tensor.detach().cpu()
    if name == PROBE:
        return np.ascontiguousarray(values.numpy()).view(np.complex64)[..., 0].copy()
    return np.array(canonical_layout(values).numpy(), np.float32, order="C")
