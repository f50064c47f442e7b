"""Mutated archives are opened or refused with our own errors; nothing else happens, and quickly.

`FUZZ_INPUTS=20000 python -m pytest tests/fuzz` is the nightly run.
"""

import hashlib
import io
import json
import os
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychopinn_backend.archive import ArchiveContent, read_archive, write_archive
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.errors import ArchiveError

from .mutator import mutate

INPUTS = int(os.environ.get("FUZZ_INPUTS", "500"))
SLOWEST_S = 5.0
MEMORY_GIB = 1.0


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    content = ArchiveContent(
        backend="tensorflow",
        model=ModelConfig(N=32),
        training=TrainingConfig(model=ModelConfig(N=32)),
        intensity_scale=5.0,
        weights={
            "encoder/0/conv0/kernel": np.ones((3, 3, 1, 4), np.float32),
            "probe": np.ones((4, 4), np.complex64),
            "log_scale": np.float32(1.5),
        },
        history={"loss": [2.0, float("nan")]},
        params={"N": 32, "probe": np.ones((4, 4), np.complex64), "t": (1, None), "flag": np.bool_(True)},
    )
    path = write_archive(tmp_path_factory.mktemp("original") / "wts.h5.zip", content)
    with zipfile.ZipFile(path) as container:
        return {name: container.read(name) for name in container.namelist()}


def zipped(members: dict[str, bytes], repaired: bool = True) -> bytes:
    """Return a zip with right CRCs; `repaired` makes the checksums in the metadata right as well."""
    try:
        metadata = json.loads(members["metadata.json"])
        for name in metadata["checksums"] if repaired else ():
            metadata["checksums"][name] = hashlib.sha256(members[name]).hexdigest()
        members = members | {"metadata.json": json.dumps(metadata).encode()}
    except (ValueError, KeyError, TypeError):
        pass
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w") as container:
        for name, member in members.items():
            container.writestr(name, member)
    return image.getvalue()


def open_or_refuse(path: Path, data: bytes) -> bool:
    """Return whether `data` opened; our errors are fine, all else propagates."""
    path.write_bytes(data)
    started = time.perf_counter()
    try:
        read_archive(path)
    except ArchiveError:
        return False
    finally:
        assert time.perf_counter() - started < SLOWEST_S
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    return True


@pytest.mark.parametrize("target", ["zip", "metadata.json", "params.json", "weights.h5"])
def test_mutated_archives_open_or_are_refused(members: dict[str, bytes], target: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2026)
    path = tmp_path / "wts.h5.zip"
    opened = 0
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(INPUTS):
        if target == "zip":
            data = mutate(zipped(members), rng)
        else:
            data = zipped(members | {target: mutate(members[target], rng)})
        opened += open_or_refuse(path, data)
    assert opened < INPUTS
    grown_gib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 2**20
    assert grown_gib < MEMORY_GIB


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(
    max_examples=max(100, INPUTS // 5), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_in_any_field_opens_or_is_refused(
    members: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    metadata = json.loads(members["metadata.json"])
    name = data.draw(st.sampled_from(sorted(metadata)))
    owner = metadata
    if isinstance(metadata[name], dict) and metadata[name] and data.draw(st.booleans()):
        owner, name = metadata[name], data.draw(st.sampled_from(sorted(metadata[name])))
    tags = st.sampled_from(["tuple", "dict", "float", "complex", "path", "scalar", "array", "pickle"])
    tagged = st.fixed_dictionaries(
        {"__type__": tags}, optional=dict.fromkeys(("items", "value", "parts", "dtype", "name"), json_values)
    )
    owner[name] = data.draw(json_values | tagged)
    text = json.dumps(metadata).encode()
    open_or_refuse(tmp_path / "wts.h5.zip", zipped(members | {"metadata.json": text}, repaired=False))
