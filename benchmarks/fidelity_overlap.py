"""Groups of nine against single patterns on scans of less and less overlap, at equal computing time.

What the rule of the preset 'auto' rests on (`presets.MINIMUM_OVERLAP`).

    env OMP_NUM_THREADS=1 python -m benchmarks.fidelity_overlap --seconds 38
"""

from __future__ import annotations

import click

from benchmarks.fidelity_table import PATTERNS, SEED, Cell, epochs_within, measured, trained
from ptychopinn_backend.config.scan_traits import scan_traits
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan

STEPS_PER_DIAMETER = (0.25, 0.4, 0.55, 0.7, 0.85, 1.1)


@click.command()
@click.option("--seconds", type=float, default=38.0, show_default=True, help="CPU time of a training.")
@click.option("--photons", type=float, default=1e6, show_default=True, help="Photons a pattern.")
def main(seconds: float, photons: float) -> None:
    """Print a row for every scan and way to train."""
    print("| step / diameter | overlap | trained | epochs | phase PSNR | amplitude PSNR | FRC | R |")
    print("|---|---|---|---|---|---|---|---|")
    for fraction in STEPS_PER_DIAMETER:
        step_px = fraction * SimulationConfig(size=64).diameter_px
        spec = SimulationConfig(size=64, patterns=PATTERNS, photons=photons, probe="zone_plate", step_px=step_px)
        scan = simulate_scan(spec, SEED)
        traits = scan_traits(scan)
        assert traits is not None
        for gridsize in (1, 3):
            cell = Cell(64, "zone_plate", photons, gridsize, "backprojection_unet")
            epochs = epochs_within(cell, scan, seconds)
            model, _, _ = trained(cell, scan, epochs)
            found = measured(model, scan, 0)
            print(
                f"| {fraction} | {traits.overlap:.2f} | {'one by one' if gridsize == 1 else 'in nines'} | {epochs} | "
                f"{found['phase_psnr_db']:.1f} dB | {found['amplitude_psnr_db']:.1f} dB | "
                f"{found['frc_half_bit_px']:.2f} px | {found['r_factor']:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
