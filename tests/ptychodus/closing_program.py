"""Ptychodus as a user runs it: a training is started, then the window is closed.

Arguments: folder, and 'early' to close before the first epoch, in the host's own form. Says the number of the child
when the window is closed.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path


def main(folder: Path, *, early: bool) -> None:
    """Train in a window that is closed."""
    if early:
        from ptychodus.view.widgets import ExceptionDialog

        # A coming release without it: the form stays that of the host, and the library is ours.
        del ExceptionDialog.show_exception
    # A computing process imports this file; it needs no window.
    from PyQt5.QtCore import QTimer

    from tests.ptychodus.scenes import decide_nothing
    from tests.ptychodus.window import APPLICATION, Window

    # As `ptychodus` itself: the window stays open until the event loop has ended, then the host is taken down.
    with Window() as window:
        sys.stdout.write(f"form: {type(window.controller._ptychopinn_view_controller_factory).__module__}\n")
        window.choose_algorithm("ptychopinn_pinn")
        decide_nothing(window.model)
        window.set("Model", Backend="pytorch", NumFiltersScale=1, Accelerator="cpu")
        window.set("Training", NumEpochs=10_000, BatchSize=4)
        product = window.load_scan(folder, step_px=8.0)
        product.export_training_data(folder / "train_data.npz")
        window.answer_folder_dialog(folder)
        window.click(window.actions.train_button)

        def close_when_it_trains() -> None:
            children = multiprocessing.active_children()
            if children and (early or window.monitor.get_progress() >= 1):
                timer.stop()
                sys.stdout.write(f"closing: {children[0].pid}\n")
                sys.stdout.flush()
                window.view.close()

        timer = QTimer()
        timer.timeout.connect(close_when_it_trains)
        timer.start(50)
        APPLICATION.exec()


if __name__ == "__main__":
    main(Path(sys.argv[1]), early="early" in sys.argv[2:])
