"""Bad archives."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychopinn_backend.cli import main

from .workshop import Case, cut, scan_with, text

INFER = ("infer", "model", "scan.npz", "-o", "out", "--quiet")
INSPECT = ("inspect", "model")
ARCHIVE = "model/wts.h5.zip"


def _write(content: bytes) -> Callable[[], object]:
    return lambda: Path(ARCHIVE).write_bytes(content)


def _zip_of(**members: bytes) -> bytes:
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w") as container:
        for name, content in members.items():
            container.writestr(name.replace("__", "."), content)
    return image.getvalue()


def _members(change: Callable[[dict[str, bytes]], object]) -> Callable[[], None]:
    def spoil() -> None:
        with zipfile.ZipFile(ARCHIVE) as container:
            members = {name: container.read(name) for name in container.namelist()}
        change(members)
        with zipfile.ZipFile(ARCHIVE, "w") as container:
            for name, content in members.items():
                container.writestr(name, content)

    return spoil


def _metadata(**changes: object) -> Callable[[], None]:
    def change(members: dict[str, bytes]) -> None:
        members["metadata.json"] = json.dumps({**json.loads(members["metadata.json"]), **changes}).encode()

    return _members(change)


def _flipped(members: dict[str, bytes]) -> None:
    weights = bytearray(members["weights.h5"])
    weights[-1] ^= 1
    members["weights.h5"] = bytes(weights)


def _bomb() -> None:
    with zipfile.ZipFile(ARCHIVE) as container:
        members = {name: container.read(name) for name in container.namelist()}
    members["weights.h5"] = bytes(50 * 2**20)
    with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in members.items():
            container.writestr(name, content)


def _hdf5() -> bytes:
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file["weights"] = np.ones(3)
    return image.getvalue()


def _weights(change: Callable[[Any], object]) -> Callable[[dict[str, bytes]], None]:
    """Return a change of the HDF5 member and of its description in the metadata."""

    def changed(members: dict[str, bytes]) -> None:
        image = io.BytesIO(members["weights.h5"])
        with h5py.File(image, "r+") as file:
            change(file)
            found: dict[str, Any] = {}
            file["weights"].visititems(lambda name, item: found.update({name: item}))
            described = {
                name: {"shape": list(item.shape), "dtype": item.dtype.name}
                for name, item in found.items()
                if isinstance(item, h5py.Dataset)
            }
        members["weights.h5"] = image.getvalue()
        metadata = json.loads(members["metadata.json"])
        metadata["weights"] = described
        metadata["checksums"]["weights.h5"] = hashlib.sha256(members["weights.h5"]).hexdigest()
        members["metadata.json"] = json.dumps(metadata).encode()

    return changed


def _without_probes_and(then: Callable[[], object]) -> Callable[[], None]:
    def spoil() -> None:
        _members(_weights(lambda file: file.pop("probes")))()
        then()

    return spoil


def _refined_probe_of_another_instrument() -> None:
    def change(file: Any) -> None:
        probe = np.asarray(file["probes/given"])
        other = np.roll(probe, probe.shape[-1] // 2, axis=-1)
        file["probes/given"][...] = other
        file["weights/physics/probe"] = other

    def refines(members: dict[str, bytes]) -> None:
        metadata = json.loads(members["metadata.json"])
        metadata["training"]["probe_trainable"] = True
        members["metadata.json"] = json.dumps(metadata).encode()
        _weights(change)(members)

    _members(refines)()


def _changed_export() -> None:
    import onnx
    from onnx import numpy_helper

    assert main(["export", "model", "-o", "model.onnx", "--quiet"]) == 0
    model = onnx.load("model.onnx")
    kernel = next(item for item in model.graph.initializer if item.name.endswith("/kernel"))
    kernel.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(kernel), kernel.name))
    onnx.save(model, "model.onnx")


def _keras_archive(**options: object) -> bytes:
    """Return an archive of the original PtychoPINN whose network ends in a layer with these options."""
    layer = {"class_name": "CombineComplexLayer", "name": "obj", "config": options, "inbound_nodes": []}
    keras = _zip_of(config__json=json.dumps({"config": {"layers": [layer]}}).encode())
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w") as container:
        container.writestr("diffraction_to_obj/model.keras", keras)
        container.writestr("diffraction_to_obj/params.dill", pickle.dumps({"N": 64}))
    return image.getvalue()


CASES = (
    Case("There is no archive", ("infer", "absent", *INFER[2:]), "holds no archive|absent"),
    Case("The folder holds no archive", ("inspect", "result"), "result"),
    Case("No run of MLflow is named", ("inspect", "runs:/12"), "names no run of MLflow"),
    Case("The run of MLflow is not to be found", ("inspect", f"runs:/{'0' * 32}"), "No store has the run"),
    Case("A scan is given instead of an archive", ("infer", "scan.npz", *INFER[2:]), "NumPy NPZ file"),
    Case("The archive is empty", INFER, "empty", cut(ARCHIVE, 0)),
    Case("The archive is cut short", INFER, "broken or cut short", cut(ARCHIVE, 100_000), has_foreign_words=True),
    Case("A byte of the weights is altered", INFER, "checksum|altered", _members(_flipped)),
    Case("The archive is of a newer version", INSPECT, "format version 99", _metadata(format_version=99)),
    Case(
        "A member is missing", INSPECT, "params.json is missing", _members(lambda members: members.pop("params.json"))
    ),
    Case(
        "The archive holds a further file",
        INFER,
        "more than an archive may",
        _members(lambda members: members.update(x=b"")),
    ),
    Case(
        "A member leaves the folder",
        INSPECT,
        "names a place outside",
        _members(lambda members: members.update({"../evil": b""})),
    ),
    Case("A decompression bomb", INFER, "decompression bomb", _bomb),
    Case(
        "The metadata are not JSON",
        INSPECT,
        "metadata",
        _members(lambda members: members.update({"metadata.json": b"{"})),
        has_foreign_words=True,
    ),
    Case("The metadata name an unknown backend", INSPECT, "'jax'", _metadata(backend="jax")),
    Case(
        "An architecture that is not installed",
        INFER,
        "architecture",
        _metadata(model={"architecture": "magic"}),
        has_foreign_words=True,
    ),
    Case("A pickle is given", INSPECT, "pickle, which is never opened", _write(pickle.dumps([1]))),
    Case("A bare HDF5 file is given", INSPECT, "bare HDF5 file", _write(_hdf5())),
    Case("A text file is given", INSPECT, "text file", text(ARCHIVE, "hello")),
    Case("A Keras model is given", INSPECT, "Keras model", _write(_zip_of(config__json=b"{}", model__weights__h5=b""))),
    Case("A PyTorch checkpoint is given", INSPECT, "PyTorch checkpoint", _write(_zip_of(data__pkl=b""))),
    Case("An archive of the original PtychoPINN is given", INSPECT, "never opened", _write(_zip_of(model__dill=b""))),
    Case("A model that puts out amplitude + i phase", INFER, "amplitude \\+ i phase", _write(_keras_archive())),
    Case("Another zip file is given", INSPECT, "some other zip file", _write(_zip_of(readme__txt=b""))),
    Case(
        "The scan has another pattern size than the model",
        INFER,
        "64|32",
        scan_with(diffraction=np.ones((24, 64, 64), np.float32), probeGuess=np.ones((64, 64), complex)),
    ),
    Case(
        "The scan has no probe, the archive has one",
        INFER,
        "that of the archive is used",
        scan_with(probeGuess=None),
        exit_code=0,
    ),
    Case(
        "Neither scan nor archive has a probe",
        INFER,
        "holds none that could stand in",
        _without_probes_and(scan_with(probeGuess=None)),
    ),
    Case(
        "The probe refined in training belongs to another instrument",
        INFER,
        "belongs to another instrument",
        _refined_probe_of_another_instrument,
        exit_code=0,
    ),
    Case(
        "A model as ONNX that was changed",
        ("infer", "model.onnx", *INFER[2:]),
        "was changed after it was exported",
        _changed_export,
    ),
    Case(
        "A model as ONNX of another program",
        ("infer", "model.onnx", *INFER[2:]),
        "'ptychopinn export' did not write",
        lambda: Path("model.onnx").write_bytes(b"\x08\x08\x12\x05other"),
    ),
    Case(
        "The export would replace the model",
        ("export", "model", "-o", ARCHIVE),
        "names the model that is exported",
    ),
    Case("The seed in the metadata is negative", INSPECT, "seed is -1", _metadata(seed=-1)),
)
