"""A trained model with its weights, history and configuration, which an archive can hold."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend import params
from ptychopinn_backend.archive import ArchiveContent, read_archive, write_archive
from ptychopinn_backend.arrays import AnyArray, Complex64Array
from ptychopinn_backend.config import ARCHIVE_NAME, ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.config.training import find_archive
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.factory import create_backend, resolve_backend
from ptychopinn_backend.legacy.params_bridge import update_legacy_dict
from ptychopinn_backend.networks.weights import PROBE
from ptychopinn_backend.runs.group_objects import ArrayGroups, predict_groups
from ptychopinn_backend.runs.unfinished import warn_of_newer_checkpoints
from ptychopinn_backend.seam.interface import Backend, BackendSetup

logger = logging.getLogger(__name__)

# A larger batch leaves the cache of a CPU: with 64 groups of 128 x 128 pixels the same work takes 1.5 times as long.
DEFAULT_INFERENCE_BATCH = 8


def legacy_snapshot(training: TrainingConfig, intensity_scale: float) -> dict[str, Any]:
    """Return the values that `params.cfg` would hold for a configuration; `params.cfg` itself stays unchanged.

    Args:
        training: training options.
        intensity_scale: factor from normalised amplitudes to the square root of counts.

    Returns:
        Values by legacy key.
    """
    mapping = dict(params.DEFAULTS)
    update_legacy_dict(mapping, training)
    mapping["intensity_scale"] = intensity_scale
    return mapping


@dataclass
class TrainedModel:
    """A backend with trained weights, and how they were trained."""

    backend: Backend
    history: dict[str, list[float]] = field(default_factory=dict)
    """One value per epoch for every loss term; see `EpochReport`."""
    params: dict[str, Any] = field(default_factory=dict)
    """Snapshot of `params.cfg` that goes into the archive."""
    trained_by: str = ""
    """Backend that trained the weights. It differs from `backend_name` if the other backend has opened the archive."""
    seed: int | None = None
    """Seed of the training run, used to draw neighbours; None takes the seed of the execution options."""
    given_probes: Complex64Array | None = None
    """Normalised probes of the training (scan, mode, N, N) before any refinement; None if they are unknown."""
    _alone: Backend | None = field(default=None, init=False, repr=False, compare=False)
    """The network of `one_by_one`, built with its first call."""

    @property
    def model(self) -> ModelConfig:
        """Configuration of the network."""
        return self.backend.setup.model

    @property
    def training(self) -> TrainingConfig:
        """Configuration of its training."""
        return self.backend.setup.training

    @property
    def intensity_scale(self) -> float:
        """Factor from normalised amplitudes to the square root of counts at the start of training."""
        return self.backend.setup.intensity_scale

    @property
    def backend_name(self) -> str:
        """Backend that computes: 'tensorflow', 'pytorch' or 'onnx'."""
        return self.backend.name

    @property
    def trained_probes(self) -> Complex64Array | None:
        """Refined normalised probes (scan, mode, N, N); None if the probe was not trainable."""
        if not self.training.probe_trainable:
            return None
        return np.asarray(self.backend.dump_weights()[PROBE], dtype=np.complex64)

    @property
    def draw_seed(self) -> int:
        """Seed to draw neighbours; it is the same before saving and after loading."""
        return self.backend.setup.execution.seed if self.seed is None else self.seed

    def inference_batch(self, given: int | None = None) -> int:
        """Return the number of groups per pass: `given`, or the execution option, or 8."""
        return given or self.backend.setup.execution.inference_batch_size or DEFAULT_INFERENCE_BATCH

    def one_by_one(self) -> TrainedModel:
        """Return the model for predictions; a generator with back-projection maps every pattern by itself there.

        A generator with back-projection trains on groups, but its patch is a function of one pattern alone. A
        prediction of groups would only repeat that work. Every other model is returned as it is.
        """
        model = one_by_one_model(self.model)
        if model == self.model:
            return self
        if self._alone is None:
            setup = replace(self.backend.setup, model=model, training=replace(self.training, model=model))
            self._alone = create_backend(self.backend_name, setup)
        # The weights may have changed since the last call.
        self._alone.load_weights(self.backend.dump_weights())
        return replace(self, backend=self._alone)

    def predict(
        self, inputs: AnyArray | Sequence[AnyArray], batch_size: int | None = None, verbose: object = 0
    ) -> Complex64Array:
        """Return the object of each group, for existing scripts (legacy name).

        Args:
            inputs: [X * intensity_scale, local_offsets]: (group, N, N, channel) and (group, 1, 2, channel), as in
                `PtychoDataContainer`; `intensity_scale` is that of this model.
            batch_size: number of groups per pass; None takes the execution option, or 8 if that is not set.
            verbose: accepted for existing scripts; it has no effect.

        Returns:
            Objects (group, N, N, 1) around the mean position of each group, for `reassemble_position` with
            `global_offsets`.

        Raises:
            DataError: the arrays do not fit the model, or its generator needs a probe and the archive has none.
        """
        del verbose
        source = ArrayGroups.of(inputs, self.intensity_scale, self._probes_to_predict())
        return predict_groups(self.backend, source, self.inference_batch(batch_size)).objects

    def _probes_to_predict(self) -> Complex64Array:
        if self.training.probe_trainable:
            return self.backend.setup.probes
        if self.given_probes is not None:
            return self.given_probes
        if uses_back_projection(self.model.architecture):
            raise DataError(
                f"The generator {self.model.architecture} is shown the probe, and the archive holds none. Reconstruct "
                "a scan that has one (probeGuess) instead."
            )
        return self.backend.setup.probes

    def save(self, path: str | Path) -> Path:
        """Write the archive atomically.

        Args:
            path: the file to write, or an existing folder, in which `wts.h5.zip` is written.

        Returns:
            Path of the archive.
        """
        file = Path(path)
        return write_archive(
            file / ARCHIVE_NAME if file.is_dir() else file,
            ArchiveContent(
                backend=self.trained_by or self.backend_name,
                model=self.model,
                training=self.training,
                intensity_scale=self.intensity_scale,
                weights=self.backend.dump_weights(),
                history=self.history,
                params=self.params,
                versions={"python": platform.python_version(), "numpy": np.__version__, **self.backend.versions()},
                seed=self.draw_seed,
                probes=self.given_probes,
            ),
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        backend: str | None = None,
        execution: ExecutionConfig | None = None,
        *,
        setting: str | None = None,
        to_predict: bool = False,
    ) -> TrainedModel:
        """Open an archive of either backend.

        Args:
            path: the archive, a folder that holds `wts.h5.zip`, or the archive's path without '.zip'.
            backend: backend to compute with; None follows `PTYCHOPINN_BACKEND`, then the setting, then the archive. If
                the framework of the archive is not installed, ONNX Runtime replaces it.
            execution: run-time options; None takes the defaults. The seed of the archive draws neighbours, unless these
                options have a seed other than the default.
            setting: backend that the settings of a program name.
            to_predict: True builds only the network of `one_by_one`, which makes reconstructions.

        Returns:
            The model; `params.cfg` is not touched.

        Raises:
            ArchiveError: the archive is missing, damaged, of another program or of a newer version.
            BackendUnavailableError: the framework is not installed.

        Warns:
            UserWarning: a later training in the same folder did not finish.
        """
        content = read_archive(path)
        warn_of_newer_checkpoints(find_archive(Path(path)))
        name = resolve_backend(backend, setting, content.opens_with or content.backend)
        if to_predict:
            content = replace(content, model=one_by_one_model(content.model))
        return cls.from_content(content, name, execution)

    @classmethod
    def from_content(
        cls, content: ArchiveContent, backend: str, execution: ExecutionConfig | None = None
    ) -> TrainedModel:
        """Build the model that the content of an archive describes.

        Args:
            content: content of an archive.
            backend: 'tensorflow', 'pytorch' or 'onnx'.
            execution: run-time options; None takes the defaults.

        Returns:
            The model.
        """
        setup = BackendSetup(
            model=content.model,
            training=replace(content.training, model=content.model),
            execution=execution or ExecutionConfig(),
            intensity_scale=content.intensity_scale,
            probes=_probes_of(content.weights, content.model),
        )
        computing = create_backend(backend, setup)
        computing.load_weights(content.weights)
        if backend != content.backend:
            logger.info("Archive trained with %s, opened with %s.", content.backend, backend)
        seed = setup.execution.seed
        return cls(
            computing,
            dict(content.history),
            dict(content.params),
            trained_by=content.backend,
            seed=content.seed if seed == ExecutionConfig().seed else seed,
            given_probes=content.probes,
        )


def one_by_one_model(model: ModelConfig) -> ModelConfig:
    """Return the configuration to predict with; see `TrainedModel.one_by_one`."""
    return replace(model, gridsize=1) if uses_back_projection(model.architecture) else model


def _probes_of(weights: Mapping[str, Any], model: ModelConfig) -> Complex64Array:
    # If the probe is not trainable, the source gives the probe, and that of the setup is never used.
    if PROBE in weights:
        return np.asarray(weights[PROBE], dtype=np.complex64)
    return np.ones((1, 1, model.N, model.N), dtype=np.complex64)
