"""Export, train, save, load, infer: the host drives, a spawned child computes, in a process without any framework."""

from __future__ import annotations

import numpy as np
import pytest
from ptychodus.api.io import load_product

from ptychopinn_backend.archive import read_metadata
from tests.ptychodus.cycles import INNER, Cycle, run_cycle
from tests.ptychodus.scenes import far_field_counts, shift_px

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["pytorch", "tensorflow"])
def cycle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cycle:
    folder = tmp_path_factory.mktemp(request.param)
    return run_cycle(folder, request.param, "PINN")


def test_host_process_imports_no_framework(cycle: Cycle) -> None:
    assert cycle.report["imported"] == []


def test_training_reports_both_losses_and_progress_every_epoch(cycle: Cycle) -> None:
    for epoch, (progress, goal, training, validation) in enumerate(cycle.report["training"], start=1):
        assert (progress, goal) == (epoch, 8)
        assert len(training) == len(validation) == epoch
    assert epoch == 8
    assert training[-1] < training[0]


def test_trained_model_is_loaded_at_once_and_archived_with_its_backend(cycle: Cycle) -> None:
    assert cycle.report["loaded before"] is False
    assert cycle.report["loaded after training"] is True
    for path in ("saved.zip", "trained/model.zip", "trained/checkpoints/best.zip"):
        metadata = read_metadata(cycle.folder / path)
        assert metadata["backend"] == cycle.backend
        assert metadata["model"]["N"] == 32


def test_partial_objects_come_while_patches_are_predicted(cycle: Cycle) -> None:
    progress = cycle.report["progress"]
    assert cycle.report["goal"] == 100
    assert len(progress) > 2
    assert progress == sorted(progress)
    assert progress[-1] == 100
    first = cycle.arrays()["first"]
    final = load_product(cycle.folder / "result.h5").object_.get_layer(0)
    assert 0 < np.count_nonzero(first) < np.count_nonzero(final)


def test_object_lies_on_the_truth_in_frame_and_shape_of_the_input(cycle: Cycle) -> None:
    result = load_product(cycle.folder / "result.h5")
    given = load_product(cycle.folder / "product.h5")
    assert result.object_.get_geometry() == given.object_.get_geometry()
    truth, obj = cycle.arrays()["truth"], result.object_.get_layer(0)
    assert max(np.abs(shift_px(obj[INNER], truth[INNER]))) < 1.0
    overlap = np.abs(np.vdot(obj[INNER], truth[INNER]))
    assert overlap / np.linalg.norm(obj[INNER]) / np.linalg.norm(truth[INNER]) > 0.95


def test_probe_times_object_reproduces_the_patterns(cycle: Cycle) -> None:
    result = load_product(cycle.folder / "result.h5")
    arrays = cycle.arrays()
    probe = result.probes.get_probe_no_opr().get_array()
    assert probe.shape == (2, 32, 32)
    geometry = result.object_.get_geometry()
    places = [geometry.map_coordinates_probe_to_object(point) for point in result.probe_positions]
    x_px, y_px = np.array([place.x_px for place in places]), np.array([place.y_px for place in places])
    good = ~arrays["bad_pixels"]
    obj = result.object_.get_layer(0)
    model = np.stack([far_field_counts(obj, probe, x, y)[good] for x, y in zip(x_px[::7], y_px[::7], strict=True)])
    measured = arrays["counts"][::7][:, good].astype(float)
    assert model.sum() / measured.sum() == pytest.approx(1, abs=0.05)
    r_factor = np.abs(np.sqrt(model) - np.sqrt(measured)).sum() / np.sqrt(measured).sum()
    assert r_factor < 0.25


def test_product_carries_the_training_history(cycle: Cycle) -> None:
    losses = load_product(cycle.folder / "result.h5").losses
    assert [loss.epoch for loss in losses] == list(range(1, 9))
    values = [loss.value for loss in losses]
    assert min(values) > 0, "the host draws them on a logarithmic axis"
    np.testing.assert_allclose(np.diff(values), np.diff(cycle.report["training"][-1][2]), rtol=1e-6, atol=1e-6)
