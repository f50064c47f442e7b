"""The pictures of docs/ptychodus.md: both forms while they train, and a result. Look at them before they are kept.

`make pictures`, or `python -m tests.ptychodus.pictures FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.ptychodus.scenes import analytic_object
from tests.ptychodus.window import Window

EPOCHS_SHOWN = 4


def main(pictures: Path) -> None:
    """Take all pictures."""
    take(pictures, "ptychopinn_supervised", "TensorFlow", result=False)
    take(pictures, "ptychopinn_pinn", "PyTorch", result=True)


def take(pictures: Path, algorithm: str, title: str, *, result: bool) -> None:
    """Train for a while with the defaults, stop, and reconstruct where the result is shown."""
    obj = analytic_object(120, 130)
    with TemporaryDirectory() as name, Window() as window:
        folder = Path(name)
        window.choose_algorithm(algorithm)
        window.pick(window.drop_down("Backend"), title)
        window.load_scan(folder, N=64, step_px=9.0, obj=obj, guess=obj)
        window.answer_folder_dialog(folder)

        def train() -> None:
            window.click(window.actions.train_button)
            assert window.wait_until(lambda: window.monitor.get_progress() >= EPOCHS_SHOWN, 500)
            window.settle(1.0)
            window.grab(pictures / f"{algorithm}_training.png")
            window.click(window.view.processing_status_view.stop_button)

        window.run(train)
        if result:
            window.run(lambda: window.click(window.actions.reconstruct_button), 500)
            window.grab(pictures / f"{algorithm}_result.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
