"""ONNX Runtime beside both frameworks on the CPU: patches per second, start-up, memory, and what to install."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.end_to_end import MAIN
from benchmarks.measuring import interleaved, interleaved_processes
from benchmarks.prepared import archive_and_scan
from benchmarks.scenes import SEED, cnn_config, preset_config, simulated
from benchmarks.tables import Table
from ptychopinn_backend.archive.content import ArchiveContent
from ptychopinn_backend.config import INFERENCE_BACKENDS, ONNX, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.factory import create_backend
from ptychopinn_backend.runs.trained_model import DEFAULT_INFERENCE_BATCH, TrainedModel
from ptychopinn_backend.seam.interface import BackendSetup

PATTERNS = 32
EXTRAS = {"pytorch": "torch", "tensorflow": "tensorflow", ONNX: "onnx"}
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def measure(quick: bool) -> list[Table]:
    # First: the peak of a process counts from that of its parent, which the rates make large.
    processes = [] if quick else [_whole_processes()]
    return [_rates(quick), *processes, _sizes()]


def _rates(quick: bool) -> Table:
    table = Table(
        "Prediction",
        ("N, gridsize, filters", "backend", "patches/s", "speed of PyTorch", "speed of TensorFlow"),
        f"Batches of {DEFAULT_INFERENCE_BATCH} groups, the same weights, in turn in one process on the CPU.",
    )
    cases = {"cnn 64, 1, 2": cnn_config(64, 1, 2, 1)}
    if not quick:
        cases["cnn 128, 1, 1"] = cnn_config(128, 1, 1, 1)
        cases["preset fast, N 64"] = preset_config("fast", 64, 1)[0]
        cases["preset fast, N 128"] = preset_config("fast", 128, 1)[0]
    for name, config in cases.items():
        models = _models(config)
        groups = PtychoDataContainer.from_raw_data(
            simulated(config.model.N, PATTERNS), models[ONNX].model, n_groups=PATTERNS, seed=SEED
        )
        runs = {
            backend: lambda model=model, groups=groups: list(model.backend.predict(groups, DEFAULT_INFERENCE_BATCH))
            for backend, model in models.items()
        }
        times = interleaved(runs, 1 if quick else 5)
        for backend, taken in times.items():
            patches = groups.n_groups * models[ONNX].model.channels
            ratios = [times[other].relative_to(taken) for other in ("pytorch", "tensorflow")]
            table.add(name, backend, taken.rate(patches), *ratios)
    return table


def _models(config: TrainingConfig) -> dict[str, TrainedModel]:
    """Return the same untrained model in every backend, as it predicts."""
    execution = ExecutionConfig(accelerator="cpu", seed=SEED)
    # The scan gives the probe; this one only stands in its place.
    probes = np.ones((1, 1, config.model.N, config.model.N), np.complex64)
    weights = create_backend(ONNX, BackendSetup(config.model, config, execution, 100.0, probes)).dump_weights()
    content = ArchiveContent("pytorch", config.model, config, 100.0, weights)
    return {name: TrainedModel.from_content(content, name, execution).one_by_one() for name in INFERENCE_BACKENDS}


def _whole_processes() -> Table:
    table = Table(
        "Whole processes",
        ("what", "backend", "s", "peak MiB"),
        f"Fresh processes in turn: the first pattern of cnn 64, 1, 2 from its archive; 'ptychopinn infer' of "
        f"{PATTERNS} patterns, polish and figures included.",
    )
    with TemporaryDirectory(prefix="bench-") as name:
        folder, commands = Path(name), {}
        archive, scan = archive_and_scan(folder, PATTERNS)
        for backend in INFERENCE_BACKENDS:
            child = ["-m", "benchmarks.first_prediction", str(archive), str(scan), backend]
            commands["first pattern", backend] = [sys.executable, *child]
            words = ["infer", str(archive), str(scan), "--backend", backend, "-o", str(folder / backend), "--quiet"]
            commands["infer", backend] = [sys.executable, "-c", MAIN, *words]
        times, peaks = interleaved_processes({" ".join(key): words for key, words in commands.items()}, 3)
    for what, backend in commands:
        key = f"{what} {backend}"
        table.add(what, backend, times[key].figure, peaks[key])
    return table


def _sizes() -> Table:
    table = Table(
        "Size of the environment",
        ("backend", "MiB beyond the base install", "packages"),
        "Files of all packages that the extra brings, as installed here.",
    )
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    base = _closure(project["dependencies"])
    for backend, extra in EXTRAS.items():
        brought = _closure(project["optional-dependencies"][extra]) - base
        table.add(backend, sum(map(_bytes, brought)) / 2**20, len(brought))
    return table


def _closure(requirements: Sequence[str]) -> set[str]:
    """Return the installed packages that requirements bring, without those of their extras."""
    found: set[str] = set()
    pending = list(requirements)
    while pending:
        requirement = pending.pop()
        match = _NAME.match(requirement)
        if match is None or "extra ==" in requirement:
            continue
        name = match.group().lower().replace("_", "-")
        if name in found:
            continue
        with suppress(PackageNotFoundError):  # of another system or version of Python
            pending += distribution(name).requires or []
            found.add(name)
    return found


def _bytes(package: str) -> int:
    files = distribution(package).files or []
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())
