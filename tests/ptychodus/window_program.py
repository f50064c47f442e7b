"""Train and infer in the real window, in a process of its own; writes what the tests then look at.

Arguments: output folder, algorithm, title of the backend.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ptychodus.api.io import save_product

from tests.ptychodus.cycle_program import FRAMEWORKS


def main(folder: Path, algorithm: str, title: str) -> None:
    """Choose, load, export, train, infer, and take pictures on the way."""
    # A computing process imports this file; it needs no window.
    from tests.ptychodus.window import Window

    with Window() as window:
        window.choose_algorithm(algorithm)
        window.pick(window.drop_down("Backend"), title)
        window.settle()
        window.grab(folder / f"{algorithm}_settings.png")
        window.form.resize(window.form.width(), window.form.sizeHint().height())
        window.form.grab().save(str(folder / f"{algorithm}_form.png"))
        window.set("Model", NumFiltersScale=1, Accelerator="cpu")
        window.set("Training", NumEpochs=3, BatchSize=4)
        product = window.load_scan(folder, step_px=6.0)
        product.export_training_data(folder / "train_data.npz")
        window.answer_folder_dialog(folder)
        window.run(lambda: window.click(window.actions.train_button))
        errors = [window.monitor.get_last_error()]
        said = window.shown_text
        window.run(lambda: window.click(window.actions.reconstruct_button))
        errors.append(window.monitor.get_last_error())
        repository = window.model.product_core.product_repository
        result = repository[len(repository) - 1].get_product()
        save_product(folder / "result.h5", result)
        window.grab(folder / f"{algorithm}_result.png")
        report = {
            "errors": [str(error) for error in errors if error is not None],
            "said": said,
            "name": result.metadata.name,
            "imported": [name for name in FRAMEWORKS if name in sys.modules],
        }
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
