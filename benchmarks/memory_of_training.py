"""Peak memory of training on a data set larger than one would keep in memory.

    python benchmarks/memory_of_training.py --gib 4 --backend pytorch --backend tensorflow

Writes scan files of the given size (a simulated scan, tiled), makes a data set of them in one process and trains on it
in another, and prints the peak resident memory (`ru_maxrss`) of each: everything the process ever had resident at once,
the framework and pages of mapped files included. The page cache of the operating system belongs to no process.
Needs about twice the given size of disk while it runs; everything is deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.dataset import open_dataset
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.runs.training_data import fit_to_data, group_scans_on_disk

LIMIT_GIB = 1.5
BASE_PATTERNS = 256
SEED = 0


def write_tiled_scan(path: Path, base: RawData, n_tiles: int, dtype: np.dtype[Any]) -> None:
    """Write a scan of `n_tiles` copies of `base` side by side, never holding more than one."""
    values = base.diff3d if dtype.kind == "f" else np.rint(np.square(base.diff3d))
    tile = np.ascontiguousarray(values, dtype)
    width = float(np.ptp(base.xcoords)) + 1
    shift = np.repeat(np.arange(n_tiles) * width, base.n_patterns)
    small: dict[str, AnyArray] = {
        "xcoords": np.tile(base.xcoords, n_tiles) + shift,
        "ycoords": np.tile(base.ycoords, n_tiles),
        "probeGuess": np.asarray(base.probeGuess),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in small.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array)
        with archive.open("diffraction.npy", "w", force_zip64=True) as stream:
            header = {"descr": dtype.str, "fortran_order": False, "shape": (n_tiles * len(tile), *tile.shape[1:])}
            np.lib.format.write_array_header_1_0(stream, header)
            for _ in range(n_tiles):
                stream.write(tile.data)


def write_sources(folder: Path, arguments: argparse.Namespace) -> int:
    """Write the scan files and return the number of their patterns."""
    base = simulate_scan(SimulationConfig(size=arguments.N, patterns=BASE_PATTERNS), seed=SEED)
    dtype = np.dtype(arguments.dtype)
    total = round(arguments.gib * 2**30 / (arguments.N**2 * dtype.itemsize))
    n_tiles = max(1, round(total / BASE_PATTERNS / arguments.scans))
    folder.mkdir()
    for index in range(arguments.scans):
        write_tiled_scan(folder / f"scan-{index}.npz", base, n_tiles, dtype)
    return n_tiles * BASE_PATTERNS * arguments.scans


def training_config(arguments: argparse.Namespace) -> TrainingConfig:
    model = ModelConfig(N=arguments.N, gridsize=arguments.gridsize, n_filters_scale=arguments.filters_scale)
    neighbours = max(4, 2 * model.channels)
    return TrainingConfig(
        model=model, nepochs=1, batch_size=arguments.batch_size, neighbor_count=neighbours, validation_fraction=0.0
    )


def build(arguments: argparse.Namespace) -> dict[str, Any]:
    folder = Path(arguments.folder)
    data = group_scans_on_disk(folder / "scans", folder / "set", training_config(arguments), SEED, every_point=True)
    return {"groups": data.training.n_groups}


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    dataset = open_dataset(Path(arguments.folder) / "set")
    config = fit_to_data(training_config(arguments), dataset.N, dataset.mean_photons, set())
    n_groups = min(dataset.n_groups, arguments.batches * arguments.batch_size)
    chosen = np.random.default_rng(SEED).choice(dataset.n_groups, n_groups, replace=False)
    execution = ExecutionConfig(seed=SEED, num_workers=arguments.workers, accelerator=arguments.accelerator)
    opened = peak_gib()
    model = train_source(dataset.subset(chosen), config, execution, backend=arguments.backend[0])
    return {"opened_gib": opened, "loss": model.history["loss"][-1], "batches": -(-n_groups // arguments.batch_size)}


def peak_gib() -> float:
    """Return the peak resident memory of this process, and of the largest of its ended children, if that is more."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * unit / 2**30


def in_a_process_of_its_own(step: str, folder: Path, backend: str, given: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, *given, "--step", step, "--folder", str(folder), "--backend", backend]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=4.0, help="size of the patterns in GiB")
    parser.add_argument("--backend", action="append", choices=["pytorch", "tensorflow"], help="may be repeated")
    parser.add_argument("--N", type=int, default=64)
    parser.add_argument("--gridsize", type=int, default=2)
    parser.add_argument("--scans", type=int, default=4, help="number of scan files")
    parser.add_argument("--dtype", choices=["float32", "uint16"], default="float32", help="amplitudes or counts")
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--filters-scale", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--where", help="folder that has the disk for it; the default is that for temporary files")
    parser.add_argument("--step", choices=["build", "train"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    if arguments.step is not None:
        arguments.backend = arguments.backend[-1:]
        started = perf_counter()
        result = {"build": build, "train": train}[arguments.step](arguments)
        print(json.dumps({**result, "seconds": perf_counter() - started, "peak_gib": peak_gib()}))
        return
    folder = Path(tempfile.mkdtemp(prefix="memory_of_training-", dir=arguments.where))
    given = sys.argv[1:]
    try:
        n_patterns = write_sources(folder / "scans", arguments)
        size = sum(file.stat().st_size for file in (folder / "scans").iterdir()) / 2**30
        print(f"{n_patterns} patterns of {arguments.N} x {arguments.N} in {arguments.scans} files, {size:.2f} GiB")
        built = in_a_process_of_its_own("build", folder, "pytorch", given)
        print(f"data set made   peak {built['peak_gib']:.2f} GiB   {built['groups']} groups, {built['seconds']:.0f} s")
        shutil.rmtree(folder / "scans")
        for backend in arguments.backend or ["pytorch", "tensorflow"]:
            trained = in_a_process_of_its_own("train", folder, backend, given)
            verdict = "within" if trained["peak_gib"] < LIMIT_GIB else "ABOVE"
            print(
                f"{backend:<15} peak {trained['peak_gib']:.2f} GiB   {verdict} {LIMIT_GIB} GiB; "
                f"{trained['opened_gib']:.2f} GiB with the data set open, {trained['batches']} batches, "
                f"{trained['seconds']:.0f} s"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
