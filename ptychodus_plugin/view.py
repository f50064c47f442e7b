"""The library's widgets in the Processing view; the only module that imports PyQt5."""

from __future__ import annotations

import os
from collections.abc import Callable
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
from ptychodus.view.processing import ProcessingActionsView, ProcessingStatusView
from ptychodus.view.widgets import ExceptionDialog
from PyQt5.QtCore import QCoreApplication, QEvent, QObject, Qt, pyqtSignal
from PyQt5.QtGui import QStandardItem, QStandardItemModel
from PyQt5.QtWidgets import QAbstractItemView, QComboBox, QFormLayout, QWidget

from ptychodus_plugin.choices import Choice, choices_of
from ptychodus_plugin.library import PtychoPINNLibrary
from ptychodus_plugin.messages import Failed, ModelChanged
from ptychodus_plugin.options import DECISIVE_KEYS, Option
from ptychodus_plugin.reconstructor import MODEL_FILE_FILTER, Notice, PtychoPINNReconstructor
from ptychopinn_backend.config.presets import AUTO
from ptychopinn_backend.factory import ENVIRONMENT_VARIABLE

_SHORTEST_LIST: Final = 16
"""Letters a drop-down list has room for at least."""


class PtychoPINNViewFactory(PtychoPINNViewControllerFactory):
    """Replaces the host's factory of the same purpose."""

    def __init__(self, model: PtychoPINNLibrary, file_dialog_factory: FileDialogFactory) -> None:
        """Keep what the widgets need.

        Args:
            model: the library.
            file_dialog_factory: the host's file dialogs.
        """
        super().__init__(model, file_dialog_factory)
        self._library = model
        self._dialogs = file_dialog_factory

    def create_view_controller(self, reconstructor_name: str) -> QWidget:
        """Build the widget of one reconstructor.

        Args:
            reconstructor_name: 'pinn' or 'supervised', case ignored.

        Returns:
            The widget, shown while the reconstructor is selected.
        """
        settings = self._library.settings
        kind = reconstructor_name.lower()
        builder = ParameterViewBuilder(self._dialogs)
        rows: list[tuple[Option, QWidget]] = []
        refreshes: list[Callable[[], None]] = []
        for table in settings.tables:
            for option in table.options:
                parameter = table.parameter(option.key)
                if option.choices:
                    drop_down = DropDownViewController(option, parameter, lambda: settings.selection(kind))
                    refreshes.append(drop_down.refresh)
                    controller: ParameterViewController = drop_down
                else:
                    controller = _controller(option, parameter, self._dialogs)
                builder.add_view_controller(controller, option.label, group=option.box or table.title)
                rows.append((option, controller.get_widget()))
        widget: Any = builder.build_widget()
        # The widget keeps the observers alive.
        widget.applicability = _Applicability(rows, refreshes, lambda: settings.selection(kind))
        for table in settings.tables:
            for option in table.options:
                if option.key in DECISIVE_KEYS or option.decided(AUTO):
                    table.parameter(option.key).add_observer(widget.applicability)
        widget.notices = _Notices(widget, self._library.reconstructor(kind))
        widget.model_named = _Relay(lambda: widget.notices.told.emit(ModelChanged()))
        settings.tables[1].parameter("ModelPath").add_observer(widget.model_named)
        return cast(QWidget, widget)


class DropDownViewController(ParameterViewController, Observer):
    """A drop-down list whose entries say what cannot be used, and why."""

    def __init__(self, option: Option, parameter: Any, selection: Callable[[], Any]) -> None:
        """Build the list and bind it to the parameter.

        Args:
            option: an option with choices.
            parameter: the host's string parameter.
            selection: returns the choices in force.
        """
        super().__init__()
        self._option = option
        self._parameter = parameter
        self._selection = selection
        self._widget = QComboBox()
        self._widget.setObjectName(option.key)
        # A long entry that says why it cannot be chosen must not make the form wider than its frame.
        self._widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._widget.setMinimumContentsLength(_SHORTEST_LIST)
        self.refresh()
        self._widget.activated.connect(self._pick)
        parameter.add_observer(self)

    def get_widget(self) -> QComboBox:
        """Return the list."""
        return self._widget

    def refresh(self) -> None:
        """Rebuild the entries and show the value in force."""
        value, help_text = self._parameter.get_value(), self._option.help
        if self._option.key == "Backend" and os.environ.get(ENVIRONMENT_VARIABLE):
            value = self._selection().backend
            help_text = f"Set to '{value}' by the environment variable {ENVIRONMENT_VARIABLE}; unset it to choose here."
            self._widget.setEnabled(False)
        choices = choices_of(self._option, value, self._selection())
        self._widget.clear()
        for index, choice in enumerate(choices):
            self._add(index, choice)
        self._widget.setCurrentIndex([choice.value for choice in choices].index(value))
        self._widget.setToolTip(help_text)
        entries = cast(QAbstractItemView, self._widget.view())
        entries.setMinimumWidth(entries.sizeHintForColumn(0))

    def _add(self, index: int, choice: Choice) -> None:
        self._widget.addItem(choice.text, choice.value)
        if choice.help:
            self._widget.setItemData(index, choice.help, Qt.ItemDataRole.ToolTipRole)
        entries = cast(QStandardItemModel, self._widget.model())
        cast(QStandardItem, entries.item(index)).setEnabled(choice.usable)

    def _pick(self, index: int) -> None:
        self._parameter.set_value(self._widget.itemData(index))

    def _update(self, observable: Observable) -> None:
        self.refresh()


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


class _Notices(QObject):
    """Brings a reconstructor's notices, which come from the task thread, into the window."""

    told = pyqtSignal(object)

    def __init__(self, widget: QWidget, reconstructor: PtychoPINNReconstructor) -> None:
        super().__init__(widget)
        self._widget = widget
        self._reconstructor = reconstructor
        self.told.connect(self._show)
        self._follows_stop = False
        reconstructor.add_listener(self.told.emit)
        widget.installEventFilter(self)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(reconstructor.close)

    def _show(self, notice: Notice) -> None:
        if isinstance(notice, Failed):
            ExceptionDialog.show_exception(f"{notice.action} ({self._reconstructor.name})", notice.error)
        elif isinstance(notice, ModelChanged):
            self._enable_infer()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the Stop button of the window the widget is shown in: the host itself waits for the next output."""
        if event is not None and event.type() == QEvent.Type.Show and not self._follows_stop:
            status = self._in_window(ProcessingStatusView)
            if status is not None:
                status.stop_button.clicked.connect(self._reconstructor.stop)
                self._follows_stop = True
        return False

    def _in_window(self, kind: type[QWidget]) -> Any:
        window = self._widget.window()
        return None if window is None else window.findChild(kind)

    def _enable_infer(self) -> None:
        # The host asks whether a model is loaded when training starts, not when it ends.
        actions = self._in_window(ProcessingActionsView)
        if actions is not None and not self._widget.isHidden():
            actions.reconstruct_button.setEnabled(self._reconstructor.is_model_loaded())


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
        return SpinBoxParameterViewController(parameter, tool_tip=option.help)
    if option.maximum is not None:
        return DecimalSliderParameterViewController(parameter, tool_tip=option.help)
    return DecimalLineEditParameterViewController(parameter, tool_tip=option.help)
