"""Drop-down lists whose entries say what cannot be used, what was chosen, and what devices are called."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from ptychodus.api.observer import Observable, Observer
from ptychodus.controller.parameters import ParameterViewController
from PyQt5.QtCore import QObject, Qt, pyqtSignal
from PyQt5.QtGui import QStandardItem, QStandardItemModel
from PyQt5.QtWidgets import QAbstractItemView, QComboBox, QLabel, QVBoxLayout, QWidget

from ptychodus_plugin.choices import Choice, choices_of
from ptychodus_plugin.devices import find_devices
from ptychodus_plugin.messages import Chosen
from ptychodus_plugin.options import Option
from ptychopinn_backend.config.presets import AUTO
from ptychopinn_backend.factory import ENVIRONMENT_VARIABLE

_SHORTEST_LIST: Final = 16
"""Letters a drop-down list has room for at least."""


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
        self._widget = self._new_list()
        self._widget.setObjectName(option.key)
        # A long entry that says why it cannot be chosen must not make the form wider than its frame.
        self._widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._widget.setMinimumContentsLength(_SHORTEST_LIST)
        self.refresh()
        self._widget.activated.connect(self._pick)
        parameter.add_observer(self)

    def _new_list(self) -> QComboBox:
        return QComboBox()

    def get_widget(self) -> QWidget:
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


class PresetViewController(DropDownViewController):
    """The list of presets, and below it what 'auto' chose for the scans that are trained on, and why."""

    def __init__(self, option: Option, parameter: Any, selection: Callable[[], Any]) -> None:
        """Build list and text.

        Args:
            option: the option of the preset.
            parameter: the host's string parameter.
            selection: returns the choices in force.
        """
        self._chosen = QLabel()
        self._chosen.setObjectName("chosen_preset")
        self._chosen.setWordWrap(True)
        self._chosen.hide()
        super().__init__(option, parameter, selection)
        self._both = QWidget()
        layout = QVBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._widget)
        layout.addWidget(self._chosen)
        self._both.setLayout(layout)

    def get_widget(self) -> QWidget:
        """Return list and text."""
        return self._both

    def show_chosen(self, chosen: Chosen) -> None:
        """Show what the preset became.

        Args:
            chosen: its name, and why.
        """
        if chosen.why:
            self._say(chosen, "What 'auto' chose for the scans of the last training, and why.")

    def show_foreseen(self, chosen: Chosen | None) -> None:
        """Show what the preset would become for the chosen product.

        Args:
            chosen: its name, and why; None where that is not known.
        """
        self._say(
            chosen, "What 'auto' would choose for this product, and why. A training looks at all of its patterns."
        )

    def _say(self, chosen: Chosen | None, tool_tip: str) -> None:
        self._chosen.setText("" if chosen is None else f"{chosen.preset}: {chosen.why}")
        self._chosen.setToolTip(tool_tip)
        self._show_where_it_counts()

    def _show_where_it_counts(self) -> None:
        self._chosen.setVisible(bool(self._chosen.text()) and self._selection().preset == AUTO)

    def refresh(self) -> None:
        """Rebuild the entries; what was chosen counts for 'auto' only."""
        super().refresh()
        self._show_where_it_counts()


class DeviceViewController(DropDownViewController):
    """The list of visible devices; their names are asked for when the list is opened, in a process of its own."""

    def __init__(self, option: Option, parameter: Any, selection: Callable[[], Any]) -> None:
        """Build the list.

        Args:
            option: the option of the visible devices.
            parameter: the host's string parameter.
            selection: returns the choices in force.
        """
        self._search = _DeviceSearch()
        self._search.found.connect(self._show_found)
        super().__init__(option, parameter, selection)

    def _new_list(self) -> QComboBox:
        return _ListThatAsks(lambda: self._search.start(self._selection().backend))

    def _show_found(self) -> None:
        # While the list is open its entries change under the pointer; what is picked stays what it was.
        self.refresh()


class _ListThatAsks(QComboBox):
    """Calls a function when it is opened."""

    def __init__(self, on_open: Callable[[], None]) -> None:
        super().__init__()
        self._on_open = on_open

    def showPopup(self) -> None:
        """Open the list."""
        self._on_open()
        super().showPopup()


class _DeviceSearch(QObject):
    """Finds the devices of a framework once; the host never imports it."""

    found = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[str] = set()

    def start(self, backend: str) -> None:
        """Begin, unless it was begun already."""
        if backend not in self._asked:
            self._asked.add(backend)
            threading.Thread(target=self._work, args=(backend,), daemon=True).start()

    def _work(self, backend: str) -> None:
        find_devices(backend)
        with suppress(RuntimeError):
            # The window may be gone.
            self.found.emit()
