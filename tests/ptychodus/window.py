"""The real Ptychodus window, offscreen, driven by the events a user makes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from ptychodus.api.io import save_diffraction_data, save_product
from ptychodus.controller import ControllerCore
from ptychodus.model import ModelCore
from ptychodus.view import ViewCore
from PyQt5.QtCore import Qt, QTimer
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QComboBox, QMessageBox, QPushButton, QWidget

from tests.ptychodus.scenes import assembled, make_input

APPLICATION = QApplication.instance() or QApplication(["ptychodus"])


class Window:
    """A host with a window; use it as a context manager."""

    def __init__(self) -> None:
        # The level `ptychodus` starts with; the host takes it from the root logger, which pytest has set up already.
        self._level = logging.getLogger().level
        self.model = ModelCore()
        logging.getLogger().setLevel(logging.INFO)
        self.view = ViewCore(is_developer_mode_enabled=False)
        self.controller = ControllerCore(self.model, self.view)
        self.view.resize(1300, 1000)

    def __enter__(self) -> Window:
        self.model.__enter__()
        self.controller.show_main_window("Ptychodus")
        QTest.mouseClick(self._navigation_button(), Qt.MouseButton.LeftButton)
        self.settle()
        return self

    def __exit__(self, *unused: object) -> None:
        self.controller._run_tasks_timer.stop()
        self.view.close()
        self.model.__exit__(None, None, None)
        self.view.deleteLater()
        self.settle()
        logging.getLogger().setLevel(self._level)

    def _navigation_button(self) -> QWidget:
        for button in self.view.findChildren(QWidget):
            action = getattr(button, "defaultAction", lambda: None)()
            if action is self.view.processing_action:
                return button
        raise LookupError("no button for the Processing view")

    def settle(self, seconds: float = 0.1) -> None:
        """Let events be handled for a while."""
        self.wait_until(lambda: False, seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Handle events until the condition holds; returns whether it came to hold."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if condition():
                return True
            APPLICATION.processEvents()
            time.sleep(0.01)
        return condition()

    @property
    def actions(self) -> Any:
        """The row of buttons."""
        return self.controller._processing_controller._actions_view

    @property
    def form(self) -> QWidget:
        """The widget of the reconstructor in use."""
        return self.controller._processing_controller._stacked_widget.currentWidget()

    @property
    def monitor(self) -> Any:
        """The host's record of the running task."""
        return self.model.processing_core.processing_api.task_monitor

    @property
    def shown_text(self) -> str:
        """What the text box of the Processing view says."""
        return str(self.view.processing_status_view.text_edit.toPlainText())

    def drop_down(self, key: str) -> QComboBox:
        """The list of one setting."""
        found = self.form.findChild(QComboBox, key)
        assert found is not None
        return found

    def pick(self, box: QComboBox, text: str) -> None:
        """Choose an entry with the keyboard, as a user does."""
        box.setFocus()
        # By way of the last entry: an entry that is shown already counts as picked only when it changes.
        QTest.keyClick(box, Qt.Key.Key_End)
        QTest.keyClick(box, Qt.Key.Key_Home)
        for _ in range(box.count()):
            if box.currentText() == text:
                break
            QTest.keyClick(box, Qt.Key.Key_Down)
        self.settle()
        assert box.currentText() == text

    def choose_algorithm(self, key: str) -> None:
        """Choose a reconstructor with the keyboard."""
        self.pick(self.controller._processing_controller._algorithm_view_controller.get_widget(), key)

    def click(self, button: QPushButton) -> None:
        """Press a button."""
        assert button.isEnabled(), f"'{button.text()}' is disabled"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def answer_folder_dialog(self, folder: Path) -> None:
        """Make the next folder dialog, which no test can operate, return a folder."""
        self.controller._file_dialog_factory.get_existing_directory_path = lambda *a, **k: folder

    def load_scan(self, folder: Path, **how: Any) -> Any:
        """Simulate a scan and open it; returns what the host reconstructs from."""
        parameters, _ = make_input(**how)
        save_diffraction_data(folder / "diffraction.h5", assembled(parameters))
        save_product(folder / "product.h5", parameters.product)
        patterns = self.model.workflow_api.load_assembled_diffraction_data(folder / "diffraction.h5")
        product = self.model.workflow_api.load_product(folder / "product.h5", diffraction=patterns)
        self.controller._processing_controller._product_view_controller.get_widget().setCurrentIndex(0)
        self.settle()
        return product

    def set(self, group: str, **values: Any) -> None:
        """Change settings."""
        for key, value in values.items():
            self.model.settings_registry[f"PtychoPINN{group}"].parameters()[key].set_value(value)
        self.settle()

    def run(self, start: Callable[[], None], seconds: float = 240) -> None:
        """Start a task and wait until the host has finished it."""
        before = self.monitor.get_completed_runs()
        start()
        assert self.wait_until(lambda: self.monitor.get_completed_runs() > before, seconds), "the task did not end"
        self.settle(1.5)

    def read_and_close_message(self, seconds: float, picture: Path | None = None) -> list[str]:
        """Wait for a message box, press its OK; returns its title line and its sentence.

        The box runs an event loop of its own, so a timer reads and closes it.
        """
        seen: list[str] = []

        def look() -> None:
            box = APPLICATION.activeModalWidget()
            if isinstance(box, QMessageBox):
                timer.stop()
                seen.extend([box.text(), box.informativeText()])
                if picture is not None:
                    box.grab().save(str(picture))
                box.button(QMessageBox.StandardButton.Ok).click()

        timer = QTimer()
        timer.timeout.connect(look)
        timer.start(50)
        assert self.wait_until(lambda: bool(seen), seconds), "no message box came"
        return seen

    def grab(self, path: Path) -> Path:
        """Take a picture of the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self.view.grab().save(str(path))
        return path
