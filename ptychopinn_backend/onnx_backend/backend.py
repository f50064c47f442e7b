"""`OnnxBackend`: the seam's interface on ONNX Runtime, for inference only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, NoReturn

import numpy as np
import onnxruntime

from ptychopinn_backend.arrays import AnyArray, Complex64Array, Float32Array
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.errors import UnsupportedOptionError
from ptychopinn_backend.groups import GroupBatch, GroupSource
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.onnx_backend.model import (
    AMPLITUDES,
    NETWORK_PATCHES,
    NORMALISATION,
    PATCHES,
    inference_model,
    starting_weights,
)
from ptychopinn_backend.onnx_backend.physics import LOCAL_OFFSETS, OVERLAP_WEIGHT, ProbeInputs
from ptychopinn_backend.onnx_backend.runtime import explanation, open_session, providers_for, use_threads
from ptychopinn_backend.physics.forward import loss_terms, overlap_weights, predicted_intensity
from ptychopinn_backend.physics.loss_formulas import MODULUS_FLOOR
from ptychopinn_backend.seam.interface import Backend, BackendSetup, EpochCallback, ForwardResult

_UNIT: Final = np.ones((), np.float32)


class OnnxBackend(Backend):
    """Predicts on a CPU or a GPU; what a loss needs beyond that comes from the NumPy reference."""

    name: ClassVar[str] = "onnx"
    _explanation = staticmethod(explanation)

    def _build(self) -> None:
        # The graph is built when it is first needed.
        setup = self.setup
        self._providers = providers_for(setup.execution)
        self._weights = starting_weights(setup.model, setup.execution.seed)
        self._weights[LOG_SCALE] = np.asarray(math.log(setup.intensity_scale), np.float32)
        if setup.training.probe_trainable:
            self._weights[PROBE] = setup.probes.astype(np.complex64)

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the version of ONNX Runtime."""
        return {"onnxruntime": str(onnxruntime.__version__)}  # the package may be onnxruntime-gpu

    @staticmethod
    def device_names() -> tuple[str, ...]:
        """Return the GPU that ONNX Runtime was built for, of which it tells no name."""
        gpus = [name for name in onnxruntime.get_available_providers() if name.startswith(("CUDA", "ROCM", "TensorRT"))]
        return ("GPU",) if gpus else ()

    @staticmethod
    def use_threads(count: int) -> None:
        """Compute with `count` threads on the CPU."""
        use_threads(count)

    def _weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self._weights.items()}

    def _dump_weights(self) -> dict[str, AnyArray]:
        return {name: array.copy() for name, array in self._weights.items()}

    def _load_weights(self, weights: Mapping[str, AnyArray]) -> None:
        self._weights = {name: np.array(weights[name], array.dtype) for name, array in self._weights.items()}
        self.__dict__.pop("_session", None)

    def _fit(
        self,
        training: GroupSource,
        validation: GroupSource | None,
        *,
        on_epoch: EpochCallback | None,
        checkpoint_folder: Path | None,
        resume: bool,
    ) -> NoReturn:
        raise self._only_predicts()

    def _predict(self, source: GroupSource, batch_size: int) -> Iterator[Complex64Array]:
        scans = _Scans(source, self.setup)
        for start in range(0, source.n_groups, batch_size):
            batch = source.batch(np.arange(start, min(start + batch_size, source.n_groups)))
            yield self._computed(PATCHES, batch, scans)

    def _forward(self, batch: GroupBatch, source: GroupSource) -> ForwardResult:
        scans = _Scans(source, self.setup)
        patches = self._computed(PATCHES, batch, scans)
        network = patches if self.setup.model.channels == 1 else self._computed(NETWORK_PATCHES, batch, scans)
        intensity = predicted_intensity(
            patches.astype(np.complex128), self._probes(source)[batch.scan_index], self._log_scale, self.setup.model
        )
        return ForwardResult(network, patches, np.sqrt(intensity + MODULUS_FLOOR).astype(np.float32))

    def _losses(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> dict[str, float]:
        patches = self._computed(PATCHES, batch, _Scans(source, self.setup))
        return loss_terms(
            patches.astype(np.complex128),
            batch,
            self._probes(source),
            source.valid_pixels,
            intensity_scale=self.setup.intensity_scale,
            log_scale=self._log_scale,
            model=self.setup.model,
            weights=self.loss_weights,
            physics_weight=physics_weight,
        )

    def _gradients(self, batch: GroupBatch, source: GroupSource, physics_weight: float) -> NoReturn:
        raise self._only_predicts()

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        setup = self.setup
        model = inference_model(setup.model, self._weights, math.log(setup.intensity_scale))
        deterministic = setup.execution.deterministic is True
        return open_session(
            model.SerializeToString(),
            self._providers,
            deterministic=deterministic,
            may_fall_back=setup.execution.accelerator == "auto",
        )

    @property
    def _log_scale(self) -> float:
        return float(self._weights[LOG_SCALE])

    def _probes(self, source: GroupSource) -> Complex64Array:
        return self._weights.get(PROBE, source.probes)

    def _computed(self, outputs: tuple[str, str], batch: GroupBatch, scans: _Scans) -> Complex64Array:
        """Return two outputs of the graph as one complex array (group, N, N, channel), scan by scan if it must be."""
        if not scans.are_told_apart:
            return self._run(outputs, batch.X, batch.local_offsets, {})
        found: Complex64Array | None = None
        for scan in np.unique(batch.scan_index):
            members = batch.scan_index == scan
            patches = self._run(outputs, batch.X[members], batch.local_offsets[members], scans.inputs_of(int(scan)))
            if found is None:
                found = np.empty((len(batch.X), *patches.shape[1:]), np.complex64)
            found[members] = patches
        if found is None:
            raise AssertionError("a batch holds at least one group")
        return found

    def _run(
        self, outputs: tuple[str, str], X: Float32Array, local_offsets: Float32Array, of_scan: Mapping[str, AnyArray]
    ) -> Complex64Array:
        amplitudes = np.ascontiguousarray(np.moveaxis(X, -1, 1), np.float32)
        feed = {AMPLITUDES: amplitudes, NORMALISATION: _UNIT, **of_scan}
        if self.setup.model.channels > 1:
            feed[LOCAL_OFFSETS] = np.ascontiguousarray(local_offsets, np.float32)
        real, imaginary = self._session.run(list(outputs), feed)
        groups, channels, rows, columns = real.shape
        patches = np.empty((groups, rows, columns, channels), np.complex64)
        patches.real, patches.imag = np.moveaxis(real, 1, -1), np.moveaxis(imaginary, 1, -1)
        return patches

    def _only_predicts(self) -> UnsupportedOptionError:
        return UnsupportedOptionError(
            "The onnx backend only predicts: it has no gradients and cannot train. Train with backend 'tensorflow' or "
            "'pytorch'; what they write opens here."
        )


class _Scans:
    """What a graph must be told of the scans of a source."""

    def __init__(self, source: GroupSource, setup: BackendSetup) -> None:
        """Look at a source.

        Args:
            source: the groups.
            setup: decides what the graph is told.
        """
        self._source, self._model = source, setup.model
        self.are_told_apart = uses_back_projection(setup.model.architecture)
        """Whether groups of different scans are computed by themselves."""
        self._known: dict[int, dict[str, AnyArray]] = {}

    def inputs_of(self, scan: int) -> dict[str, AnyArray]:
        """Return the inputs of the graph that belong to a scan."""
        if scan not in self._known:
            probe, valid = self._source.probes[scan], self._source.valid_pixels[scan]
            inputs = ProbeInputs.of(np.asarray(probe, np.complex64), valid).as_inputs()
            if self._model.channels > 1:
                inputs[OVERLAP_WEIGHT] = overlap_weights(self._model, probe[np.newaxis])[0]
            self._known[scan] = inputs
        return self._known[scan]
