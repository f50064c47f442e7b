"""A computing process that the command `ptychodus` starts imports the host's API, and neither program nor model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from ptychodus_plugin.host_program import name_host_program
from ptychopinn_backend.seam.child_process import ParentLink

Run = Callable[..., subprocess.CompletedProcess[str]]

# As pip writes it.
COMMAND = """
import json
import sys
from ptychodus.__main__ import main
if __name__ == '__main__':
    from ptychodus.api.settings import SettingsRegistry
    from ptychodus_plugin.library import PtychoPINNLibrary
    from ptychopinn_backend.seam.child_process import ChildProcess
    from tests.ptychodus.test_child_imports import tell_imported
    PtychoPINNLibrary(SettingsRegistry(), False)
    print(json.dumps(list(ChildProcess(tell_imported).messages())))
"""


def tell_imported(parent: ParentLink) -> None:
    """Get ready to compute, and send which packages of the host that took."""
    import ptychodus_plugin.child  # noqa: F401 - looked at

    parent.put(sorted({name for name in sys.modules if name.startswith("ptychodus.")}))


def test_it_imports_the_api_alone(run_python: Run) -> None:
    done = run_python(COMMAND)
    assert done.returncode == 0, done.stderr
    (imported,) = json.loads(done.stdout.splitlines()[-1])
    assert "ptychodus.api.reconstruct" in imported
    assert [name for name in imported if not name.startswith(("ptychodus.api", "ptychodus.plugins"))] == []


def test_another_program_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import ptychodus.__main__  # noqa: F401 - another one's main is not the host's

    program = ModuleType("__main__")
    program.main = name_host_program  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", program)
    name_host_program()
    assert program.__spec__ is None
