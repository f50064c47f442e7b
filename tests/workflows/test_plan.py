"""The plan of a run: who wins, what is said of it, and the file that repeats it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ptychopinn_backend import PtychoModel
from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.factory import backend_class
from ptychopinn_backend.runs.plan import RunPlan
from ptychopinn_backend.runs.planning import draft, prepare
from ptychopinn_backend.runs.request import Layer, RunRequest, asked_options, request_of_command
from ptychopinn_backend.runs.scan_input import scan_input
from ptychopinn_backend.seam.processor import multiplies_bfloat16

QUICK = ("--backend", "pytorch", "--accelerator", "cpu", "--quiet")


@pytest.fixture(scope="module")
def archive(scan_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the scan with two maps fewer than usual."""
    model = PtychoModel("backprojection_unet", N=32, gridsize=2, n_filters_scale=1, backend="pytorch")
    model.train(scan_file, nepochs=1, seed=1, accelerator="cpu")
    return model.save(tmp_path_factory.mktemp("archive") / "first.zip")


def plan_of(scan: RawData, *layers: Layer, **request: Any) -> RunPlan:
    given, inputs, givers = asked_options(layers)
    inputs = request.pop("inputs", inputs)
    return prepare(RunRequest(given, inputs, givers=givers, **request), scan_input([scan])).plan


def test_the_strongest_giver_wins(scan: RawData, archive: Path) -> None:
    plan = plan_of(
        scan,
        Layer("command line", {"nepochs": 3}),
        Layer("file", {"nepochs": 4, "batch_size": 4}),
        inputs=InputConfig(preset="fast", init=archive),
        settings=Layer("settings", {"batch_size": 32, "n_filters_scale": 3, "optimizer": "sgd", "momentum": 0.5}),
        backend="pytorch",
    )
    found = {name: (plan.decision(name).value, plan.decision(name).by) for name in (
        "nepochs", "batch_size", "n_filters_scale", "optimizer", "scheduler", "N", "momentum", "seed",
        "backend",
    )}  # fmt: skip
    assert found == {
        "nepochs": (3, "command line"),
        "batch_size": (4, "file"),
        "n_filters_scale": (1, "archive first.zip"),
        "optimizer": ("adamw", "preset fast"),
        "scheduler": ("WarmupCosine", "preset fast"),
        "N": (32, "scan"),
        "momentum": (0.5, "settings"),
        "seed": (42, "default"),
        "backend": ("pytorch", "the argument"),
    }
    for decision in plan.decisions:
        owners = (plan.training.model, plan.training, plan.execution)
        values = [getattr(owner, decision.name) for owner in owners if hasattr(owner, decision.name)]
        assert decision.value in values or decision.name in ("n_groups", "init", "preset")


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_a_preset_computes_in_bfloat16_where_the_device_gains_by_it(scan: RawData, backend: str) -> None:
    plan = plan_of(scan, inputs=InputConfig(preset="fast"), backend=backend)
    gains = backend_class(backend).gains_by_bfloat16(ExecutionConfig())
    assert plan.execution.precision == ("bf16-mixed" if gains else "32-true")
    assert plan.decision("precision").by == ("device" if gains else "default")
    named = Layer("command line", {"precision": "32-true"})
    assert plan_of(scan, named, inputs=InputConfig(preset="fast"), backend=backend).execution.precision == "32-true"
    for other in (InputConfig(preset="legacy"), InputConfig()):
        assert plan_of(scan, inputs=other, backend=backend).execution.precision == "32-true"


