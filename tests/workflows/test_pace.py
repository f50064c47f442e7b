"""`minutes`: a training that keeps to a time, and a plan that repeats it without measuring."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest
import yaml

from ptychopinn_backend.cli import main
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.runs.pace import fitted_to_visits, within_minutes
from ptychopinn_backend.runs.planning import PreparedRun, prepare
from ptychopinn_backend.runs.request import Layer, RunRequest, asked_options
from ptychopinn_backend.runs.scan_input import scan_input

SMALL = {
    "architecture": "cnn",
    "n_filters_scale": 1,
    "accelerator": "cpu",
    "batch_size": 4,
}


def planned(scan: RawData, backend: str = "pytorch", **options: object) -> PreparedRun:
    given, inputs, givers = asked_options([Layer("command line", {**SMALL, **options})])
    return prepare(RunRequest(given, inputs, givers=givers, backend=backend), scan_input([scan]))


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_epochs_are_as_many_as_fit(scan: RawData, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ptychopinn_backend.runs.pace")
    shorter = within_minutes(planned(scan, backend, minutes=10, nepochs=10**7), perf_counter()).plan
    assert 1 <= shorter.training.nepochs < 10**7
    assert shorter.decision("nepochs").by == "minutes"
    assert shorter.decision("nepochs").why.startswith("10 minutes, ")
    # A run made of this plan does not measure again.
    assert shorter.inputs.minutes is None
    assert f"Plan of this run, within 10 minutes:\n{shorter.table()}" in caplog.text


def test_a_run_that_fits_stays_as_it_is(scan: RawData) -> None:
    run = planned(scan, minutes=600, nepochs=2, lr_warmup_epochs=0)
    assert within_minutes(run, perf_counter()).plan.training == run.plan.training
    without = planned(scan)
    assert within_minutes(without, perf_counter()) is without


def test_warmup_shrinks_with_the_epochs_and_epochs_at_last() -> None:
    training = TrainingConfig(nepochs=100, scheduler="WarmupCosine", lr_warmup_epochs=10)
    fewer = fitted_to_visits(training, 40, 1000)
    assert (fewer.nepochs, fewer.lr_warmup_epochs, fewer.groups_per_epoch) == (25, 2, None)
    least = fitted_to_visits(training, 40, 30)
    assert (least.nepochs, least.lr_warmup_epochs, least.groups_per_epoch) == (1, 0, 30)
    assert fitted_to_visits(training, 40, 4000) is training
    staged = TrainingConfig(stage_1_epochs=2, stage_2_epochs=2, stage_3_epochs=2)
    with pytest.raises(ConfigError, match=r"allow 100 groups, and the stages of this training visit 240\. Give more"):
        fitted_to_visits(staged, 40, 100)


def test_no_time_is_refused(scan: RawData) -> None:
    with pytest.raises(ConfigError, match=r"minutes = 0\.01 is over before the first step.* Give more minutes\."):
        within_minutes(planned(scan, minutes=0.01), perf_counter() - 1)
    with pytest.raises(ConfigError, match="minutes = 0 must be"):
        InputConfig(minutes=0)


def test_several_processes_are_refused(scan: RawData) -> None:
    run = planned(scan, minutes=1, devices=2, strategy="ddp")
    with pytest.raises(ConfigError, match="is for a training in one process"):
        within_minutes(run, perf_counter())


def test_the_plan_of_a_command_holds_epochs_and_no_minutes(
    scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(scan_file), "-o", str(tmp_path), "--backend", "pytorch", "--accelerator", "cpu"]
    words += ["--architecture", "cnn", "--filters-scale", "1", "--epochs", "2", "--minutes", "600"]
    assert main([*words, "--calibrate", "never"]) == 0
    written = yaml.safe_load((tmp_path / "run.yaml").read_text())
    assert written["training"]["nepochs"] == 2
    assert "minutes" not in written["run"]
    assert "An epoch takes" in capsys.readouterr().err
