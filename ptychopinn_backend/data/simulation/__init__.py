"""Simulated scans with known objects, for the demo, the tests and pre-training; contract in `specs/simulation.md`."""

from ptychopinn_backend.data.simulation.simulate import SimulatedScan, simulate, simulate_scan
from ptychopinn_backend.data.simulation.spec import SimulationConfig

__all__ = ["SimulatedScan", "SimulationConfig", "simulate", "simulate_scan"]
