"""A training of the plugin, in this process: what it is given, what it sends, what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ptychodus.api.settings import SettingsRegistry

from ptychodus_plugin.child import run_train
from ptychodus_plugin.configuration import train_payload
from ptychodus_plugin.messages import Chosen, FreeFits, Goal, ModelSaved
from ptychodus_plugin.product import raw_data_of
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.cli import main
from ptychopinn_backend.data.dataset import open_dataset
from tests.ptychodus.link import Link
from tests.ptychodus.scenes import make_input, write_batch_folder

QUICK = {"Backend": "pytorch", "Accelerator": "cpu", "NumFiltersScale": 1, "Preset": "custom"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with training data."""
    raw_data_of(make_input(step_px=16.0)[0]).to_file(tmp_path / "train_data.npz")
    return tmp_path


def trained(folder: Path, output: Path, **values: Any) -> list[Any]:
    settings = LibrarySettings(SettingsRegistry())
    for key, value in {**QUICK, **values}.items():
        for table in settings.tables:
            if key in table.group.parameters():
                table.parameter(key).set_value(value)
    link = Link(train_payload(settings, "pinn", folder, output))
    run_train(link)
    return link.messages


def test_scans_larger_than_part_of_the_memory_are_trained_on_from_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Scans on disk are not calibrated.
    options = {"NumEpochs": 2, "GridSize": 2, "Calibrate": "never"}
    trained(folder, folder / "memory", **options)
    monkeypatch.setattr("ptychopinn_backend.data.dataset.sources.MEMORY_PART", 1e-12)
    messages = trained(folder, folder / "disk", **options)
    assert messages[:2] == [Chosen("none", ""), Goal(2)]
    assert messages[-1] == ModelSaved(folder / "disk" / "model.zip")
    assert open_dataset(folder / "disk" / "dataset").n_patterns == raw_data_of(make_input(step_px=16.0)[0]).n_patterns
    memory, disk = (read_archive(folder / name / "model.zip") for name in ("memory", "disk"))
    assert disk.history == memory.history
    for name, array in memory.weights.items():
        np.testing.assert_array_equal(disk.weights[name], array, err_msg=name)


def test_the_command_line_repeats_what_the_window_trained(folder: Path) -> None:
    trained(folder, folder / "window", NumEpochs=1)
    plan = folder / "window" / "run.yaml"
    assert yaml.safe_load(plan.read_text())["run"]["scans"] == ["../train_data.npz"]
    assert main(["train", "--config", str(plan), "-o", str(folder / "again"), "--quiet"]) == 0
    window, again = read_archive(folder / "window" / "model.zip"), read_archive(folder / "again")
    for name, array in window.weights.items():
        np.testing.assert_array_equal(again.weights[name], array, err_msg=name)


def test_patterns_and_product_of_the_host_train_without_an_export(folder: Path, tmp_path: Path) -> None:
    """All that a batch run has, and all that is sent to another machine."""
    parameters, _ = make_input(step_px=16.0)
    pair = write_batch_folder(tmp_path / "pair", parameters, {})
    exported, direct = (trained(where, where / "out", NumEpochs=1) for where in (folder, pair))
    assert exported[-1].archive.is_file()
    ours, theirs = (read_archive(messages[-1].archive) for messages in (exported, direct))
    # Positions in metres become pixels with the last bits rounded otherwise.
    assert theirs.history["loss"] == pytest.approx(ours.history["loss"], rel=1e-4)
    plan = pair / "out" / "run.yaml"
    assert yaml.safe_load(plan.read_text())["run"]["scans"] == ["../diffraction.h5"]


def test_the_form_is_told_what_auto_became_and_why(folder: Path) -> None:
    # A stage of one epoch, which no preset decides, keeps the training short.
    raw_data_of(make_input(step_px=8.0)[0]).to_file(folder / "train_data.npz")
    messages = trained(folder, folder / "out", Preset="auto", NumFiltersScale=2, StageOneEpochs=1, Calibrate="never")
    chosen = messages[0]
    assert chosen.preset == "fast"
    assert "epochs of" in chosen.why
    fits = [message for message in messages if isinstance(message, FreeFits)][-1]
    assert fits.epochs == (1,)
    assert all(0 < value < 1.5 for value in fits.r_free)
