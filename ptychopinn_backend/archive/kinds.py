"""Which program wrote a zip file, told by the names of its members alone."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

METADATA: Final = "metadata.json"
PARAMS: Final = "params.json"
WEIGHTS: Final = "weights.h5"
MEMBERS: Final = (METADATA, PARAMS, WEIGHTS)
"""Members of our own archives."""

MODEL_FOLDER: Final = "diffraction_to_obj"
"""Folder of the model from patterns to patches in archives of the original PtychoPINN."""
KERAS_MODEL: Final = f"{MODEL_FOLDER}/model.keras"
TORCH_STATE: Final = f"{MODEL_FOLDER}/model.pth"
SAVED_MODEL: Final = "saved_model.pb"
"""Name of the program in a folder that TensorFlow wrote."""
CHECKPOINT_INDEX: Final = "variables.index"
"""Name of the table of variables in a SavedModel."""
PICKLE_IN_CHECKPOINT: Final = "data.pkl"
"""Name of the pickle in a file that `torch.save` writes, below one folder."""


class Kind(Enum):
    """What a zip file with a trained model is."""

    OWN = "an archive of this package"
    KERAS = "a TensorFlow archive of PtychoPINN"
    TORCH = "a PyTorch archive of PtychoPINN"
    CHECKPOINT = "a PyTorch checkpoint (.pt, .ckpt)"
    SAVED_MODEL = "a TensorFlow archive of PtychoPINN from before August 2025"


def kind_of(names: Sequence[str]) -> Kind | None:
    """Return what wrote a zip file.

    Args:
        names: of its members.

    Returns:
        The kind; None where it holds no model that is read here.
    """
    found = set(names)
    if len(found.intersection(MEMBERS)) >= 2:
        return Kind.OWN
    if KERAS_MODEL in found:
        return Kind.KERAS
    if TORCH_STATE in found:
        return Kind.TORCH
    if any(name.startswith(f"{MODEL_FOLDER}/") and name.endswith((SAVED_MODEL, CHECKPOINT_INDEX)) for name in names):
        return Kind.SAVED_MODEL
    if sum(name.count("/") == 1 and name.endswith(f"/{PICKLE_IN_CHECKPOINT}") for name in names) == 1:
        return Kind.CHECKPOINT
    return None
