"""Export, train, save, load and infer through the host, in a process of its own; writes what the tests then look at.

Arguments: output folder, backend, 'PINN' or 'Supervised', and 'fresh' for the settings a new user finds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ptychodus.api.io import save_diffraction_data, save_product

from tests.ptychodus.scenes import assembled, decide_nothing, make_input

FRAMEWORKS = ("torch", "lightning", "tensorflow", "keras")
SETTINGS = {
    "PtychoPINNModel": {"NumFiltersScale": 1, "Accelerator": "cpu"},
    "PtychoPINNTraining": {"NumEpochs": 8, "BatchSize": 4},
}


def main(folder: Path, backend: str, reconstructor: str, *, fresh: bool) -> None:
    """Run the cycle."""
    # A computing process imports this file; it needs no host.
    from ptychodus.model import ModelCore

    folder.mkdir(parents=True, exist_ok=True)
    parameters, truth = make_input(step_px=6.0 if fresh else 5.0, modes=2, bad_pixels=True)
    if reconstructor == "Supervised":
        parameters, truth = make_input(step_px=6.0, guess=truth)
    with ModelCore() as model:
        if reconstructor == "Supervised":
            decide_nothing(model)
        for group, values in SETTINGS.items():
            for key, value in () if fresh else values.items():
                model.settings_registry[group].parameters()[key].set_value(value)
        model.settings_registry["PtychoPINNModel"].parameters()["Backend"].set_value(backend)
        model.processing_core.algorithm_parameter.set_value(f"ptychopinn_{reconstructor.lower()}")
        save_diffraction_data(folder / "diffraction.h5", assembled(parameters))
        save_product(folder / "product.h5", parameters.product)
        patterns = model.workflow_api.load_assembled_diffraction_data(folder / "diffraction.h5")
        product = model.workflow_api.load_product(folder / "product.h5", diffraction=patterns)
        product.export_training_data(folder / "train_data.npz")
        reconstructor_in_use = model.processing_core.algorithm_parameter.get_current_reconstructor()
        report: dict[str, Any] = {"loaded before": reconstructor_in_use.is_model_loaded()}
        report["training"] = [
            [
                output.progress,
                reconstructor_in_use.get_progress_goal(),
                [loss.value for loss in output.training_loss],
                [loss.value for loss in output.validation_loss],
            ]
            for output in reconstructor_in_use.train(folder, folder / "trained")
        ]
        report["loaded after training"] = reconstructor_in_use.is_model_loaded()
        model.processing_core.processing_api.save_model_to_file(folder / "saved.zip")
        model.processing_core.processing_api.load_model_from_file(folder / "saved.zip")
        outputs = list(reconstructor_in_use.reconstruct(product.get_reconstruct_input()))
        report["goal"] = reconstructor_in_use.get_progress_goal()
        report["progress"] = [output.progress for output in outputs]
        result = outputs[-1].product
        save_product(folder / "result.h5", result)
        np.savez(
            folder / "result.npz",
            truth=truth,
            counts=parameters.diffraction_patterns,
            bad_pixels=parameters.bad_pixels,
            first=outputs[0].product.object_.get_layer(0),
        )
        report["imported"] = [name for name in FRAMEWORKS if name in sys.modules]
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], fresh="fresh" in sys.argv[4:])
