"""Names that existing scripts import, all from `ptychopinn_backend.legacy`."""

from __future__ import annotations

import inspect
import random
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import legacy, params
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.workflows import last_model
from tests.architecture.test_fresh_interpreter import HEAVY, loaded_after

QUICK = ExecutionConfig(enable_checkpointing=False, logger_backend="none", accelerator="cpu")


pytestmark = pytest.mark.usefixtures("kept_parameters")


@pytest.fixture(scope="module")
def scan() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=30, photons=1e5), seed=1)


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    model = ModelConfig(N=32, n_filters_scale=1)
    return TrainingConfig(model=model, nepochs=1, n_groups=12, output_dir=tmp_path / "run", backend="tensorflow")


@pytest.fixture(scope="module")
def trained(scan: RawData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    saved = params.snapshot()
    model = ModelConfig(N=32, n_filters_scale=1)
    config = TrainingConfig(
        model=model, nepochs=1, n_groups=12, output_dir=tmp_path_factory.mktemp("run"), backend="tensorflow"
    )
    found: dict[str, Any] = legacy.train_cdi_model_torch(scan, None, config, execution=QUICK)
    params.restore(saved)
    return found


def test_every_name_is_there_and_says_in_one_line_what_it_is() -> None:
    assert set(legacy.__all__) <= set(dir(legacy))
    for name in legacy.__all__:
        value = getattr(legacy, name)
        if callable(value):
            assert inspect.getdoc(value), name
            if value.__module__ == "ptychopinn_backend.calls.names":
                assert "\n" not in str(inspect.getdoc(value)), name


def test_importing_the_names_loads_no_framework() -> None:
    code = "import ptychopinn_backend.legacy as legacy\nfor name in legacy.__all__: getattr(legacy, name)"
    assert loaded_after(code, HEAVY) == []


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = legacy.no_such_name


def test_modules_are_those_of_today() -> None:
    assert legacy.params is params
    assert isinstance(legacy.loader, ModuleType)


def test_a_scan_and_its_groups_by_the_names_of_the_torch_package(
    scan: RawData, config: TrainingConfig, tmp_path: Path
) -> None:
    raw = legacy.RawDataTorch(
        scan.xcoords, scan.ycoords, scan.diff3d, scan.probeGuess, scan.scan_index, config=replace(
            config, model=ModelConfig(N=32, gridsize=2)
        )
    )  # fmt: skip
    assert isinstance(raw, RawData)
    assert params.cfg["gridsize"] == 2
    grouped = legacy.group_raw_npz(raw, K=6, nsamples=5, seed=0)
    container = legacy.PtychoDataContainerTorch(grouped, raw.probeGuess)
    assert (container.n_groups, container.channels) == (5, 4)
    scan.to_file(tmp_path / "scan.npz")
    np.testing.assert_array_equal(legacy.load_raw_npz(tmp_path / "scan.npz").diff3d, scan.diff3d)
    assert legacy.group_raw_npz(tmp_path / "scan.npz", gridsize=1, nsamples=3)["nn_indices"].shape == (3, 1)
    dataset = legacy.MemmapDatasetBridge(tmp_path / "scan.npz", config, tmp_path / "memmap")
    assert dataset.n_groups == 12


def test_the_loader_splits_groups(scan: RawData) -> None:
    grouped = scan.generate_grouped_data(32, nsamples=10, seed=0, gridsize=1)
    whole = legacy.loader.load(lambda: grouped, scan.probeGuess, None, False)
    train = legacy.loader.load(lambda: (grouped, 0.7), scan.probeGuess, "train", True)
    test = legacy.loader.load(lambda: (grouped, 0.7), scan.probeGuess, which="test", create_split=True)
    assert isinstance(whole, PtychoDataContainer)
    assert (whole.n_groups, train.n_groups, test.n_groups) == (10, 7, 3)
    np.testing.assert_array_equal(np.concatenate([train.X, test.X]), whole.X)


def test_the_loader_keeps_objects_and_bad_pixels(scan: RawData) -> None:
    bad = np.zeros((32, 32), bool)
    bad[3, 4] = True
    two = replace(scan, scan_index=np.repeat([0, 7], 15).astype(np.int32), bad_pixels=bad)
    grouped = two.generate_grouped_data(32, K=6, nsamples=20, seed=0, gridsize=2)
    loaded = legacy.loader.load(lambda: grouped, scan.probeGuess, None, False)
    expected = two.scan_index[loaded.nn_indices]
    assert set(loaded.object_index.tolist()) == {0, 7}
    assert (expected == loaded.object_index[:, np.newaxis]).all()
    np.testing.assert_array_equal(loaded.scans[0].valid_pixels == 0, bad)
    assert (loaded.X[:, 3, 4] == 0).all()
    with pytest.raises(DataError, match=r"object_index has shape \(3,\)"):
        legacy.loader.load(lambda: {**grouped, "object_index": [0, 0, 0]}, scan.probeGuess, None, False)


def test_what_the_loader_cannot_use_is_refused(scan: RawData) -> None:
    grouped = scan.generate_grouped_data(32, nsamples=10, seed=0, gridsize=1)
    load = legacy.loader.load
    with pytest.raises(DataError, match=r"Groups are given as list; a dictionary with diffraction.*generate_grouped"):
        load(lambda: [1], scan.probeGuess, None, False)
    with pytest.raises(DataError, match=r"create_split = True, and the function returns no fraction"):
        load(lambda: grouped, scan.probeGuess, "train", True)
    with pytest.raises(ConfigError, match=r"which = 'val' is not one of 'train', 'test'"):
        load(lambda: (grouped, 0.5), scan.probeGuess, "val", True)
    with pytest.raises(ConfigError, match=r"A fraction of 1.5 of 10 groups leaves nothing to train or nothing to test"):
        load(lambda: (grouped, 1.5), scan.probeGuess, "train", True)


def test_groups_made_for_another_model_are_not_trained_on(scan: RawData, config: TrainingConfig) -> None:
    grouped = scan.generate_grouped_data(32, nsamples=10, seed=0, gridsize=1)
    params.restore(params.DEFAULTS)
    groups = legacy.loader.load(lambda: grouped, scan.probeGuess, None, False)
    with pytest.raises(DataError, match=r"2\.5 times as large for this model .*probe_scale = 4\)"):
        legacy.train_cdi_model(groups, None, config, execution=QUICK)
    legacy.update_legacy_dict(params.cfg, config)
    groups = legacy.loader.load(lambda: grouped, scan.probeGuess, None, False)
    assert legacy.train_cdi_model_torch(groups, None, config, execution=QUICK)["backend"] == "pytorch"


def test_models_are_kept_by_the_names_of_existing_scripts(trained: dict[str, Any], tmp_path: Path) -> None:
    model = trained["model"]
    assert model.backend_name == "pytorch"
    assert legacy.ModelManager.save(tmp_path / "a", model) == tmp_path / "a" / "wts.h5.zip"
    found = legacy.ModelManager.load_multiple_models(tmp_path / "a" / "wts.h5")
    assert list(found) == ["diffraction_to_obj"]
    assert last_model() is found["diffraction_to_obj"]
    assert legacy.ModelManager.save(tmp_path / "b").is_file()
    (tmp_path / "c").mkdir()
    written = legacy.save_torch_bundle({"diffraction_to_obj": model}, tmp_path / "c" / "wts.h5")
    assert written == tmp_path / "c" / "wts.h5.zip"
    for load in (legacy.load_torch_bundle, legacy.load_inference_bundle_torch):
        assert load(tmp_path / "c")[0].backend_name == "pytorch"
    with pytest.raises(ConfigError, match="model_names holds 'autoencoder'; an archive holds one network"):
        legacy.ModelManager.load_multiple_models(tmp_path / "a", ["autoencoder"])


def test_the_engine_predicts_and_stitches(trained: dict[str, Any], scan: RawData, tmp_path: Path) -> None:
    trained["model"].save(tmp_path / "wts.h5.zip")
    scan.to_file(tmp_path / "scan.npz")
    engine = legacy.InferenceEngine(tmp_path, backend="pytorch")
    assert engine.predict(tmp_path / "scan.npz").shape == (30, 32, 32, 1)
    stitched = engine.predict_and_stitch(scan, polish_steps=0)
    assert stitched.backend == "pytorch"


def test_run_cdi_example_torch_computes_with_pytorch(scan: RawData, config: TrainingConfig) -> None:
    _, _, found = legacy.run_cdi_example_torch(scan, None, config, execution=QUICK)
    assert found["backend"] == "pytorch"


def test_a_seed_is_that_of_the_next_training() -> None:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the generator the name seeds
    try:
        legacy.set_seed(7)
        first = random.random(), np.random.random()  # noqa: NPY002
        legacy.set_seed(7)
        assert (random.random(), np.random.random()) == first  # noqa: NPY002
        assert params.cfg["npseed"] == 7
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    with pytest.raises(ConfigError, match="seed = -1"):
        legacy.set_seed(-1)


def test_the_learning_rate_grows_with_the_root_of_the_devices() -> None:
    assert legacy.find_learning_rate(1e-3, 4, 16) == pytest.approx(2e-3)
    assert legacy.find_learning_rate(1e-3) == 1e-3
    with pytest.raises(ConfigError, match="n_devices = 0"):
        legacy.find_learning_rate(1e-3, 0)


def test_a_probe_is_written_into_params_cfg(scan: RawData) -> None:
    params.set("probe_scale", 4.0)
    probe = legacy.set_probe_guess(None, scan.probeGuess)
    groups = PtychoDataContainer.from_raw_data(scan, ModelConfig(N=32))
    np.testing.assert_allclose(probe, groups.probe, rtol=1e-5)
    np.testing.assert_array_equal(params.cfg["probe"], probe)
    with pytest.raises(ConfigError, match="probe_guess = None: no probe is made up from patterns"):
        legacy.set_probe_guess(scan.diff3d)
