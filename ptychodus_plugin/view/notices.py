"""What a reconstructor tells while it works, brought into the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptychodus.api.reconstruct import TrainOutput
from ptychodus.view.processing import ProcessingActionsView, ProcessingStatusView
from ptychodus.view.widgets import ExceptionDialog
from PyQt5.QtCore import QEvent, QObject, pyqtSignal
from PyQt5.QtWidgets import QWidget

from ptychodus_plugin.messages import Begun, Chosen, Failed, FreeFits, Judged, ModelChanged
from ptychodus_plugin.reconstructor import Notice, PtychoPINNReconstructor
from ptychodus_plugin.view.guarded import guarded
from ptychodus_plugin.view.status import LossPlot, ResultPanel


class Notices(QObject):
    """Brings a reconstructor's notices, which come from the task thread, into the window."""

    told = pyqtSignal(object)

    def __init__(
        self, widget: QWidget, reconstructor: PtychoPINNReconstructor, on_chosen: Callable[[Chosen], None]
    ) -> None:
        """Listen to the reconstructor.

        Args:
            widget: the form of the reconstructor.
            reconstructor: whose notices are shown.
            on_chosen: called with what the preset became.
        """
        super().__init__(widget)
        self._on_chosen = on_chosen
        self._widget = widget
        self._reconstructor = reconstructor
        self.told.connect(self._show)
        self._status: ProcessingStatusView | None = None
        self._plot: LossPlot | None = None
        self._panel: ResultPanel | None = None
        reconstructor.add_listener(self.told.emit)
        widget.installEventFilter(self)

    @guarded
    def _show(self, notice: Notice) -> None:
        if isinstance(notice, Failed):
            ExceptionDialog.show_exception(f"{notice.action} ({self._reconstructor.name})", notice.error)
        elif isinstance(notice, ModelChanged):
            self._enable_infer()
        elif isinstance(notice, Chosen):
            self._on_chosen(notice)
        elif self._panel is not None and isinstance(notice, Begun):
            self._panel.clear()
        elif self._plot is not None and isinstance(notice, TrainOutput):
            self._plot.show(notice)
        elif self._plot is not None and isinstance(notice, FreeFits):
            self._plot.show_free(notice)
        elif self._panel is not None and isinstance(notice, Judged):
            self._panel.show(notice)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the Stop button of the window the widget is shown in: the host itself waits for the next output."""
        if event is not None and event.type() in (QEvent.Type.Show, QEvent.Type.Hide):
            self._follow(event.type() == QEvent.Type.Show)
        return False

    @guarded
    def _follow(self, is_shown: bool) -> None:
        if is_shown and self._status is None:
            self._status = self._in_window(ProcessingStatusView)
            if self._status is not None:
                self._status.stop_button.clicked.connect(self._reconstructor.stop)
                self._plot = LossPlot(self._status, self)
                self._panel = ResultPanel(self._status, self._reconstructor.name)
        if self._panel is not None:
            self._panel.set_in_sight(form_is_shown=is_shown)

    def _in_window(self, kind: type[QWidget]) -> Any:
        window = self._widget.window()
        return None if window is None else window.findChild(kind)

    def _enable_infer(self) -> None:
        # The host asks whether a model is loaded when training starts, not when it ends.
        actions = self._in_window(ProcessingActionsView)
        if actions is not None and not self._widget.isHidden():
            actions.reconstruct_button.setEnabled(self._reconstructor.is_model_loaded())
