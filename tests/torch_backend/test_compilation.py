"""The compiled network cannot be had everywhere; what it computes is compared in tests/parity."""

from __future__ import annotations

import pytest

from ptychopinn_backend.errors import ConfigError
from tests.contract.builders import backend_for, source_for


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    words = r"compile_model = True needs a C\+\+ compiler on the CPU, and 'no-such-compiler' is not found\. Install one"
    with pytest.raises(ConfigError, match=words):
        backend_for("pytorch", source_for({}), compile_model=True)
