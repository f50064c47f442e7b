"""Mutated archives are opened or refused with our own errors; nothing else happens, and quickly."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychopinn_backend.archive import read_archive
from ptychopinn_backend.errors import ArchiveError

from .mutator import mutate, zipped
from .watch import INPUTS, limited_memory, open_or_refuse


def repaired(members: dict[str, bytes]) -> bytes:
    """Return a zip with right CRCs and right checksums in its metadata, where there is room for them."""
    try:
        metadata = json.loads(members["metadata.json"])
        for name in metadata["checksums"]:
            metadata["checksums"][name] = hashlib.sha256(members[name]).hexdigest()
        members = members | {"metadata.json": json.dumps(metadata).encode()}
    except (ValueError, KeyError, TypeError):
        pass
    return zipped(members)


@pytest.mark.parametrize("target", ["zip", "metadata.json", "params.json", "weights.h5"])
def test_mutated_archives_open_or_are_refused(archive_members: dict[str, bytes], target: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2026)
    path = tmp_path / "wts.h5.zip"
    opened = 0
    with limited_memory():
        for _ in range(INPUTS):
            if target == "zip":
                data = mutate(repaired(archive_members), rng)
            else:
                data = repaired(archive_members | {target: mutate(archive_members[target], rng)})
            opened += open_or_refuse(read_archive, path, data, ArchiveError)
    assert opened < INPUTS


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
    archive_members: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    metadata = json.loads(archive_members["metadata.json"])
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
    data_bytes = zipped(archive_members | {"metadata.json": text})
    open_or_refuse(read_archive, tmp_path / "wts.h5.zip", data_bytes, ArchiveError)
