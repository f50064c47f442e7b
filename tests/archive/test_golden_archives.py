"""Archives that this package once wrote open for ever, and their networks make the patches they made."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import FORMAT_VERSION, read_metadata
from ptychopinn_backend.config.generators import BUILTIN_GENERATORS
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel

from .golden_archives import FOLDER, NAMES, RECORDED, golden_scan, repack, sampled_patches

PATCHES = json.loads(RECORDED.read_text())
CASES = [
    (file, backend)
    for file in PATCHES
    for backend in BUILTIN_GENERATORS[file.split("-", 1)[1].rsplit("-v", 1)[0]].backends
]


# A scan made of formulas is odd in many ways, and means nothing but these numbers.
@pytest.mark.filterwarnings("ignore::ptychopinn_backend.errors.ScanWarning")
@pytest.mark.parametrize(("file", "backend"), CASES)
def test_archives_of_earlier_versions_open_in_every_backend_that_has_the_network(
    file: str, backend: str, tmp_path: Path
) -> None:
    archive = repack(FOLDER / file, tmp_path / "wts.h5.zip", zipfile.ZIP_STORED)
    model = TrainedModel.load(archive, backend)
    assert model.trained_by == file.split("-")[0]
    assert (model.model.N, model.model.gridsize, model.training.nphotons, model.draw_seed) == (32, 2, 1e4, 3)
    assert len(model.history["loss"]) == 1
    expected = np.array([complex(text) for text in PATCHES[file]])
    # Float32 sums in another order, of another backend or another version of a library.
    np.testing.assert_allclose(sampled_patches(model), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.isfinite(reconstruct(model, golden_scan(), polish_steps=1).object).all()


def test_there_is_one_of_each_format_version_backend_and_generator() -> None:
    assert set(PATCHES) == {f"{name}-v{version}.zip" for name in NAMES for version in range(1, FORMAT_VERSION + 1)}
    for file in PATCHES:
        assert read_metadata(FOLDER / file)["format_version"] == int(file.rsplit("-v", 1)[1].removesuffix(".zip"))
        assert (FOLDER / file).stat().st_size < 2**15
