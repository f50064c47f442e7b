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

from .mutator import Mutation, mutate, mutate_hdf5, mutate_words, zipped
from .watch import INPUTS, Watch


def repaired(members: dict[str, bytes]) -> bytes:
    """Return a zip with right CRCs and right checksums in its metadata, where there is room for them."""
    try:
        metadata = json.loads(members["metadata.json"])
        for name in metadata["checksums"]:
            metadata["checksums"][name] = hashlib.sha256(members[name]).hexdigest()
        members = members | {"metadata.json": json.dumps(metadata).encode()}
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return zipped(members)


@pytest.mark.parametrize(
    ("target", "inside"),
    [("zip", mutate), ("metadata.json", mutate_words), ("params.json", mutate_words), ("weights.h5", mutate_hdf5)],
)
def test_mutated_archives_open_or_are_refused(
    archive_members: dict[str, bytes], target: str, inside: Mutation, folder: Path, watch: Watch
) -> None:
    rng = np.random.default_rng(2026)
    path = folder / "wts.h5.zip"
    good = repaired(archive_members)
    assert watch.reads(read_archive, path, good, ArchiveError)
    for _ in range(INPUTS):
        if target == "zip":
            data = mutate(good, rng)
        else:
            member = (inside if rng.random() < 0.6 else mutate)(archive_members[target], rng)
            data = repaired(archive_members | {target: member})
        watch.reads(read_archive, path, data, ArchiveError)
    assert watch.refused > 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=INPUTS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_field_opens_or_is_refused(
    archive_members: dict[str, bytes], folder: Path, watch: Watch, data: st.DataObject
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
    watch.reads(read_archive, folder / "wts.h5.zip", zipped(archive_members | {"metadata.json": text}), ArchiveError)
