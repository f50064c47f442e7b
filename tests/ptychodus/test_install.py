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
    import ptychodus_plugin.discovery  # noqa: F401 - what the .pth file of an installation does

    assert find_spec("ptychodus.plugins.ptychopinn_backend") is not None


def test_host_offers_both_reconstructors_and_imports_no_framework(run_python) -> None:
    done = run_python(LIST_ALGORITHMS)
    assert done.returncode == 0, done.stderr
    algorithms, imported = done.stdout.splitlines()[-2:]
    assert {"ptychopinn_pinn", "ptychopinn_supervised"} <= set(algorithms.split())
    assert imported == "imported:"


def test_a_coming_version_with_all_names_works(run_python) -> None:
    done = run_python(
        """
import importlib.metadata
true_version = importlib.metadata.version
importlib.metadata.version = lambda name: "1.9.0" if name == "ptychodus" else true_version(name)
import ptychodus.model.core as core
core.ModelCore()
print(core.PtychoPINNReconstructorLibrary.__module__)
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ptychodus_plugin.library"


def test_a_version_without_a_name_gets_one_warning_and_is_left_alone(run_python) -> None:
    done = run_python(
        """
import ptychodus.model.core as core
import ptychodus.api.object
del ptychodus.api.object.Object.get_layer
own = core.PtychoPINNReconstructorLibrary
core.ModelCore()
core.ModelCore()
assert core.PtychoPINNReconstructorLibrary is own
import ptychodus.controller.core as view
assert view.PtychoPINNViewControllerFactory.__module__.startswith("ptychodus.")
"""
    )
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in (done.stdout + done.stderr).splitlines() if "leaves Ptychodus" in line]
    assert (
        "unchanged: ptychodus.api.object has no Object.get_layer. It is tested with Ptychodus 1.6.0 and 1.7.0"
        in warning
    )


def test_another_plugin_in_the_same_place_stays_and_is_named(run_python) -> None:
    done = run_python(
        """
import ptychodus.model.core as core
class Foreign(core.PtychoPINNReconstructorLibrary):
    pass
core.PtychoPINNReconstructorLibrary = Foreign
core.ModelCore()
assert core.PtychoPINNReconstructorLibrary is Foreign
import ptychodus.controller.core as view
assert view.PtychoPINNViewControllerFactory.__module__.startswith("ptychodus.")
"""
    )
    assert done.returncode == 0, done.stderr
    assert "Another plugin has put __main__.Foreign in the place of PtychoPINN" in done.stdout + done.stderr


def test_without_the_patterns_of_a_product_the_form_waits_for_the_training(run_python) -> None:
    done = run_python(
        """
import ptychodus.model.core as core
import ptychodus.api.assemble
del ptychodus.api.assemble.AssembledDiffractionData.get_pattern
core.ModelCore()
import ptychodus.controller.core as view
print(view.PtychoPINNViewControllerFactory.__module__, view.ProcessingController.__module__)
""",
        QT_QPA_PLATFORM="offscreen",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ptychodus_plugin.view.factory ptychodus.controller.processing.core"
    assert (
        "when a training begins, not before: ptychodus.api.assemble has no AssembledDiffractionData.get_pattern."
        in done.stdout + done.stderr
    )


def test_widgets_of_the_host_show_our_library(run_python) -> None:
    done = run_python(
        """
from ptychodus.model import ModelCore
from PyQt5.QtWidgets import QApplication
application = QApplication(["ptychodus"])
from ptychodus.controller.ptychopinn import PtychoPINNViewControllerFactory
library = ModelCore().ptychopinn_reconstructor_library
widget = PtychoPINNViewControllerFactory(library, None).create_view_controller("PINN")
print(type(library).__module__, widget is not None)
""",
        QT_QPA_PLATFORM="offscreen",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ptychodus_plugin.library True"


def test_installing_twice_is_installing_once(run_python) -> None:
    done = run_python(
        """
import ptychodus.model.core as core
from ptychodus_plugin.install import install
from ptychodus_plugin.library import PtychoPINNLibrary
install()
install()
assert core.PtychoPINNReconstructorLibrary is PtychoPINNLibrary
"""
    )
    assert done.returncode == 0, done.stderr
