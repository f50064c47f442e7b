"""Archives of format version 1, one for each backend and generator, that every later version of this package opens.

`python -m tests.archive.golden_archives` writes those that are missing into `tests/golden/archives`, and what the
networks in them make of a pattern. A file that is there is never replaced: it stands for those that users have.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ptychopinn_backend.archive import FORMAT_VERSION, read_archive, write_archive
from ptychopinn_backend.arrays import AnyArray, Complex64Array
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.generators import BUILTIN_GENERATORS
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.runs.reconstruct import predict
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.runs.trained_model import TrainedModel

FOLDER: Final = Path(__file__).parents[1] / "golden" / "archives"
RECORDED: Final = FOLDER / "patches.json"
NAMES: Final = tuple(f"{backend}-{name}" for name, traits in BUILTIN_GENERATORS.items() for backend in traits.backends)
"""Backend that wrote the archive, and the generator in it."""
_SMALL: Final = {"n_filters_scale": 1, "fno_width": 4, "fno_modes": 2, "fno_blocks": 2, "fno_cnn_blocks": 1}
_PERIOD: Final = 61


def golden_scan() -> RawData:
    """Return a scan made of formulas alone, so that it is the same in every version: 6 patterns of 32 x 32 pixels."""
    row, column = np.mgrid[-16:16, -16:16] / 8
    light = np.exp(-(row**2) - column**2)
    patterns = [20 * light * (1.2 + np.cos(k * row + (5 - k) * column)) for k in range(6)]
    x, y = np.array([4.0, 8.0, 12.0, 4.0, 8.0, 12.0]), np.array([4.0, 4.0, 4.0, 8.0, 8.0, 8.0])
    probe = light * np.exp(0.5j * (row**2 + column**2))
    return RawData.from_arrays(x, y, np.round(np.square(patterns)), probe, measurement="counts")


def sampled_patches(model: TrainedModel) -> Complex64Array:
    """Return some pixels of the patches a model makes of the golden scan, (16,)."""
    patches = predict(model, golden_scan(), seed=0).patches
    return patches.ravel()[:: patches.size // 16][:16]


def _write(name: str) -> None:
    backend, _, architecture = name.partition("-")
    network = ModelConfig(N=32, gridsize=2, architecture=architecture, **_SMALL)
    config = TrainingConfig(model=network, nepochs=1, nphotons=1e4, probe_trainable=architecture == "cnn")
    execution = ExecutionConfig(accelerator="cpu", seed=3)
    model = train_scans([golden_scan()], config, execution, backend=backend, every_point=True)
    path = FOLDER / f"{name}-v{FORMAT_VERSION}.zip"
    model.save(path)
    # Weights that repeat, packed, take a few KiB in place of hundreds.
    content = read_archive(path)
    weights = {key: _repeating(values) for key, values in content.weights.items()}
    write_archive(path, replace(content, weights=weights))
    repack(path, path, zipfile.ZIP_DEFLATED)


def repack(source: Path, target: Path, compression: int) -> Path:
    """Write a ZIP with the same members, packed otherwise; `target` may be the same file."""
    with zipfile.ZipFile(source) as container:
        members = {name: container.read(name) for name in container.namelist()}
    with zipfile.ZipFile(target, "w", compression, compresslevel=9) as container:
        for name, content in members.items():
            container.writestr(name, content)
    return target


def _repeating(values: AnyArray) -> AnyArray:
    flat = values.reshape(-1)
    return np.resize(flat[:_PERIOD], flat.shape).reshape(values.shape).astype(values.dtype)


def main() -> None:
    """Write the archives that are missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    recorded = json.loads(RECORDED.read_text()) if RECORDED.is_file() else {}
    for name in NAMES:
        file = f"{name}-v{FORMAT_VERSION}.zip"
        if file not in recorded:
            _write(name)
            pixels = sampled_patches(TrainedModel.load(FOLDER / file))
            recorded[file] = [f"{value:.6g}" for value in pixels]
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