def test_a_processor_says_whether_it_multiplies_bfloat16(tmp_path: Path) -> None:
    for flags, expected in (("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)):
        description = tmp_path / flags.replace(" ", "-")
        description.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 1\n")
        assert multiplies_bfloat16(description) is expected
    assert not multiplies_bfloat16(tmp_path / "missing")


def test_the_dose_and_the_neighbours_follow_the_scan_unless_named(scan: RawData) -> None:
    plan = plan_of(scan, Layer("file", {"gridsize": 3}))
    assert plan.training.nphotons == scan.mean_photons
    assert plan.decision("nphotons").by == "scan"
    assert plan.training.neighbor_count == 9
    assert plan.every_point
    plan = plan_of(scan, Layer("file", {"nphotons": 7e4, "neighbor_count": 5, "n_groups": 20}))
    assert (plan.training.nphotons, plan.training.neighbor_count, plan.training.n_groups) == (7e4, 5, 20)
    assert not plan.every_point


def test_a_program_with_a_value_for_everything_may_have_too_few_neighbours(scan: RawData) -> None:
    plan = plan_of(scan, settings=Layer("settings", {"gridsize": 3, "neighbor_count": 7}))
    assert plan.training.neighbor_count == 9


def test_the_older_name_of_the_groups_counts_as_well(scan: RawData) -> None:
    with pytest.warns(DeprecationWarning, match="use n_groups instead"):
        plan = plan_of(scan, Layer("file", {"n_images": 12}))
    assert (plan.training.n_groups, plan.every_point) == (12, False)


def test_stages_have_epochs_of_their_own_whatever_the_preset_says(scan: RawData) -> None:
    inputs = InputConfig(preset="fast")
    plan = plan_of(scan, Layer("file", {"stage_1_epochs": 2, "stage_3_epochs": 3}), inputs=inputs)
    assert plan.training.nepochs == 5
    plan = plan_of(scan, Layer("file", {"stage_3_lr_factor": 0.2, "stage_1_epochs": 0}), inputs=inputs)
    assert plan.training.nepochs == 16
    settings = Layer("settings", {"stage_1_epochs": 1, "stage_2_epochs": 3, "nepochs": 7})
    assert plan_of(scan, inputs=inputs, settings=settings).training.nepochs == 4


def test_the_default_preset_yields_to_a_named_architecture(scan: RawData) -> None:
    assert plan_of(scan, default_preset="auto").preset.startswith("fast (48 patterns, probe")
    assert plan_of(scan, Layer("file", {"architecture": "cnn"}), default_preset="auto").preset == "none"


def test_a_draft_needs_no_scan() -> None:
    request = RunRequest((Layer("file", {"devices": 2}),), InputConfig(preset="auto"), backend="pytorch")
    found = draft(request)
    assert (found.execution.devices, found.training.backend) == (2, "pytorch")
    assert (found.training.model.architecture, found.training.neighbor_count) == ("backprojection_unet", 9)


def test_the_table_says_who_decided(scan: RawData) -> None:
    plan = plan_of(scan, Layer("command line", {"nepochs": 3}), Layer("file", {"preset": "fast"}))
    lines = plan.table().splitlines()
    assert lines[0].split() == ["preset", "fast", "file"]
    assert "nepochs                    3                    command line" in lines
    assert any(line.startswith("nphotons") and line.endswith("scan: mean of a pattern") for line in lines)
    assert lines[-1] == f"{sum(item.by == 'default' for item in plan.decisions)} further options have their defaults."
    assert len(plan.table(defaults=True).splitlines()) == len(plan.decisions)


def test_the_length_of_an_epoch_with_split_photons_is_in_the_plan(scan: RawData) -> None:
    split = {"target_photon_fraction": 0.2, "validation_fraction": 0.25, "held_out_fraction": 0.0}
    run = prepare(RunRequest((Layer("file", split),)), scan_input([scan]))
    decision = run.plan.decision("groups_per_epoch")
    assert run.plan.training.groups_per_epoch == decision.value == run.training.n_groups < len(scan.diff3d)
    assert decision.by == "target_photon_fraction"
    assert f"  groups_per_epoch: {decision.value}  # target_photon_fraction: " in run.plan.as_yaml(Path())
    named = plan_of(scan, Layer("file", split | {"groups_per_epoch": 5}))
    assert (named.training.groups_per_epoch, named.decision("groups_per_epoch").by) == (5, "file")
    assert plan_of(scan, Layer("file", {"target_photon_fraction": 0.0})).training.groups_per_epoch is None


def test_verbose_prints_the_plan(scan_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["train", str(scan_file), "-o", str(tmp_path), *QUICK, "--epochs", "1", "--architecture", "cnn"]
    assert main(["-v", *words]) == 0
    table = next(text for text in caplog.messages if text.startswith("Plan of this run:"))
    assert "architecture  cnn                         command line\n" in table


def test_run_yaml_repeats_the_run_bit_for_bit(scan_file: Path, archive: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    words = ["--init", str(archive), "--epochs", "2", "--seed", "5", "--set", "validation_fraction=0.2"]
    assert main(["train", str(scan_file), "-o", str(first), *QUICK, *words]) == 0
    assert main(["train", "--config", str(first / "run.yaml"), "-o", str(again), "--quiet"]) == 0
    one, other = read_archive(first), read_archive(again)
    assert one.history == other.history
    for name, array in one.weights.items():
        np.testing.assert_array_equal(other.weights[name], array, err_msg=name)
    plans = [yaml.safe_load((folder / "run.yaml").read_text()) for folder in (first, again)]
    assert plans[0] == plans[1]
    assert str(tmp_path) not in (first / "run.yaml").read_text()


def test_a_training_that_ends_at_its_start_has_its_plan(scan_file: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "checkpoints" / "last.npz"
    foreign.parent.mkdir()
    foreign.touch()
    words = ["--backend", "pytorch", "--epochs", "7", "--resume"]
    assert main(["train", str(scan_file), "-o", str(tmp_path), *QUICK, *words]) != 0
    assert not (tmp_path / "wts.h5.zip").exists()
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["training"]["nepochs"] == 7


def test_a_plan_that_did_not_change_is_not_written_again(scan: RawData, tmp_path: Path) -> None:
    plan = PtychoModel(N=32, n_filters_scale=1, backend="pytorch").train(scan, nepochs=1, n_groups=8).plan
    assert plan is not None
    path = plan.write(tmp_path)
    os.utime(path, (0, 0))
    plan.write(tmp_path)
    assert path.stat().st_mtime == 0
    path.write_text("another")
    plan.write(tmp_path)
    assert path.read_text() == plan.as_yaml(tmp_path)


def test_the_plan_of_arrays_names_no_scan(scan: RawData, tmp_path: Path) -> None:
    model = PtychoModel(N=32, n_filters_scale=1, backend="pytorch").train(scan, nepochs=1, n_groups=8)
    model.save(tmp_path)
    written = yaml.safe_load((tmp_path / "run.yaml").read_text())
    assert "scans" not in written["run"]
    assert written["training"]["n_groups"] == 8
    assert model.plan is not None
    assert model.plan.decision("nepochs").by == "train"


def test_files_of_yaml_are_trained_and_validated_on(scan_file: Path, tmp_path: Path) -> None:
    options = f"train_data_file: {scan_file}\ntest_data_file: {scan_file}\noutput_dir: model\n"
    (tmp_path / "asked.yaml").write_text(options)
    words = ["--epochs", "1", "--architecture", "cnn", "--filters-scale", "1"]
    assert main(["train", "--config", str(tmp_path / "asked.yaml"), *QUICK, *words]) == 0
    assert "val_loss" in read_archive(tmp_path / "model").history


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train_data_file: absent.npz\n", r"absent.npz does not exist"),
        ("test_data_file: absent.npz\ntrain_data_file: SCAN\n", r"absent.npz does not exist"),
        ("train_data_file: a.npz\nrun: {scans: [b.npz]}\n", r"train_data_file = '.*a\.npz' and scans = .* Keep one\."),
        ("run: {command: pretrain}\n", r"is the plan of 'ptychopinn pretrain', and this is 'ptychopinn train'"),
        ("n_objects: 3\n", r"n_objects = '3' has no effect on 'ptychopinn train'\. Leave n_objects out\."),
        ("run: {scan: a.npz}\n", r"'scan' is not a configuration key in section 'run'\. Did you mean 'scans'\?"),
        ("measurement: photons\n", r"measurement = 'photons' is not one of 'counts', 'amplitudes'"),
        ("scans: 3\n", r"scans = 3 must be a path"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(
    text: str, words: str, scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "asked.yaml").write_text(text.replace("SCAN", str(scan_file)))
    assert main(["train", "--config", str(tmp_path / "asked.yaml"), "-o", str(tmp_path / "model"), *QUICK]) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "model" / "wts.h5.zip").exists()


def test_scans_of_the_command_line_replace_those_of_the_file_and_their_data_set(tmp_path: Path) -> None:
    (tmp_path / "asked.yaml").write_text("run: {scans: [a.npz], dataset: set, preset: fine}\noutput_dir: out\n")
    asked = request_of_command("train", tmp_path / "asked.yaml", {})
    assert asked.inputs == InputConfig(scans=(tmp_path / "a.npz",), dataset=tmp_path / "set", preset="fine")
    assert asked.output == tmp_path / "out"
    asked = request_of_command("train", tmp_path / "asked.yaml", {"scans": (Path("b.npz"),)}, output=tmp_path)
    assert asked.inputs == InputConfig(scans=(Path("b.npz"),), preset="fine")


def test_scans_are_given_to_train_once(scan: RawData) -> None:
    with pytest.raises(ConfigError, match=r"first argument of train, and 'a\.npz' is given too"):
        PtychoModel(N=32, backend="pytorch").train(scan, train_data_file="a.npz")
