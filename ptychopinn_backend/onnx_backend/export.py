"""A trained model as one file of ONNX, checked and tried before it is written."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from onnx import checker

from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.archive.onnx_file import embedded
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ONNX, ModelConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import uses_back_projection
from ptychopinn_backend.errors import ArchiveError
from ptychopinn_backend.files.atomic_file import atomic_file, writing
from ptychopinn_backend.networks.weights import PROBE
from ptychopinn_backend.onnx_backend.model import AMPLITUDES, NORMALISATION, PATCHES, inference_model
from ptychopinn_backend.onnx_backend.physics import LOCAL_OFFSETS, ProbeInputs
from ptychopinn_backend.onnx_backend.runtime import explanation, open_session, providers_for
from ptychopinn_backend.seam.arguments import require_offered
from ptychopinn_backend.seam.failures import explained_failures

MOST_WEIGHT_BYTES: Final = 2**31 - 2**24
"""A file of ONNX is one protocol buffer, and that has less than 2 GiB."""
_TRIED: Final = (1, 3)
"""Numbers of groups a new file is run with."""
_TOLERANCE: Final = 1e-4
"""Of the largest value: kernels for one group and for several round differently."""


def export_model(content: ArchiveContent, path: Path) -> Path:
    """Write the inference of a model as ONNX.

    Args:
        content: the model, as it predicts (`runs.trained_model.one_by_one_model`).
        path: the file; its folder is made when missing.

    Returns:
        The file, which `onnx.checker` has passed and ONNX Runtime has run.

    Raises:
        UnsupportedOptionError: a generator that cannot be expressed.
        ArchiveError: it is too large for ONNX, or gives no finite patches.
        OutputError: the disk or the folder refuses.
    """
    require_offered(content.model, ONNX)
    weights = {name: _plain(name, array) for name, array in content.weights.items()}
    size = sum(array.nbytes for array in weights.values())
    if size > MOST_WEIGHT_BYTES:
        raise ArchiveError(
            f"The weights have {size / 2**30:.1f} GiB, and a file of ONNX holds less than 2. Export a smaller network."
        )
    probe = None
    if uses_back_projection(content.model.architecture) and content.probes is not None and len(content.probes) == 1:
        probe = ProbeInputs.of(content.probes[0])
    metadata = embedded(replace(content, weights=weights))
    made = inference_model(content.model, weights, math.log(content.intensity_scale), probe=probe, metadata=metadata)
    checker.check_model(made, full_check=True)
    image = made.SerializeToString()
    _try(image, content.model)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as handle:
        handle.write(image)
    return path


def _plain(name: str, array: AnyArray) -> AnyArray:
    return np.asarray(array, np.complex64 if name == PROBE else np.float32)


@explained_failures(explanation)
def _try(image: bytes, model: ModelConfig) -> None:
    """Run a model with one group and with several, which must give the first the same patches."""
    session = open_session(image, providers_for(ExecutionConfig(accelerator="cpu")))
    generator = np.random.default_rng(0)
    amplitudes = generator.uniform(0, 2, (max(_TRIED), model.channels, model.N, model.N)).astype(np.float32)
    offsets = generator.uniform(-2, 2, (max(_TRIED), 1, 2, model.channels)).astype(np.float32)
    feed: dict[str, AnyArray] = {NORMALISATION: np.ones((), np.float32)}
    if uses_back_projection(model.architecture):
        feed |= ProbeInputs.of(np.ones((1, model.N, model.N), np.complex64)).as_inputs()
    found = []
    for groups in _TRIED:
        feed[AMPLITUDES] = amplitudes[:groups]
        if model.channels > 1:
            feed[LOCAL_OFFSETS] = offsets[:groups]
        real, imaginary = session.run(list(PATCHES), feed)
        found.append(real + 1j * imaginary)
    one, several = found
    size = float(np.abs(several).max())
    differing = float(np.abs(one[0] - several[0]).max())
    if not np.isfinite(size) or differing > _TOLERANCE * size:
        raise ArchiveError(
            f"The exported network gives patches up to {size:.3g}, which differ by {differing:.3g} with the number of "
            "groups; nothing was written. Look at the model with 'ptychopinn inspect', or train it again."
        )
