"""The cycle of `test_cycle` with the settings a new user finds, and with the supervised reconstructor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.io import load_product

from ptychopinn_backend.archive import read_metadata
from tests.ptychodus.cycles import INNER, run_cycle
from tests.ptychodus.scenes import shift_px

pytestmark = pytest.mark.slow


def test_fresh_settings_give_an_object_that_lies_on_the_truth(tmp_path: Path) -> None:
    done = run_cycle(tmp_path, "pytorch", "PINN", "fresh")
    metadata = read_metadata(tmp_path / "saved.zip")
    assert metadata["model"]["architecture"] == "backprojection_unet"
    progress, goal, losses, _ = done.report["training"][-1]
    assert progress == goal == len(losses)
    truth = done.arrays()["truth"][INNER]
    obj = load_product(tmp_path / "result.h5").object_.get_layer(0)[INNER]
    assert max(np.abs(shift_px(obj, truth))) < 1.0
    assert np.abs(np.vdot(obj, truth)) / np.linalg.norm(obj) / np.linalg.norm(truth) > 0.97


def test_supervised_learns_from_the_object_of_the_product(tmp_path: Path) -> None:
    done = run_cycle(tmp_path, "tensorflow", "Supervised")
    assert read_metadata(tmp_path / "saved.zip")["model"]["model_type"] == "supervised"
    result = load_product(tmp_path / "result.h5").object_
    assert result.get_geometry() == load_product(tmp_path / "product.h5").object_.get_geometry()
    _, _, training, validation = done.report["training"][-1]
    assert min(training) < 0.9 * training[0]
    assert len(validation) == 8
