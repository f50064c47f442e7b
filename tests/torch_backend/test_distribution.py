"""Training in several processes from Python: options that need care there, failures, callbacks, and fsdp."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError, DataError, UnsupportedOptionError
from ptychopinn_backend.groups import GroupBatch
from ptychopinn_backend.seam.interface import BackendSetup, EpochReport
from ptychopinn_backend.torch_backend import devices, distribution, strategy
from tests.contract.array_source import ArraySource
from tests.contract.builders import backend_for, source_for, split_options

SPAWNED: dict[str, Any] = {"strategy": "ddp_spawn", "devices": 2, "batch_size": 2}


@dataclass
class FailingSource(ArraySource):
    """Groups of which one cannot be read; it must be a class of this module to reach other processes."""

    def batch(self, indices: Any) -> GroupBatch:
        if 5 in np.asarray(indices):
            raise DataError("Group 5 cannot be read. Copy the file again.")
        return super().batch(indices)


@pytest.mark.slow
def test_a_frozen_encoder_stages_and_a_probe_that_is_not_lit() -> None:
    options: dict[str, Any] = {
        "optimizer": "sgd",
        "learning_rate": 1e-5,
        "probe_trainable": True,
        "epochs_fine_tune": 1,
        "stage_1_epochs": 1,
        "stage_2_epochs": 0,
        "stage_3_epochs": 1,
        "nepochs": 2,
    }
    # Nine groups in batches of four: in the last one the second process has a group that does not count.
    source = source_for({}, n_groups=9)
    together = backend_for("pytorch", source, **SPAWNED, **options)
    start = together.dump_weights()
    result = together.fit(source)
    alone = backend_for("pytorch", source, batch_size=4, **{**options, "learning_rate": 1e-5 * 2**0.5})
    expected = alone.fit(source)
    for name, values in expected.history.items():
        assert result.history[name] == pytest.approx(values, rel=1e-5), name
    # Another order of float32 sums changes about one part in 10^5 of the way the weights have gone; a group that counts
    # too often in the last batch changes a tenth.
    weights, found = alone.dump_weights(), together.dump_weights()
    way, difference = (
        np.sqrt(sum(np.sum(np.abs(weights[name] - other[name]) ** 2) for name in weights)) for other in (start, found)
    )
    assert difference < 5e-4 * way


@pytest.mark.slow
def test_an_error_in_one_process_arrives_as_it_is() -> None:
    good = source_for({}, n_groups=8)
    source = FailingSource(**vars(good))
    with pytest.raises(DataError, match=r"^Group 5 cannot be read\. Copy the file again\.$"):
        backend_for("pytorch", source, **SPAWNED).fit(source)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_callback_stops_or_ends_the_processes() -> None:
    source = source_for({}, n_groups=8)
    seen: list[int] = []

    def stop_after_two(report: EpochReport) -> bool:
        seen.append(report.epoch)
        return report.epoch == 2

    result = backend_for("pytorch", source, nepochs=50, **SPAWNED).fit(source, on_epoch=stop_after_two)
    assert seen == [1, 2]
    assert result.stop_reason == "stopped on request"

    def interrupt(report: EpochReport) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend_for("pytorch", source, nepochs=50, **SPAWNED).fit(source, on_epoch=interrupt)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_refused_at_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.contract.builders import backend_for, source_for\n"
        "source = source_for({}, n_groups=4)\n"
        "backend_for('pytorch', source, strategy='ddp_spawn', devices=2, batch_size=2).fit(source)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=400, env=environment, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "ConfigError: A computing process runs this script from its beginning" in done.stderr
    assert "Put the line if __name__ == '__main__': above the script's calls." in done.stderr


def _setup(**options: Any) -> BackendSetup:
    model, training, execution = split_options(options)
    return BackendSetup(model, training, execution, 100.0, source_for({}, n_groups=2).probes)


def test_a_single_process_is_never_spread() -> None:
    setup = _setup(strategy="ddp")
    assert strategy.build_strategy(setup, torch.device("cpu")) == "auto"
    assert not distribution.must_spawn(setup)


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.process_count(ExecutionConfig(accelerator="cuda", devices="auto")) == 2
    with pytest.raises(ConfigError, match=r"devices = 3, but PyTorch sees 2 cuda device"):
        devices.process_count(ExecutionConfig(accelerator="cuda", devices=3))


def test_all_devices_of_a_cpu_are_one() -> None:
    assert devices.process_count(ExecutionConfig(accelerator="cpu", devices="auto")) == 1


@pytest.mark.parametrize("option", [{"gradient_clip_val": 1.0}, {"precision": "bf16-mixed"}, {"epochs_fine_tune": 1}])
def test_fsdp_refuses_what_needs_whole_weights(option: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    setup = _setup(strategy="fsdp", accelerator="cuda", devices=2, **option)
    with pytest.raises(UnsupportedOptionError, match=f"{next(iter(option))} = .* is not offered with strategy 'fsdp'"):
        strategy.build_strategy(setup, torch.device("cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="fsdp needs a CUDA device")
def test_fsdp_trains_what_one_device_trains() -> None:
    source = source_for({}, n_groups=8)
    options: dict[str, Any] = {"accelerator": "cuda", "optimizer": "sgd", "learning_rate": 1e-5}
    split = backend_for("pytorch", source, strategy="fsdp", **options)
    result = split.fit(source, source)
    alone = backend_for("pytorch", source, **options)
    expected = alone.fit(source, source)
    for name, values in expected.history.items():
        assert result.history[name] == pytest.approx(values, rel=1e-5), name
    weights = alone.dump_weights()
    for name, array in split.dump_weights().items():
        np.testing.assert_allclose(array, weights[name], atol=1e-5, err_msg=name)
