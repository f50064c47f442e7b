"""Start of a training from the weights of an archive, which either backend may have written."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ptychopinn_backend.archive import ArchiveContent, read_archive
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from ptychopinn_backend.seam.interface import Backend

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StartArchive:
    """An archive to start from, which is read once."""

    path: Path
    """Path as it was given."""
    content: ArchiveContent
    """Content of the archive."""

    @classmethod
    def read(cls, path: str | Path) -> StartArchive:
        """Read an archive.

        Args:
            path: the archive, a folder that holds `wts.h5.zip`, or the archive's path without '.zip'.

        Returns:
            The archive with its content.

        Raises:
            ArchiveError: the archive is missing, damaged, of another program or of a newer version.
        """
        return cls(Path(path), read_archive(path))

    @property
    def options(self) -> dict[str, Any]:
        """Options of its network: the value of every `ModelConfig` field but N, which follows from the scan."""
        model = self.content.model
        return {item.name: getattr(model, item.name) for item in fields(ModelConfig) if item.name != "N"}


def start_from(backend: Backend, start: StartArchive) -> None:
    """Give a model the weights of an archive.

    The network is taken over as it is. Of the intensity scale, only the change by training is taken over, which is the
    ratio of the refined scale to the initial one. So the network sees patterns of another dose at the size it knows. A
    trainable probe starts from the probe of the new scans.

    Args:
        backend: a model that has not been trained yet.
        start: the archive.

    Raises:
        ConfigError: the archive holds another network; the message names the differences.
    """
    path, content = start.path, start.content
    shapes = backend.weight_shapes()
    weights = {name: array for name, array in content.weights.items() if name != PROBE}
    found = {name: array.shape for name, array in weights.items()}
    if found != {name: shape for name, shape in shapes.items() if name != PROBE}:
        raise _misfit(path, content.model, backend.setup.model)
    refinement = float(content.weights[LOG_SCALE]) - float(np.log(content.intensity_scale))
    initial = float(np.log(backend.setup.intensity_scale))
    weights[LOG_SCALE] = np.asarray(initial + refinement, np.float32)
    if PROBE in shapes:
        weights[PROBE] = backend.setup.probes.astype(np.complex64)
    backend.load_weights(weights)
    _tell(path, content, backend)


def _misfit(path: str | Path, there: ModelConfig, here: ModelConfig) -> ConfigError:
    differing = _differences(there, here)
    return ConfigError(
        f"The archive '{path}' does not fit this network: {'; '.join(differing) or 'its weights have other shapes'}. "
        "Train with the network of the archive, or start from another one."
    )


def _differences(there: ModelConfig, here: ModelConfig) -> list[str]:
    return [
        f"{item.name} is {getattr(there, item.name)!r} there and {getattr(here, item.name)!r} here"
        for item in fields(ModelConfig)
        if getattr(there, item.name) != getattr(here, item.name)
    ]


def _tell(path: str | Path, content: ArchiveContent, backend: Backend) -> None:
    logger.info("Starting from '%s', trained by %s.", path, content.backend)
    differing = _differences(content.model, backend.setup.model)
    if differing:
        logger.warning("The weights fit, but the network they come from differs: %s.", "; ".join(differing))
