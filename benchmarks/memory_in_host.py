"""Memory of Ptychodus and of our computing process together, while a scan is reconstructed.

    python -m benchmarks.memory_in_host --gib 1

Writes a scan of the given size, opens it in the real host as `ptychodus` does, lets the host prepare it, and infers
with a model that is barely trained. Meanwhile the proportional set size (PSS, /proc/*/smaps_rollup) of the host and all
its descendants is added up: everything that is resident, pages of files included, each page once. A second run with a
tiny scan shows what programs and framework take. The ratio is what both processes grow by, to what the host alone
grows by when it has loaded and prepared the scan. `--defaults` calibrates, polishes and judges as a new user's settings
ask for. Linux only; the folder for temporary files needs room for three times the scan.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan

N = 64
STEP_PX = 2.0
BASE_PATTERNS = 256
TINY_GIB = 0.01
LIMIT = 1.2
PIXEL_M = 8e-9
LOADED, PREPARED, DONE = "loaded", "prepared", "done"
QUICK = {
    "PtychoPINNInference": {"Calibrate": "never", "PolishSteps": 0, "HalvesResolution": False},
    "PtychoPINNModel": {"Accelerator": "cpu", "Backend": "pytorch"},
}


class Held(NamedTuple):
    """Memory in bytes, each page once."""

    total: int
    anonymous: int
    files: int
    shared: int


def held_by(pid: int) -> Held:
    """Return what a process and all that descend from it hold."""
    sums = dict.fromkeys(("Pss", "Pss_Anon", "Pss_File", "Pss_Shmem"), 0)
    for process in (pid, *descendants(pid)):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, rest = line.partition(":")
            if name in sums:
                sums[name] += int(rest.split()[0]) * 1024
    return Held(*sums.values())


def descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def write_scene(folder: Path, gib: float) -> None:
    """Write a scan of simulated patterns, repeated, and a model for its patterns."""
    from ptychodus.api.assemble import AssembledDiffractionData
    from ptychodus.api.geometry import PixelGeometry
    from ptychodus.api.io import save_diffraction_data, save_product
    from ptychodus.api.object import Object, ObjectCenter
    from ptychodus.api.probe import ProbeSequence
    from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
    from ptychodus.api.product import Product, ProductMetadata

    from ptychopinn_backend.config import ModelConfig, TrainingConfig
    from ptychopinn_backend.config.execution import ExecutionConfig
    from ptychopinn_backend.runs.train import train_scans

    base = simulate_scan(SimulationConfig(size=N, patterns=BASE_PATTERNS), seed=0)
    count = round(gib * 2**30 / (2 * N**2))
    side = int(np.ceil(np.sqrt(count)))
    places_px = STEP_PX * (np.stack(np.divmod(np.arange(count), side), axis=1) - (side - 1) / 2)
    positions = [ProbePosition(row, float(x) * PIXEL_M, float(y) * PIXEL_M) for row, (y, x) in enumerate(places_px)]
    pixel, detector = PixelGeometry(PIXEL_M, PIXEL_M), PixelGeometry(75e-6, 75e-6)
    extent = int(STEP_PX * side) + 2 * N
    product = Product(
        metadata=ProductMetadata("scan", "", 0.3, 10_000.0, 1e6, 0.1, 0.0, 0.0),
        probe_positions=ProbePositionSequence(positions),
        probes=ProbeSequence(np.asarray(base.probeGuess).reshape(1, -1, N, N)[:, :1], None, pixel),
        object_=Object(np.ones((extent, extent), np.complex64), pixel, ObjectCenter(0.0, 0.0)),
        losses=[],
    )
    counts = np.rint(np.square(base.diff3d)).clip(0, 65535).astype(np.uint16)
    patterns = counts[np.arange(count) % len(counts)]
    data = AssembledDiffractionData(np.arange(count), patterns, detector, np.zeros((N, N), bool))
    save_diffraction_data(folder / "diffraction.h5", data)
    save_product(folder / "product.h5", product)
    config = TrainingConfig(model=ModelConfig(N=N, gridsize=1, n_filters_scale=1), nepochs=1, n_groups=8)
    execution = ExecutionConfig(accelerator="cpu", logger_backend="none")
    train_scans([base], config, execution, backend="pytorch").save(folder / "model.zip")


def run_host(folder: Path, defaults: bool) -> None:
    """Open the scan and infer; says on the way what is done."""
    from ptychodus.model import ModelCore

    with ModelCore() as host:
        for group, values in QUICK.items():
            for key, value in values.items() if group != "PtychoPINNInference" or not defaults else ():
                host.settings_registry[group].parameters()[key].set_value(value)
        host.processing_core.algorithm_parameter.set_value("ptychopinn_pinn")
        host.processing_core.processing_api.load_model_from_file(folder / "model.zip")
        patterns = host.workflow_api.load_assembled_diffraction_data(folder / "diffraction.h5")
        product = host.workflow_api.load_product(folder / "product.h5", diffraction=patterns)
        wait_to_be_seen(LOADED)
        prepared = product.get_reconstruct_input()
        wait_to_be_seen(PREPARED)
        reconstructor: Any = host.processing_core.algorithm_parameter.get_current_reconstructor()
        for _ in reconstructor.reconstruct(prepared):
            pass
        wait_to_be_seen(DONE)


def wait_to_be_seen(stage: str) -> None:
    sys.stdout.write(f"{stage}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def in_a_process_of_its_own(step: str, folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.memory_in_host", "--step", step, "--folder", str(folder), *words]


def measure(gib: float, defaults: bool) -> tuple[Held, Held, Held]:
    """Return what is held when the host has loaded the scan, when it has prepared it, and at most afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(in_a_process_of_its_own("scene", folder, "--gib", str(gib)), check=True)
        command = in_a_process_of_its_own("host", folder, *(["--defaults"] if defaults else []))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as host:
            assert host.stdout is not None
            assert host.stdin is not None
            stages: list[Held] = []
            peak = Held(0, 0, 0, 0)
            ended = threading.Event()

            def look() -> None:
                nonlocal peak
                while not ended.wait(0.05):
                    peak = max(peak, held_by(host.pid))

            watch = threading.Thread(target=look)
            for line in host.stdout:
                if line.strip() in (LOADED, PREPARED):
                    stages.append(held_by(host.pid))
                if line.strip() == PREPARED:
                    watch.start()
                if line.strip() == DONE:
                    ended.set()
                if line.strip() in (LOADED, PREPARED, DONE):
                    host.stdin.write("\n")
                    host.stdin.flush()
            ended.set()
        if host.returncode != 0:
            raise RuntimeError(f"the host ended with {host.returncode}")
        watch.join()
    loaded, prepared = stages
    return loaded, prepared, peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the patterns as the host holds them, in GiB")
    parser.add_argument("--defaults", action="store_true", help="calibrate, polish and judge as the defaults ask for")
    parser.add_argument("--step", choices=("scene", "host"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step == "scene":
        write_scene(given.folder, given.gib)
        return
    if given.step == "host":
        run_host(given.folder, given.defaults)
        return
    tiny, whole = measure(TINY_GIB, given.defaults), measure(given.gib, given.defaults)
    for name, held in zip((LOADED, PREPARED, "at most, both processes"), whole, strict=True):
        parts = ", ".join(f"{part / 2**30:.3f} {kind}" for kind, part in zip(Held._fields[1:], held[1:], strict=True))
        sys.stdout.write(f"{name}: {held.total / 2**30:.3f} GiB ({parts})\n")
    scan = (given.gib - TINY_GIB) * 2**30
    for name, big, small in zip((LOADED, PREPARED, "at most"), whole, tiny, strict=True):
        growth = [(of_big - of_small) / scan for of_big, of_small in zip(big, small, strict=True)]
        parts = ", ".join(f"{part:.2f} {kind}" for kind, part in zip(Held._fields[1:], growth[1:], strict=True))
        sys.stdout.write(f"for every byte of the scan, {name}: {growth[0]:.2f} ({parts})\n")
    ratio = (whole[2].total - tiny[2].total) / (whole[1].total - tiny[1].total)
    sys.stdout.write(f"ratio to what the host holds itself: {ratio:.2f} (the rule is {LIMIT})\n")


if __name__ == "__main__":
    main()
