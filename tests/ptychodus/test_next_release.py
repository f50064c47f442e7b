"""A coming Ptychodus that lacks a name, simulated in the real one: it starts, and one line says what is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import ptychodus.api.reconstruct as api
import ptychodus.controller.core as controller
import ptychodus.model.core as core
import ptychodus.model.ptychopinn.settings as own_settings
import pytest
from ptychodus.controller.data import FileDialogFactory
from ptychodus.controller.ptychopinn import PtychoPINNViewControllerFactory as OwnFactory
from ptychodus.model.ptychopinn import PtychoPINNReconstructorLibrary as OwnLibrary
from ptychodus.view.processing import ProcessingActionsView, ProcessingStatusView

from ptychodus_plugin.install import install
from ptychodus_plugin.library import PtychoPINNLibrary
from ptychodus_plugin.messages import Begun
from ptychodus_plugin.view import PtychoPINNViewFactory
from tests.ptychodus.window import Window

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def host(monkeypatch: Patch) -> None:
    """The host with its own classes in their places again."""
    monkeypatch.setattr(core, "PtychoPINNReconstructorLibrary", OwnLibrary)
    monkeypatch.setattr(controller, "PtychoPINNViewControllerFactory", OwnFactory)
    monkeypatch.setattr(core.ModelCore, "__exit__", vars(core.ModelCore)["__exit__"])
    install.cache_clear()


def renamed_parameter(monkeypatch: Patch) -> None:
    built = OwnLibrary.__init__

    def build(self: Any, registry: Any, is_developer_mode_enabled: bool) -> None:
        built(self, registry, is_developer_mode_enabled)

    monkeypatch.setattr(OwnLibrary, "__init__", build)


def further_question(monkeypatch: Patch) -> None:
    monkeypatch.setattr(api.ReconstructorLibrary, "__abstractmethods__", frozenset(["name", "__iter__", "citation"]))


def no_group(monkeypatch: Patch) -> None:
    def build(self: Any, registry: Any) -> None:
        registry.create_group("PtychoPINNNetwork")

    monkeypatch.setattr(own_settings.PtychoPINNModelSettings, "__init__", build)


def another_kind(monkeypatch: Patch) -> None:
    def build(self: Any, registry: Any) -> None:
        registry.create_group("PtychoPINNModel").create_string_parameter("GridSize", "two")

    monkeypatch.setattr(own_settings.PtychoPINNModelSettings, "__init__", build)


def no_map(monkeypatch: Patch) -> None:
    monkeypatch.delattr("ptychodus.api.object.ObjectGeometry.map_coordinates_probe_to_object")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed_parameter, "takes registry, is_developer_mode_enabled, and not settings_registry first"),
        (further_question, "ReconstructorLibrary asks for citation, which this version of ptychopinn-backend does not"),
        (no_group, "its settings cannot be extended, the settings have no group PtychoPINNModel"),
        (another_kind, "the setting PtychoPINNModel.GridSize = 'two' is of another kind than 1"),
        (no_map, "ptychodus.api.object has no ObjectGeometry.map_coordinates_probe_to_object"),
    ],
)
def test_without_a_name_the_host_keeps_its_own_library(
    change: Callable[[Patch], None], words: str, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    change(monkeypatch)
    install()
    core.ModelCore()
    assert core.PtychoPINNReconstructorLibrary is OwnLibrary
    (line,) = [record.getMessage() for record in caplog.records if record.name == "ptychodus_plugin.install"]
    assert f"unchanged: {words}" in line or words in line
    assert "It is tested with Ptychodus" in line


def without_attribute(view: type, name: str, monkeypatch: Patch) -> None:
    built = view.__init__  # type: ignore[misc]

    def build(self: Any, parent: Any = None) -> None:
        built(self, parent)
        delattr(self, name)

    monkeypatch.setattr(view, "__init__", build)


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (ProcessingStatusView, "stop_button"),
        (ProcessingActionsView, "reconstruct_button"),
    ],
)
def test_without_a_widget_the_host_keeps_its_own_form(
    view: type, name: str, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    without_attribute(view, name, monkeypatch)
    install()
    assert core.PtychoPINNReconstructorLibrary is PtychoPINNLibrary
    assert controller.PtychoPINNViewControllerFactory is OwnFactory
    assert f"{view.__name__} has no attribute '{name}'. Its own settings can be set in a settings file" in caplog.text


def test_keys_that_the_host_drops_or_changes_and_further_parameters_are_no_obstacle(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    built = OwnLibrary.__init__

    def build(self: Any, settings_registry: Any, is_developer_mode_enabled: bool, cache: str = "") -> None:
        built(self, settings_registry, is_developer_mode_enabled)

    def fewer(self: Any, registry: Any) -> None:
        group = registry.create_group("PtychoPINNTraining")
        group.create_integer_parameter("NumEpochs", 99, minimum=1)

    def other(self: Any, registry: Any) -> None:
        registry.create_group("PtychoPINNInference")

    monkeypatch.setattr(OwnLibrary, "__init__", build)
    monkeypatch.setattr(own_settings.PtychoPINNTrainingSettings, "__init__", fewer)
    monkeypatch.setattr(own_settings.PtychoPINNInferenceSettings, "__init__", other)
    install()
    assert PtychoPINNLibrary(core.SettingsRegistry(), False, cache="x").name == "PtychoPINN"
    with Window() as window:
        window.choose_algorithm("ptychopinn_pinn")
        assert type(window.controller._ptychopinn_view_controller_factory) is PtychoPINNViewFactory
        training = window.model.settings_registry["PtychoPINNTraining"].parameters()
        assert (training["MAEWeight"].get_value(), training["NumEpochs"].get_value()) == (0.0, 99)
        # A default of the host is nobody's choice, whatever it is.
        assert window.drop_down("Preset").currentText() == "auto"
    assert [record for record in caplog.records if record.name == "ptychodus_plugin.install"] == []


def test_a_class_that_the_host_moved_is_its_own_and_one_of_a_plugin_is_not(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OwnLibrary, "__module__", "ptychodus.reconstructors.ptychopinn")
    install()
    assert core.PtychoPINNReconstructorLibrary is PtychoPINNLibrary
    monkeypatch.setattr(core, "PtychoPINNReconstructorLibrary", OwnLibrary)
    monkeypatch.setattr(OwnLibrary, "__module__", "ptychodus.plugins.other")
    install.cache_clear()
    install()
    assert core.PtychoPINNReconstructorLibrary is OwnLibrary
    assert "Another plugin has put ptychodus.plugins.other.PtychoPINNReconstructorLibrary" in caplog.text


def test_a_form_that_cannot_be_built_is_the_one_of_the_host(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    def raised(self: Any, parameter: Any, *, tool_tip: str = "") -> None:
        raise ValueError("a colour is needed")

    monkeypatch.setattr("ptychodus.controller.parameters.DecimalLineEditParameterViewController.__init__", raised)
    install()
    library = PtychoPINNLibrary(core.SettingsRegistry())
    assert PtychoPINNViewFactory(library, FileDialogFactory()).create_view_controller("Supervised") is not None
    assert "Ptychodus shows its own form of PtychoPINN" in caplog.text


def test_what_goes_wrong_in_a_slot_does_not_end_the_window(caplog: pytest.LogCaptureFixture) -> None:
    install()
    with Window() as window, caplog.at_level(logging.ERROR):
        window.choose_algorithm("ptychopinn_pinn")
        window.form.notices._panel = object()
        window.form.notices.told.emit(Begun())
        window.settle()
    assert "The window could not show what PtychoPINN tells" in caplog.text
