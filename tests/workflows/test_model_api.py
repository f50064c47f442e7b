"""`PtychoModel`: a few lines from NPZ to object, `params.cfg` untouched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend import PtychoModel, params
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.execution import ExecutionConfig


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


def test_execution_given_as_object_yields_to_named_options(scan: RawData) -> None:
    model = _model().train(scan, nepochs=1, execution=ExecutionConfig(learning_rate=1e-2, seed=9), seed=4)
    execution = model.trained.backend.setup.execution
    assert (execution.learning_rate, execution.seed) == (1e-2, 4)


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
