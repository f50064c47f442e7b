"""Mutated files of every format are read or refused with our own errors; nothing else happens, and quickly."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from .formats import FORMATS, Format, good_bytes
from .mutator import mutate
from .watch import INPUTS, limited_memory, open_or_refuse


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_mutated_files_are_read_or_refused(form: Format, tmp_path: Path) -> None:
    good = good_bytes(form, tmp_path)
    path = tmp_path / form.file_name
    rng = np.random.default_rng(zlib.crc32(form.name.encode()))
    assert open_or_refuse(form.read, path, good, form.refusals, writes=form.writes)
    read = 0
    with limited_memory():
        for _ in range(INPUTS):
            mutated = (form.mutate_inside if rng.random() < 0.6 else mutate)(good, rng)
            read += open_or_refuse(form.read, path, mutated, form.refusals, writes=form.writes)
    assert read > 0, "no mutated file was read: the mutations reach the outermost layer only"
    assert read < INPUTS or form.writes, "every mutated file was read: the mutations change nothing"
