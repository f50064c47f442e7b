"""Mutated files of every format are read or refused with our own errors; nothing else happens, and quickly."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from .formats import FORMATS, Format, good_bytes
from .mutator import mutate
from .watch import INPUTS, Watch


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_mutated_files_are_read_or_refused(form: Format, folder: Path, watch: Watch) -> None:
    good = good_bytes(form, folder)
    path = folder / form.file_name
    rng = np.random.default_rng(zlib.crc32(form.name.encode()))
    assert watch.reads(form.read, path, good, form.refusals, writes=form.writes)
    for _ in range(INPUTS):
        mutated = (form.mutate_inside if rng.random() < 0.6 else mutate)(good, rng)
        watch.reads(form.read, path, mutated, form.refusals, writes=form.writes)
    assert watch.opened > 1, "no mutated file was read: the mutations reach the outermost layer only"
    assert watch.refused > 0 or form.writes, "every mutated file was read: the mutations change nothing"
