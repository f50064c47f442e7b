"""An unmodified Ptychodus finds the plugin, and is left alone where it is not supported."""

from __future__ import annotations

from importlib.util import find_spec

FRAMEWORKS = "torch lightning tensorflow keras"

LIST_ALGORITHMS = f"""
import sys
from ptychodus.model import ModelCore
model = ModelCore()
print(*model.processing_core.processing_api.available_reconstructors())
print("imported:", *[name for name in "{FRAMEWORKS} PyQt5".split() if name in sys.modules])
"""


def test_ptychodus_finds_the_plugin_without_being_told() -> None:
    assert find_spec("ptychodus.plugins.ptychopinn_backend") is not None, "install the project: pip install -e ."


def test_host_offers_both_reconstructors_and_imports_no_framework(run_python) -> None:
    done = run_python(LIST_ALGORITHMS)
    assert done.returncode == 0, done.stderr
    algorithms, imported = done.stdout.splitlines()[-2:]
    assert {"ptychopinn_pinn", "ptychopinn_supervised"} <= set(algorithms.split())
    assert imported == "imported:"


def test_unsupported_version_gets_one_warning_and_is_left_alone(run_python) -> None:
    done = run_python(
        """
import importlib.metadata
true_version = importlib.metadata.version
importlib.metadata.version = lambda name: "1.8.0" if name == "ptychodus" else true_version(name)
import ptychodus.model.core as core
own = core.PtychoPINNReconstructorLibrary
core.ModelCore()
core.ModelCore()
assert core.PtychoPINNReconstructorLibrary is own
"""
    )
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stdout.splitlines() if "ptychopinn-backend supports" in line]
    assert len(warnings) == 1
    assert ">=1.7,<1.8" in warnings[0]
    assert "1.8.0 is left unchanged" in warnings[0]


def test_missing_name_in_the_host_is_logged_and_the_host_goes_on(run_python) -> None:
    done = run_python(
        """
import types
from ptychodus_plugin.install import LIBRARY_MODULE, LIBRARY_NAME, _replace
_replace(types.ModuleType(LIBRARY_MODULE), LIBRARY_NAME, "ptychodus_plugin.library", "PtychoPINNLibrary")
print("went on")
"""
    )
    assert done.returncode == 0, done.stderr
    assert "ptychodus.model.core has no PtychoPINNReconstructorLibrary" in done.stderr
    assert done.stdout.strip() == "went on"


def test_installing_twice_is_installing_once(run_python) -> None:
    done = run_python(
        """
import ptychodus.model.core as core
from ptychodus_plugin.install import install
from ptychodus_plugin.library import PtychoPINNLibrary
assert install() and install()
assert core.PtychoPINNReconstructorLibrary is PtychoPINNLibrary
"""
    )
    assert done.returncode == 0, done.stderr
