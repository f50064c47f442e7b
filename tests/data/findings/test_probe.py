"""Probes that do not fit the patterns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.simulate import simulate
from ptychopinn_backend.errors import ScanWarning

from .planted import members, simulated


def read(probe: Any, patterns: Any = None, measurement: str | None = "counts", **metadata: Any) -> None:
    arrays = members()
    RawData.from_arrays(
        arrays["xcoords"],
        arrays["ycoords"],
        arrays["diffraction"] if patterns is None else patterns,
        probe,
        measurement=measurement,
        metadata=metadata,
    )


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (np.abs(simulated().probe), "The probe is real, and the patterns are .* times less peaked than its far field"),
        (np.abs(simulated().probe).astype(np.complex64), "its phase seems to be lost"),
        (np.abs(simulated().probe) * np.exp(0.5j), "The probe has the same phase everywhere, and the patterns are"),
        (-1j * np.abs(simulated().probe), "its phase seems to be lost"),
    ],
)
def test_a_probe_without_its_phase(probe: Any, words: str) -> None:
    with pytest.warns(ScanWarning, match=words) as said:
        read(probe)
    assert len(said) == 1


def test_the_real_part_of_a_curved_probe() -> None:
    scan = simulate(SimulationConfig(size=32, patterns=60, probe="gaussian", probe_curvature_rad=12.0), 0)
    x, y = scan.positions_xy.T
    with pytest.warns(ScanWarning, match="of its power is negative: its phase seems to be lost"):
        RawData.from_arrays(x, y, scan.counts, scan.probe.real, measurement="counts")


def test_a_flat_probe_is_real_and_right() -> None:
    scan = simulate(SimulationConfig(size=32, patterns=60, probe_curvature_rad=0.0), 0)
    x, y = scan.positions_xy.T
    assert not np.any(scan.probe.imag)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for probe in (scan.probe.real, -scan.probe, scan.probe * np.exp(2.0j)):
            RawData.from_arrays(x, y, scan.counts, probe, measurement="counts")


@pytest.mark.parametrize("factor", [1e-3, 0.05, 50.0, 1e4])
def test_a_probe_of_another_scale(factor: float) -> None:
    with pytest.warns(ScanWarning, match=r"The probe holds .* photons and a pattern .*Multiply the probe by") as said:
        read(simulated().probe * factor)
    assert len(said) == 1


@pytest.mark.parametrize("factor", [0.3, 1.0, 10.0])
def test_a_probe_of_about_the_scale(factor: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(simulated().probe * factor)


def test_the_scale_of_amplitudes_without_a_unit_is_nobodys_business() -> None:
    roots = np.sqrt(simulated().counts).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(simulated().probe, roots * 1e-4, "amplitudes")
    with pytest.warns(ScanWarning, match="The probe holds"):
        read(simulated().probe * 1e4, roots, "amplitudes", measured_as_counts=True)


@pytest.mark.parametrize("measurement", ["amplitudes", None])
def test_amplitudes_that_are_roots_of_photons_tell_the_scale(measurement: str | None) -> None:
    roots = np.sqrt(simulated().counts).astype(np.float32)
    with pytest.warns(ScanWarning, match="The probe holds .* photons and a pattern"):
        read(simulated().probe * 1e3, roots, measurement)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(simulated().probe, roots, measurement)
