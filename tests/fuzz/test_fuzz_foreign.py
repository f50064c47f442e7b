"""Mutated models of other programs are opened or refused with our own errors; nothing in them is run."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.archive import read_archive, read_metadata
from ptychopinn_backend.errors import ArchiveError

from ..archive.foreign import keras_models, test_saved_model, torch_models
from ..archive.foreign.keras_models import KerasVariant
from ..archive.foreign.torch_models import TorchVariant
from .mutator import Mutation, mutate, mutate_hdf5, mutate_words, unzipped, zipped
from .payloads import MARKER, PAYLOADS
from .watch import INPUTS, Watch

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras")
KERAS_MODEL, TORCH_STATE = "diffraction_to_obj/model.keras", "diffraction_to_obj/model.pth"
PICKLE = "archive/data.pkl"


@dataclass(frozen=True)
class Part:
    """A member of a file, or of a zip file in it."""

    path: tuple[str, ...]
    mutate_inside: Mutation = mutate


def _members(image: bytes, path: tuple[str, ...]) -> bytes:
    for name in path:
        image = unzipped(image)[name]
    return image


def _with_member(image: bytes, path: tuple[str, ...], content: bytes) -> bytes:
    if not path:
        return content
    members = unzipped(image)
    return zipped({**members, path[0]: _with_member(members[path[0]], path[1:], content)})


def _shorter_json(original: bytes, rng: np.random.Generator) -> bytes:
    """Exchange words of a text that is long and mostly of no interest."""
    document = json.loads(original)
    layers = document["config"]["layers"]
    chosen = int(rng.integers(len(layers)))
    changed = mutate_words(json.dumps(layers[chosen]).encode(), rng).decode(errors="replace")
    layers[chosen] = "chosen"
    return json.dumps(document).replace('"chosen"', changed).encode()


PARTS = {
    "keras: zip": Part(()),
    "keras: params.dill": Part(("diffraction_to_obj/params.dill",)),
    "keras: model.keras": Part((KERAS_MODEL,)),
    "keras: config.json": Part((KERAS_MODEL, "config.json"), _shorter_json),
    "keras: model.weights.h5": Part((KERAS_MODEL, "model.weights.h5"), mutate_hdf5),
    "torch: zip": Part(()),
    "torch: params.dill": Part(("diffraction_to_obj/params.dill",)),
    "torch: model.pth": Part((TORCH_STATE,)),
    "torch: data.pkl": Part((TORCH_STATE, PICKLE)),
    "saved model: zip": Part(()),
    "saved model: variables.index": Part(("diffraction_to_obj/variables/variables.index",)),
    "checkpoint: zip": Part(()),
    "checkpoint: data.pkl": Part((PICKLE,)),
}


@pytest.fixture(scope="session")
def good_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Kind -> bytes of a good file, not packed, so that reading it takes little time."""
    variant = KerasVariant(N=32)
    members = keras_models.members(keras_models.build(variant), variant, tmp_path_factory.mktemp("keras"))
    kept = {name: content for name, content in members.items() if not name.startswith("autoencoder/")}
    small = TorchVariant(N=32)
    state = torch_models.members(torch_models.build(small), small)
    return {
        "keras": zipped({**kept, KERAS_MODEL: zipped(unzipped(kept[KERAS_MODEL]))}),
        "checkpoint": torch_models.checkpoint(torch_models.build(small), small),
        "saved model": zipped(
            test_saved_model.members(keras_models.build(variant), variant, tmp_path_factory.mktemp("saved"))
        ),
        "torch": zipped({name: content for name, content in state.items() if not name.startswith("autoencoder/")}),
    }


@pytest.mark.parametrize("name", PARTS)
def test_mutated_models_open_or_are_refused(
    good_models: dict[str, bytes], name: str, folder: Path, watch: Watch
) -> None:
    good, part = good_models[name.partition(":")[0]], PARTS[name]
    path = folder / "model"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    assert watch.reads(read_archive, path, good, ArchiveError)
    inside = _members(good, part.path)
    for _ in range(INPUTS // sum(other.partition(":")[0] == name.partition(":")[0] for other in PARTS)):
        mutated = (part.mutate_inside if rng.random() < 0.6 else mutate)(inside, rng)
        watch.reads(read_archive, path, _with_member(good, part.path, mutated), ArchiveError)
    assert watch.refused > 0


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("read", [read_archive, read_metadata])
def test_no_member_is_unpickled(
    good_models: dict[str, bytes],
    name: str,
    payload: bytes,
    read: Callable[[Path], object],
    folder: Path,
    watch: Watch,
) -> None:
    good, part = good_models[name.partition(":")[0]], PARTS[name]
    assert not watch.reads(read, folder / "model", _with_member(good, part.path, payload), ArchiveError)
    assert not Path(MARKER).exists()
