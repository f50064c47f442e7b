"""Names of generators, built in and from entry points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptychopinn_backend.config import ModelConfig, generators


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    metadata = tmp_path / "my_nets-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-nets\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[ptychopinn_backend.generators]\npytorch.my_net = my_nets:build\ntensorflow.my_net = my_nets:build_tf\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    generators._third_party.cache_clear()
    yield
    generators._third_party.cache_clear()


def test_cnn_is_offered_by_both_backends() -> None:
    assert generators.generator_names()[0] == "cnn"
    assert generators.backends_of("cnn") == ("tensorflow", "pytorch")


def test_unknown_generator_has_no_backend() -> None:
    assert generators.backends_of("nothing") == ()


def test_entry_points_add_generators(third_party: None) -> None:
    assert "my_net" in generators.generator_names()
    assert set(generators.backends_of("my_net")) == {"pytorch", "tensorflow"}
    assert ModelConfig(architecture="my_net").architecture == "my_net"
