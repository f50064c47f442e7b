"""Which devices a computation sees is a setting; numbers count among those the host itself sees."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptychodus_plugin.devices import find_devices, known_devices, visible_environment
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.factory import backend_class


@pytest.mark.parametrize(
    ("value", "outer", "expected"),
    [
        ("all", {"CUDA_VISIBLE_DEVICES": "3"}, {}),
        ("1", {}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ("0, 2", {}, {"CUDA_VISIBLE_DEVICES": "0,2"}),
        ("1", {"CUDA_VISIBLE_DEVICES": "2,5"}, {"CUDA_VISIBLE_DEVICES": "5"}),
        ("0", {"CUDA_VISIBLE_DEVICES": "GPU-8f2a"}, {"CUDA_VISIBLE_DEVICES": "GPU-8f2a"}),
    ],
)
def test_what_a_child_is_told(value: str, outer: dict[str, str], expected: dict[str, str]) -> None:
    assert visible_environment(value, outer) == expected


def test_a_device_the_host_does_not_see_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"started with CUDA_VISIBLE_DEVICES = 2,5, 2 of them\. Name devices below 2"):
        visible_environment("2", {"CUDA_VISIBLE_DEVICES": "2,5"})


@pytest.mark.parametrize("shown", ["", " ", "-1", "-1,0"])
def test_devices_that_are_hidden_stay_hidden(shown: str) -> None:
    outer = {"CUDA_VISIBLE_DEVICES": shown}
    with pytest.raises(ConfigError, match=r"which hides every device\. Set VisibleDevices to all to"):
        visible_environment("0", outer)
    assert visible_environment("all", outer) == {}
    assert visible_environment("0", {"CUDA_VISIBLE_DEVICES": "2,-1,3"}) == {"CUDA_VISIBLE_DEVICES": "2"}


def test_words_are_no_devices() -> None:
    with pytest.raises(ConfigError, match=r"VisibleDevices = 'fast' names no devices\. Set it to all"):
        visible_environment("fast", {})


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_every_backend_names_its_devices(backend: str) -> None:
    names = backend_class(backend).device_names()
    assert all(isinstance(name, str) and name for name in names)


def test_a_framework_that_does_not_answer_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        find_devices("onnx", longest_s=0.0)
    assert known_devices("onnx") == ()
    assert "it did not name them within 0 s" in caplog.text
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_driver_that_hangs_does_not_keep_the_host_from_ending(run_python: Callable[..., Any]) -> None:
    done = run_python(
        """
import multiprocessing, os, signal, threading, time
from ptychodus_plugin.devices import find_devices

if __name__ == "__main__":
    threading.Thread(target=find_devices, args=("pytorch",), daemon=True).start()
    while not multiprocessing.active_children():
        time.sleep(0.01)
    child = multiprocessing.active_children()[0].pid
    os.kill(child, signal.SIGSTOP)
    print(child)
""",
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert not Path(f"/proc/{int(done.stdout)}").exists()
