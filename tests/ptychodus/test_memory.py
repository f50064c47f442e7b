"""A scan is held once by host and computing process together: what each needs besides is far less than the scan."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.probe_positions import ProbePositionSequence

from ptychodus_plugin.product import raw_data_of
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.seam.child_process import ChildProcess, ParentLink
from tests.ptychodus.scenes import make_input

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
MIB = 2**20


def held_bytes() -> int:
    """Memory of this process that the system cannot take back: neither pages of files nor swapped."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))


class Watch:
    """Finds the most a process holds during a block, more than at its start."""

    def __enter__(self) -> Watch:
        self._before, self.most, self._done = held_bytes(), 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.002):
            self.most = max(self.most, held_bytes() - self._before)


def read_as_a_reconstruction_does(host: ParentLink) -> None:
    """Take the scan and look at every pattern."""
    with Watch() as watch:
        scan = raw_data_of(host.take())
        groups = PtychoDataContainer.from_raw_data(scan, ModelConfig(N=64, gridsize=1))
        light = sum(float(groups.batch(np.arange(i, i + 8)).X.sum()) for i in range(0, groups.n_groups, 8))
    host.put((watch.most, light > 0))


def test_a_scan_is_not_held_twice() -> None:
    parameters, _ = make_input(N=64, step_px=12.0)
    few = parameters.diffraction_patterns
    # What a reconstruction needs besides does not grow with the scan: 33 MiB here.
    count = 256 * MIB // few[0].nbytes
    patterns = np.resize(few, (count, 64, 64))
    places = list(parameters.product.probe_positions)
    positions = [replace(places[i % len(places)], index=i) for i in range(count)]
    product = replace(parameters.product, probe_positions=ProbePositionSequence(positions))
    with Watch() as watch:
        child = ChildProcess(read_as_a_reconstruction_does)
        try:
            child.give(replace(parameters, diffraction_patterns=patterns, product=product))
            in_child, read = child.receive()
        finally:
            child.end()
    assert read
    assert watch.most + in_child < 0.2 * patterns.nbytes, (watch.most / MIB, in_child / MIB)
