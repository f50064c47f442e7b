"""Which devices a computation sees is a setting; numbers count among those the host itself sees."""

from __future__ import annotations

import pytest

from ptychodus_plugin.devices import visible_environment
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


def test_words_are_no_devices() -> None:
    with pytest.raises(ConfigError, match=r"VisibleDevices = 'fast' names no devices\. Set it to all"):
        visible_environment("fast", {})


@pytest.mark.parametrize("backend", ["pytorch", "tensorflow"])
def test_every_backend_names_its_devices(backend: str) -> None:
    names = backend_class(backend).device_names()
    assert all(isinstance(name, str) and name for name in names)
