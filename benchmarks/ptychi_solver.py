"""Pty-Chi on a scan of ours, its best state by patterns it did not see.

    python -m benchmarks.ptychi_solver SCAN.npz OUT.npz --seconds 100 [--poisson] [--probe] [--positions]

Optional: pip install ptychi. Its transform is not unitary, so that a probe in counts is divided by N on the way in;
where a scan point lies in its array was found by comparing both forward models.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np

from ptychopinn_backend.data.held_out import held_out_rows
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.evaluation.free_fit import free_fit
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

_MARGIN_PX = 30
_CHECKS = 12
"""How often the state is looked at; the best one is kept, which is more than a user of the program would get."""


@click.command()
@click.argument("scan_file", type=click.Path(path_type=Path))
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--engine", type=click.Choice(["lsqml", "epie"]), default="lsqml")
@click.option("--seconds", type=float, default=100.0, help="Computing time.")
@click.option("--poisson", is_flag=True, help="The noise model for few counts.")
@click.option("--probe", is_flag=True, help="Refine the probe.")
@click.option("--positions", is_flag=True, help="Refine the positions.")
def main(
    scan_file: Path, result: Path, engine: str, seconds: float, poisson: bool, probe: bool, positions: bool
) -> None:
    """Solve, and write a reconstruction."""
    scan = RawData.from_file(scan_file)
    rows = held_out_rows(scan.positions_xy)
    kept = scan.select(np.setdiff1d(np.arange(scan.n_patterns), rows))
    task, origin = _task(kept, engine, poisson=poisson, probe=probe, positions=positions)
    best: tuple[float, Reconstruction] | None = None
    started, epochs, looked = process_time(), 0, 0
    while (used := process_time() - started) < seconds:
        task.run(1)
        epochs += 1
        if used >= looked * seconds / _CHECKS:
            looked += 1
            best = _better(best, _state(task, origin, kept, epochs, used), scan, rows)
    best = _better(best, _state(task, origin, kept, epochs, process_time() - started), scan, rows)
    best[1].save_npz(result)


def _task(kept: RawData, engine: str, *, poisson: bool, probe: bool, positions: bool) -> tuple[Any, Any]:
    import torch
    from ptychi import api
    from ptychi.api.task import PtychographyTask

    assert kept.probeGuess is not None
    modes = kept.probeGuess.reshape(-1, kept.N, kept.N)
    x, y = kept.xcoords, kept.ycoords
    sides = [int(np.ceil(np.ptp(axis))) + kept.N + _MARGIN_PX for axis in (y, x)]
    origin = np.array([side / 2 - (axis.min() + axis.max()) / 2 for side, axis in zip(sides, (y, x), strict=True)])
    options = api.LSQMLOptions() if engine == "lsqml" else api.EPIEOptions()
    options.data_options.data = torch.from_numpy(np.square(kept.diff3d))
    options.data_options.wavelength_m = 1e-10
    if kept.bad_pixels is not None:
        options.data_options.valid_pixel_mask = torch.from_numpy(~kept.bad_pixels)
    step = 1.0 if engine == "lsqml" else 0.1
    options.object_options.initial_guess = torch.ones((1, *sides), dtype=torch.complex64)
    options.object_options.pixel_size_m = 1.0
    options.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = origin.tolist()
    options.object_options.remove_object_probe_ambiguity.enabled = probe
    options.probe_options.initial_guess = torch.from_numpy((modes[np.newaxis] / kept.N).astype(np.complex64))
    options.probe_options.optimizable = probe
    options.probe_options.orthogonalize_incoherent_modes.enabled = probe and len(modes) > 1
    options.probe_position_options.position_x_px = torch.from_numpy(x.astype(np.float32))
    options.probe_position_options.position_y_px = torch.from_numpy(y.astype(np.float32))
    options.probe_position_options.optimizable = positions
    for part, size in (
        (options.object_options, step),
        (options.probe_options, step),
        (options.probe_position_options, 0.3),
    ):
        part.optimizer, part.step_size = api.Optimizers.SGD, size
    options.object_options.optimizable = True
    run = options.reconstructor_options
    run.num_epochs, run.batch_size, run.default_device = 1_000_000, 64, api.Devices.CPU
    run.random_seed, run.displayed_loss_function = 0, None
    if engine == "lsqml":
        run.rescale_probe_intensity_in_first_epoch = probe
        if poisson:
            run.noise_model = api.NoiseModels.POISSON
    return PtychographyTask(options), origin + 0.5


def _state(task: Any, origin: Any, kept: RawData, epochs: int, used_s: float) -> Reconstruction:
    obj = task.get_data_to_cpu("object", as_numpy=True)[0].astype(np.complex64)
    probe = task.get_data_to_cpu("probe", as_numpy=True)[0] * kept.N
    return Reconstruction(
        obj, (float(origin[0]), float(origin[1])), probe.astype(np.complex64), info={"epochs": epochs, "s": used_s}
    )


def _better(
    best: tuple[float, Reconstruction] | None, state: Reconstruction, scan: RawData, rows: Any
) -> tuple[float, Reconstruction]:
    fit = free_fit(state, scan, rows) if np.isfinite(state.object).all() else None
    found = np.inf if fit is None else fit.misfit
    return (found, state) if best is None or found < best[0] else best


if __name__ == "__main__":
    main()
