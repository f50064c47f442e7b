"""The forms of the reconstructors in the Processing view."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from ptychodus.api.observer import Observable, Observer
from ptychodus.controller.data import FileDialogFactory
from ptychodus.controller.parameters import (
    CheckBoxParameterViewController,
    DecimalLineEditParameterViewController,
    DecimalSliderParameterViewController,
    ParameterViewBuilder,
    ParameterViewController,
    PathParameterViewController,
    PowerTwoSpinBoxParameterViewController,
    SpinBoxParameterViewController,
)
from ptychodus.controller.ptychopinn import PtychoPINNViewControllerFactory
from PyQt5.QtWidgets import QFormLayout, QSpinBox, QWidget

from ptychodus_plugin.library import PtychoPINNLibrary
from ptychodus_plugin.messages import Chosen, ModelChanged
from ptychodus_plugin.options import DECISIVE_KEYS, Option
from ptychodus_plugin.reconstructor import MODEL_FILE_FILTER
from ptychodus_plugin.view.drop_down import DeviceViewController, DropDownViewController, PresetViewController
from ptychodus_plugin.view.notices import Notices
from ptychopinn_backend.config.presets import AUTO

logger = logging.getLogger("ptychopinn_backend.ptychodus")

_LISTS: Final[Mapping[str, type[DropDownViewController]]] = {
    "Preset": PresetViewController,
    "VisibleDevices": DeviceViewController,
}
"""Options whose list is more than a list."""


class PtychoPINNViewFactory(PtychoPINNViewControllerFactory):
    """Replaces the host's factory of the same purpose."""

    def __init__(
        self, model: PtychoPINNLibrary, file_dialog_factory: FileDialogFactory, *args: Any, **kwargs: Any
    ) -> None:
        """Keep what the widgets need.

        Args:
            model: the library.
            file_dialog_factory: the host's file dialogs.
            *args: what else the host gives.
            **kwargs: what else the host gives.
        """
        super().__init__(model, file_dialog_factory, *args, **kwargs)
        self._library = model
        self._dialogs = file_dialog_factory
        self.automatic: tuple[QWidget, Callable[[Chosen | None], None]] | None = None
        """The form with presets, and what shows there what 'auto' would choose; None before it is built."""

    def create_view_controller(self, reconstructor_name: str) -> QWidget:
        """Build the widget of one reconstructor; where that fails, the host's own.

        Args:
            reconstructor_name: 'pinn' or 'supervised', case ignored.

        Returns:
            The widget, shown while the reconstructor is selected.
        """
        try:
            return self._form(reconstructor_name.lower())
        except Exception:
            # The window is built at this moment, and would not open.
            logger.exception("Ptychodus shows its own form of PtychoPINN in the place of one that cannot be built.")
            return cast(QWidget, super().create_view_controller(reconstructor_name))

    def _form(self, kind: str) -> QWidget:
        settings = self._library.settings
        builder = ParameterViewBuilder(self._dialogs)
        rows: list[tuple[Option, QWidget]] = []
        lists: dict[str, DropDownViewController] = {}
        for table in settings.tables:
            for option in table.options:
                parameter = table.parameter(option.key)
                if option.choices:
                    make = _LISTS.get(option.key, DropDownViewController)
                    drop_down = make(option, parameter, lambda: settings.selection(kind))
                    lists[f"{table.title}.{option.key}"] = drop_down
                    controller: ParameterViewController = drop_down
                else:
                    controller = _controller(option, parameter, self._dialogs)
                builder.add_view_controller(controller, option.label, group=option.box or table.title)
                rows.append((option, controller.get_widget()))
        widget: Any = builder.build_widget()
        # The widget keeps the observers alive.
        widget.applicability = _Applicability(
            rows, [drop_down.refresh for drop_down in lists.values()], lambda: settings.selection(kind)
        )
        for table in settings.tables:
            for option in table.options:
                if option.key in DECISIVE_KEYS or option.decided(AUTO):
                    table.parameter(option.key).add_observer(widget.applicability)
        presets = cast(PresetViewController, lists["Model.Preset"])
        widget.notices = Notices(widget, self._library.reconstructor(kind), presets.show_chosen)
        if kind == "pinn":
            self.automatic = widget, presets.show_foreseen
        widget.model_named = _Relay(lambda: widget.notices.told.emit(ModelChanged()))
        settings.tables[1].parameter("ModelPath").add_observer(widget.model_named)
        return cast(QWidget, widget)


class _Applicability(Observer):
    """Shows the rows whose option has an effect for the choices in force, and takes the others out of their forms."""

    def __init__(
        self, rows: list[tuple[Option, QWidget]], refreshes: list[Callable[[], None]], selection: Callable[[], Any]
    ) -> None:
        super().__init__()
        self._forms: dict[QFormLayout, list[tuple[Option, QWidget, QWidget]]] = {}
        for option, widget in rows:
            form = cast(QFormLayout, cast(QWidget, widget.parentWidget()).layout())
            self._forms.setdefault(form, []).append((option, cast(QWidget, form.labelForField(widget)), widget))
        self._refreshes = refreshes
        self._selection = selection
        self._shown: list[str] = []
        self._show()

    def _show(self) -> None:
        selection = self._selection()
        shown_keys = [
            option.key for rows in self._forms.values() for option, _, _ in rows if option.in_force(selection)
        ]
        if shown_keys == self._shown:
            return
        self._shown = shown_keys
        for form, rows in self._forms.items():
            while form.rowCount():
                form.takeRow(0)
            for option, label, widget in rows:
                shown = option.in_force(selection)
                label.setVisible(shown)
                widget.setVisible(shown)
                if shown:
                    form.addRow(label, widget)

    def _update(self, observable: Observable) -> None:
        for refresh in self._refreshes:
            refresh()
        self._show()


class _Relay(Observer):
    """Calls a function when a parameter changes."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def _update(self, observable: Observable) -> None:
        self._call()


def _controller(option: Option, parameter: Any, dialogs: FileDialogFactory) -> ParameterViewController:
    if option.key == "ModelPath":
        return PathParameterViewController.create_file_opener(
            parameter,
            dialogs,
            caption="Model File",
            name_filters=[MODEL_FILE_FILTER],
            tool_tip=option.help,
        )
    if isinstance(option.default, bool):
        return CheckBoxParameterViewController(parameter, "", tool_tip=option.help)
    if option.power_of_two:
        return PowerTwoSpinBoxParameterViewController(parameter, tool_tip=option.help)
    if isinstance(option.default, int):
        controller = SpinBoxParameterViewController(parameter, tool_tip=option.help)
        cast(QSpinBox, controller.get_widget()).setSpecialValueText(option.at_minimum)
        return controller
    if option.maximum is not None:
        return DecimalSliderParameterViewController(parameter, tool_tip=option.help)
    return DecimalLineEditParameterViewController(parameter, tool_tip=option.help)
