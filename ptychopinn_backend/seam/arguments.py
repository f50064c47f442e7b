"""What a backend is given must fit its model; checked before anything is computed, in whichever framework."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from ptychopinn_backend.arrays import require_shape
from ptychopinn_backend.config import BACKENDS, INFERENCE_BACKENDS, ONNX, ModelConfig
from ptychopinn_backend.config.execution import ExecutionConfig, changed_options
from ptychopinn_backend.config.generators import CNN_OPTION_BACKENDS, backends_of, generators_of, offers
from ptychopinn_backend.errors import DataError, UnsupportedOptionError
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.physics.losses import LossWeights

if TYPE_CHECKING:
    from ptychopinn_backend.seam.interface import BackendSetup

UNUSED_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "tensorflow": ("pin_memory", "persistent_workers"),
        "pytorch": (),
        ONNX: ("compile_model", "devices", "num_nodes", "strategy"),
    }
)
"""Backend -> run-time options it neither uses nor refuses, those of a training apart where it only predicts."""


def require_fitting_source(source: GroupSource, setup: BackendSetup, *, only_patches: bool = False) -> None:
    """Raise unless a source fits the model.

    Args:
        source: groups to train on or to predict.
        setup: the model's configuration and constants.
        only_patches: no far field is computed, so that the model's own probes play no part.

    Raises:
        DataError: names what differs.
    """
    model = setup.model
    if source.n_groups == 0:
        raise DataError("The source holds no groups. Give a scan with at least one group.")
    if source.N != model.N:
        raise DataError(
            f"The patterns have side {source.N}; this model was built for N = {model.N}. "
            "Crop or pad the patterns, or build a model with their N."
        )
    if source.channels != model.channels:
        raise DataError(
            f"The groups hold {source.channels} patterns; this model needs {model.channels} "
            f"(gridsize = {model.gridsize}). Group the scan with the gridsize of the model."
        )
    if setup.training.probe_trainable and not only_patches and len(source.probes) != len(setup.probes):
        raise DataError(
            f"The source has {len(source.probes)} scans; the model holds trainable probes of {len(setup.probes)}. "
            "Give the scans it was trained on, or set probe_trainable to False."
        )


def require_fitting_batch(batch: GroupBatch, source: GroupSource) -> None:
    """Raise unless a batch can be one of a source.

    Args:
        batch: groups.
        source: where they are from.

    Raises:
        DataError: no group, another shape, or the index of a scan that the source does not have.
    """
    require_shape("X", batch.X, (None, source.N, source.N, source.channels), "(group, N, N, channel)")
    if len(batch.X) == 0:
        raise DataError("The batch holds no groups. Give at least one.")
    if np.min(batch.scan_index) < 0 or np.max(batch.scan_index) >= len(source.probes):
        raise DataError(
            f"scan_index names scans {np.min(batch.scan_index)} to {np.max(batch.scan_index)}; the source has "
            f"{len(source.probes)}, counted from 0. Take the batch from the source it is computed with."
        )


def require_labels(weights: LossWeights, present: bool) -> None:
    """Raise when the loss compares with labels and there are none.

    Args:
        weights: weights of the loss terms.
        present: whether the groups carry labels.

    Raises:
        DataError: labels are missing.
    """
    if weights.needs_labels and not present:
        raise DataError(
            "The groups carry no labels Y, and the loss compares with them (model_type 'supervised' or "
            "realspace_mae_weight above 0). Give Y or objectGuess, or train model_type 'pinn' with "
            "realspace_mae_weight = 0."
        )


def require_offered(model: ModelConfig, backend: str) -> None:
    """Raise unless a backend offers the generator and the options of it that are on.

    Args:
        model: the configuration.
        backend: 'tensorflow', 'pytorch' or 'onnx'.

    Raises:
        UnsupportedOptionError: says which backend has which.
    """
    offered = backends_of(model.architecture)
    if not offers(backend, model.architecture):
        asked = BACKENDS if backend in BACKENDS else INFERENCE_BACKENDS
        having = "; ".join(f"{name} has {', '.join(generators_of(name))}" for name in asked)
        raise UnsupportedOptionError(
            f"architecture = '{model.architecture}' is not offered by the {backend} backend (it is by "
            f"{', '.join(offered) or 'none'}): {having}. Choose one that {backend} has, or another backend."
        )
    if model.architecture == "cnn" and backend != ONNX:
        for name, having_it in CNN_OPTION_BACKENDS.items():
            if getattr(model, name) and backend not in having_it:
                raise UnsupportedOptionError(
                    f"{name} = True is not offered by the {backend} backend (it is by "
                    f"{', '.join(having_it)}). Set {name} to False, or choose another backend."
                )


def warn_of_unused_options(execution: ExecutionConfig, backend: str) -> None:
    """Warn of run-time options that a backend neither uses nor refuses.

    Args:
        execution: the options.
        backend: 'tensorflow', 'pytorch' or 'onnx'.
    """
    for name, value in changed_options(execution).items():
        if name in UNUSED_OPTIONS[backend]:
            warnings.warn(
                f"{name} = {value!r} has no effect with the {backend} backend. Leave it out.",
                UserWarning,
                stacklevel=3,
            )
