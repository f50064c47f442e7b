"""The numbers that are published for networks on patterns that hardly overlap, measured for ours.

    env OMP_NUM_THREADS=1 python -m benchmarks.overlap_free [--probe-from SCAN.npz]

Lines, simulated, a training on their own patterns alone: amplitude and phase SSIM with single patterns and with groups
of 2 x 2, for an ideal probe (a disk with a flat phase) and a real one (a defocused zone plate, or that of a scan); then
the dose at which the Poisson likelihood gives what squared amplitudes give.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from ptychopinn_backend.config.presets import fitted_preset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.evaluation import evaluate
from ptychopinn_backend.model_api import PtychoModel

IDEAL: Final[dict[str, Any]] = {"probe": "disk", "probe_curvature_rad": 0.0}
DOSES: Final = (1e2, 3e2, 1e3, 3e3, 1e4)
LAWS: Final[dict[str, dict[str, float]]] = {
    "Poisson": {"nll_weight": 1.0, "mse_weight": 0.0},
    "amplitude": {"nll_weight": 0.0, "mse_weight": 1.0},
}


@click.command()
@click.option("--probe-from", type=click.Path(path_type=Path), help="Scan whose probe is the real one.")
@click.option("--patterns", default=400, show_default=True)
@click.option("--visits", default=6000, show_default=True, help="Patterns a training visits.")
def main(probe_from: Path | None, patterns: int, visits: int) -> None:
    """Print two tables."""
    real: dict[str, Any] = {"probe": "zone_plate"}
    size = 64
    if probe_from is not None:
        real = {"probe": "file", "probe_file": probe_from}
        size = RawData.from_file(probe_from).N
    print("| probe | patterns together | amplitude SSIM | phase SSIM | the same, polished |")
    print("|---|---|---|---|---|")
    for name, probe in (("ideal", IDEAL), ("real", real)):
        scan = _scan(size, patterns, 1e9, probe)
        for gridsize in (1, 2):
            bare, polished = _ssim(scan, visits, gridsize, LAWS["amplitude"])
            print(f"| {name} | {gridsize**2} | {bare} | {polished} |", flush=True)
    print("\n| photons per pattern | law | amplitude SSIM | phase SSIM | the same, polished |")
    print("|---|---|---|---|---|")
    for photons in DOSES:
        scan = _scan(size, patterns, photons, real)
        for law, options in LAWS.items():
            bare, polished = _ssim(scan, visits, 2, {"target_photon_fraction": 0.0, **options})
            print(f"| {photons:.0e} | {law} | {bare} | {polished} |", flush=True)


def _scan(size: int, patterns: int, photons: float, probe: dict[str, Any]) -> RawData:
    # Half a probe apart: neighbours share as much as single-shot papers leave, and the whole object is lit.
    spec = SimulationConfig(size=size, patterns=patterns, photons=photons, object="lines", step_px=size / 4, **probe)
    return simulate_scan(spec, seed=0)


def _ssim(scan: RawData, visits: int, gridsize: int, options: dict[str, float]) -> tuple[str, str]:
    """Return 'amplitude | phase' as the network stitched it, and 'amplitude, phase' after the polish."""
    preset = fitted_preset("fast", [scan], gridsize).options
    visited = preset["groups_per_epoch"] * gridsize**2
    model = PtychoModel(N=scan.N, preset="fast", backend="pytorch", gridsize=gridsize)
    model.train(scan, nepochs=max(2, int(np.ceil(visits / visited))), lr_warmup_epochs=1, seed=0, **options)
    assert scan.objectGuess is not None
    found = [
        evaluate(model.infer(scan, polish_steps=steps), scan, truth=(scan.objectGuess, (0.0, 0.0)))
        for steps in (0, None)
    ]
    texts = [[f"{report[f'{part}_ssim']:.3f}" for part in ("amplitude", "phase")] for report in found]
    return " | ".join(texts[0]), ", ".join(texts[1])


if __name__ == "__main__":
    main()
