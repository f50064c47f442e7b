"""Faults are named and mended in whatever format a scan is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.checking.check import check_scan_file
from ptychopinn_backend.config.reading import ASK_THE_FILE
from ptychopinn_backend.data.simulation import SimulatedScan
from tests.data.findings.planted import members, simulated
from tests.data.readers.writers import write_cxi, write_ptychodus_pair, write_ptychodus_training

from .faults import FAULTS, Fault

PLANTED = ("corner", "off-centre", "repeated-patterns", "nan-positions", "jump", "wrapped-probe", "empty-patterns")
WRITERS = (write_cxi, write_ptychodus_pair, write_ptychodus_training)
Write = Callable[[SimulatedScan, Path], Path]


def written(write: Write, folder: Path, fault: Fault | None = None) -> Path:
    scan = {name: np.array(values) for name, values in members().items()}
    if fault is not None:
        fault.plant(scan)
    found = replace(
        simulated(),
        counts=scan["diffraction"],
        positions_xy=np.stack([scan["xcoords"], scan["ycoords"]], axis=1),
        probe=scan["probeGuess"],
        bad_pixels=np.zeros(scan["diffraction"].shape[1:], bool),
    )
    return write(found, folder)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("fault", [item for item in FAULTS if item.name in PLANTED], ids=lambda fault: fault.name)
def test_a_fault_is_named_and_mended(fault: Fault, write: Write, tmp_path: Path) -> None:
    check = check_scan_file(written(write, tmp_path, fault), ASK_THE_FILE, with_orientation=False)
    found = [item for item in check.findings if item.name == fault.name]
    assert [item.severity for item in found] == [fault.severity], [str(item) for item in check.findings]
    assert fault.words in str(found[0])
    assert check.mended is not None
    assert (fault.change == "") or any(fault.change in line for line in check.changes), check.changes
    check.mended.raw.to_file(tmp_path / "mended.npz")
    again = check_scan_file(tmp_path / "mended.npz", ASK_THE_FILE, with_orientation=False)
    assert (fault.name in {item.name for item in again.findings}) == (fault.change == "")


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_scan_without_faults(write: Write, tmp_path: Path) -> None:
    check = check_scan_file(written(write, tmp_path), ASK_THE_FILE)
    assert [str(item) for item in check.findings if item.severity != "note"] == []
