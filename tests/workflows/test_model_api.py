"""`PtychoModel`: a few lines from NPZ to object, `params.cfg` untouched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import PtychoModel, params
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.dataset import open_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate
from ptychopinn_backend.errors import ConfigError, DataError
from ptychopinn_backend.factory import DEFAULT_BACKEND
from ptychopinn_backend.runs.planning import draft
from ptychopinn_backend.runs.request import RunRequest


def _model(**options: object) -> PtychoModel:
    return PtychoModel(N=32, n_filters_scale=1, backend="pytorch", **options)


def test_train_save_load_infer(scan_file: Path, tmp_path: Path) -> None:
    before = params.snapshot()
    model = _model().train(scan_file, nepochs=2, seed=1, accelerator="cpu")
    archive = model.save(tmp_path / "model")
    assert archive == tmp_path / "model"
    loaded = PtychoModel.load(archive)
    assert loaded.backend == "pytorch"
    assert loaded.history == model.history
    np.testing.assert_array_equal(loaded.infer(scan_file).object, model.infer(scan_file).object)
    patches = loaded.infer(scan_file, stitching=False)
    assert patches.shape == (48, 32, 32, 1)
    assert patches.dtype == np.complex64
    assert params.cfg == before


def test_a_folder_gets_the_archive_under_its_usual_name(scan: RawData, tmp_path: Path) -> None:
    model = _model().train(scan, nepochs=1)
    assert model.save(tmp_path) == tmp_path / "wts.h5.zip"


def test_the_same_seed_gives_the_same_weights(scan: RawData) -> None:
    first, second, other = (_model().train(scan, nepochs=1, seed=seed) for seed in (5, 5, 6))
    name = "encoder/stage0/conv0/kernel"
    weights = [model.trained.backend.dump_weights()[name] for model in (first, second, other)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_dose_and_groups_come_from_the_scan_unless_given(scan: RawData) -> None:
    model = _model().train(scan, nepochs=1)
    assert model.trained.training.nphotons == pytest.approx(scan.mean_photons)
    model.train(scan, nepochs=1, nphotons=7e4, n_groups=20)
    assert model.trained.training.nphotons == 7e4


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """Two scan files in a folder."""
    spec = SimulationConfig(size=32, patterns=24, photons=1e5)
    return [simulate(spec, seed).to_file(tmp_path / "scans" / f"{seed}.npz") for seed in (1, 2)]


def test_every_way_to_give_scans_trains_the_same_model(scans: list[Path], tmp_path: Path) -> None:
    options = {"nepochs": 2, "seed": 1, "accelerator": "cpu", "gridsize": 2}
    expected = _model().train([RawData.from_file(path) for path in scans], **options).history
    assert _model().train(scans, **options).history == expected
    assert _model().train(scans[0].parent, **options).history == expected
    assert _model().train([scans[0], RawData.from_file(scans[1])], **options).history == expected
    folder = tmp_path / "set"
    assert _model().train(scans, dataset=folder, **options).history == expected
    # A data set brings its gridsize along.
    del options["gridsize"]
    assert _model().train(folder, **options).history == expected
    assert _model().train(open_dataset(folder), **options).history == expected
    assert _model().train([], dataset=folder, **options).history == expected


def test_validation_by_other_scans(scans: list[Path], tmp_path: Path) -> None:
    options = {"nepochs": 1, "seed": 1, "accelerator": "cpu"}
    expected = _model().train(scans[0], validation=scans[1], **options).history
    stored = _model().train(scans[0], validation=[scans[1]], dataset=tmp_path / "set", **options)
    assert stored.history == expected
    assert (tmp_path / "set-validation" / "dataset.json").is_file()


def test_what_cannot_be_trained_on_is_refused(scans: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No scan was given"):
        _model().train([])
    with pytest.raises(DataError, match="Write it with to_file first"):
        _model().train([RawData.from_file(scans[0])], dataset=tmp_path / "set")
    model = _model().train(scans, dataset=tmp_path / "set", nepochs=1)
    with pytest.raises(DataError, match="Name its scans"):
        model.train(scans, validation=open_dataset(tmp_path / "set"))
    with pytest.raises(DataError, match="is a data set made from scans"):
        model.train(scans, validation=tmp_path / "set")


def test_large_scans_go_to_disk_where_a_folder_is_named(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ptychopinn_backend.data.dataset.sources.MEMORY_PART", 1e-12)
    _model().train(scans, nepochs=1, checkpoint_folder=tmp_path / "run")
    assert open_dataset(tmp_path / "run" / "dataset").n_patterns == 48
    _model().train(scans, nepochs=1)
    assert "Name a folder for a data set on disk" in caplog.text


def test_several_objects_of_a_file_are_reconstructed_one_by_one(scan: RawData) -> None:
    model = _model().train(scan, nepochs=1)
    halves = replace(scan, scan_index=np.repeat(np.int32([2, 5]), 24))
    with pytest.raises(DataError, match=r"shows 2 objects \(scan_index 2, 5\).*by_object"):
        model.infer(halves)
    parts = halves.by_object()
    assert list(parts) == [2, 5]
    assert model.infer(parts[5]).info["n_patterns"] == 24
    assert scan.by_object() == {0: scan}


def test_execution_given_as_object_yields_to_named_options(scan: RawData) -> None:
    model = _model().train(scan, nepochs=1, execution=ExecutionConfig(learning_rate=1e-2, seed=9), seed=4)
    execution = model.trained.backend.setup.execution
    assert (execution.learning_rate, execution.seed) == (1e-2, 4)


def test_python_has_the_default_backend_of_the_command_line() -> None:
    assert PtychoModel(N=32).backend == DEFAULT_BACKEND == draft(RunRequest(())).training.backend


def test_an_untrained_model_says_so(scan: RawData) -> None:
    with pytest.raises(ConfigError, match="holds no weights yet"):
        _model().infer(scan)


@pytest.mark.parametrize(("option", "nearest"), [("gridsze", "gridsize"), ("probe_bigg", "probe_big")])
def test_an_unknown_option_names_the_nearest(option: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"'{option}'.*Did you mean '{nearest}'"):
        PtychoModel(**{option: 1})


def test_an_unknown_training_option_names_the_nearest(scan: RawData) -> None:
    with pytest.raises(ConfigError, match=r"'nepoch'.*Did you mean 'nepochs'"):
        _model().train(scan, nepoch=3)


def test_pytorch_model_never_imports_tensorflow(scan_file: Path) -> None:
    code = (
        "import sys; from ptychopinn_backend import PtychoModel;"
        "m = PtychoModel(N=32, n_filters_scale=1, backend='pytorch').train(sys.argv[1], nepochs=1);"
        "m.infer(sys.argv[1]);"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(scan_file)], check=True, timeout=300)


def test_the_plan_says_who_chose_the_backend(scan: RawData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTYCHOPINN_BACKEND", "pytorch")
    model = PtychoModel(N=32, n_filters_scale=1).train(scan, nepochs=1, accelerator="cpu")
    assert model.plan is not None
    assert "PTYCHOPINN_BACKEND" in model.plan.decision("backend").by
    model = _model().train(scan, nepochs=1, accelerator="cpu")
    assert model.plan is not None
    assert model.plan.decision("backend").by == "the argument"


def test_a_preset_of_train_replaces_that_of_the_constructor(scan: RawData) -> None:
    model = PtychoModel(N=32, preset="fine", backend="pytorch")
    model.train(scan, preset="legacy", nepochs=1, n_filters_scale=1, accelerator="cpu")
    assert model.plan is not None
    assert model.plan.preset.startswith("legacy")
    assert model.plan.decision("preset").by == "train"


def test_calibration_asked_of_train_is_done(scan: RawData) -> None:
    model = _model().train(scan, calibrate="auto", nepochs=1, accelerator="cpu")
    assert model.plan is not None
    assert model.plan.inputs.calibrate == "auto"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"backend": "pytorch"}, r"backend = 'pytorch' is an argument of PtychoModel, not of train"),
        ({"n_objects": 3}, r"n_objects = 3 has no effect on train\. Leave n_objects out"),
    ],
)
def test_options_that_train_cannot_follow_are_refused(scan: RawData, option: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        _model().train(scan, **option)


def test_the_folder_of_checkpoints_has_the_plan(scan_file: Path, tmp_path: Path) -> None:
    _model().train(scan_file, nepochs=1, accelerator="cpu", checkpoint_folder=tmp_path)
    assert "nepochs: 1" in (tmp_path / "run.yaml").read_text()
