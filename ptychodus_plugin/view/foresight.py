"""Shows what 'auto' would choose as soon as a product is chosen, computed beside the window."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ptychodus.controller.processing import ProcessingController
from ptychodus.controller.product.core import ProductRepositoryComboProxyModel
from PyQt5.QtCore import QEvent, QObject, QTimer, pyqtSignal
from PyQt5.QtWidgets import QComboBox, QWidget

from ptychodus_plugin.foresight import foreseen_choice
from ptychodus_plugin.messages import Chosen
from ptychodus_plugin.view.factory import PtychoPINNViewFactory
from ptychodus_plugin.view.guarded import guarded

logger = logging.getLogger("ptychopinn_backend.ptychodus")

_WAIT_MS: Final = 200
"""A product changes many times while it is loaded."""


class ForeseeingController(ProcessingController):
    """Replaces the host's controller of the Processing view, and only listens to its list of products."""

    # Whoever looks at the parameters of the controller sees those of the host, in its place too.
    __signature__ = inspect.signature(ProcessingController)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Build the view, and listen.

        Args:
            *args: as the host gives them.
            **kwargs: as the host gives them.
        """
        super().__init__(*args, **kwargs)
        given = inspect.signature(ProcessingController).bind(*args, **kwargs).arguments
        lists = [
            found
            for found in given["view"].findChildren(QComboBox)
            if isinstance(found.model(), ProductRepositoryComboProxyModel)
        ]
        for factory in given["view_controller_factories"]:
            if isinstance(factory, PtychoPINNViewFactory) and factory.automatic is not None and lists:
                form, show = factory.automatic
                self.foresight = Foresight(lists[0], given["product_repository"], form, show)


class Foresight(QObject):
    """Looks at the chosen product while the form is in sight."""

    _found = pyqtSignal(int, object)

    def __init__(
        self, products: QComboBox, repository: Any, form: QWidget, show: Callable[[Chosen | None], None]
    ) -> None:
        """Listen to the list of products and to the form.

        Args:
            products: the host's list of products.
            repository: the host's products, in the order of the list.
            form: of the reconstructor.
            show: takes the choice, or None where there is none to tell.
        """
        super().__init__(products)
        self._products, self._repository, self._form, self._show = products, repository, form, show
        self._asked = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        self._found.connect(self._take)
        products.currentIndexChanged.connect(self._soon)
        model = products.model()
        if model is not None:
            model.dataChanged.connect(self._soon)
        form.installEventFilter(self)

    def _soon(self, *_: object) -> None:
        self._timer.start(_WAIT_MS)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Look again when the form comes into sight."""
        if event is not None and event.type() == QEvent.Type.Show:
            self._soon()
        return False

    @guarded
    def _look(self) -> None:
        if not self._form.isVisible():
            return
        self._asked += 1
        item = self._chosen_product()
        dataset = None if item is None or item.is_pending() or item.is_failed() else item.get_dataset()
        if item is None or dataset is None:
            self._show(None)
            return
        # References only: what is read of the arrays is read in the thread.
        what = item.get_product(), dataset.get_assembled_data()
        threading.Thread(target=self._work, args=(self._asked, *what), daemon=True).start()

    def _chosen_product(self) -> Any:
        index = self._products.currentIndex()
        return self._repository[index] if 0 <= index < len(self._repository) else None

    def _work(self, number: int, product: Any, data: Any) -> None:
        try:
            chosen = foreseen_choice(product, data)
        except Exception as error:
            # A training says what is wrong with a product; the form only has nothing to foretell.
            logger.debug("What 'auto' would choose is not known: %s", error)
            chosen = None
        with suppress(RuntimeError):
            # The window may be gone.
            self._found.emit(number, chosen)

    @guarded
    def _take(self, number: int, chosen: Chosen | None) -> None:
        if number == self._asked:
            self._show(chosen)
