"""The GPU paths of PyTorch in one command: right first, then fast.

`python -m benchmarks.gpu` needs PyTorch and this package; no installation beyond them. On a machine without a GPU it
runs on the CPU, where `--quick` takes tiny sizes: then it shows that the program works, and its rates mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from benchmarks.convolutions import forward_flops
from benchmarks.machine import describe
from benchmarks.scenes import SEED, cnn_config, preset_config, scan_of, simulated
from benchmarks.tables import Table, markdown
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.scaling import default_intensity_scale
from ptychopinn_backend.factory import create_backend
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.seam.interface import BackendSetup, EpochReport

RESULTS: Final = Path(__file__).parent / "results"
PRECISIONS: Final[dict[str, str]] = {"float32": "32-true", "bf16": "bf16-mixed"}
TOLERANCE: Final = 2e-3
"""Largest difference between CPU and GPU, relative to the largest number; convolutions add up in another order."""
_PRODUCT_SIDE: Final = 8192
_PRODUCT_ROUNDS: Final = 20


def _precisions(accelerator: str) -> dict[str, str]:
    # Many processors only imitate bf16, up to ten times slower.
    return PRECISIONS if accelerator == "gpu" else {"float32": PRECISIONS["float32"]}


def _fastest(accelerator: str) -> str:
    return list(_precisions(accelerator).values())[-1]


class Sizes(NamedTuple):
    """How much is measured."""

    patterns: tuple[int, ...]
    """Sides N."""
    groups: int
    """Of an epoch."""
    epochs: int
    large_scan: int
    """Patterns of the scan that is reconstructed."""
    product_side: int


FULL: Final = Sizes((64, 128), 1024, 4, 10_000, _PRODUCT_SIDE)
QUICK: Final = Sizes((32,), 4, 2, 20, 128)


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return 1 where the GPU gives other numbers than the CPU, or a part failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; only shows that the program works")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder for gpu.json and gpu.md")
    given = parser.parse_args(arguments)
    sizes = QUICK if given.quick else FULL
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    parts: dict[str, Callable[[], Table]] = {
        "correctness": lambda: correctness(sizes, accelerator),
        "training": lambda: training(sizes, accelerator),
        "options": lambda: options(sizes, accelerator),
        "inference": lambda: inference(sizes, accelerator),
        "profile": lambda: profile(sizes, accelerator),
    }
    result: dict[str, Any] = {
        "machine": {**describe(), "device": torch.cuda.get_device_name() if accelerator == "gpu" else "cpu"},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "tables": [],
        "errors": {},
    }
    given.output.mkdir(parents=True, exist_ok=True)
    for name, measure in parts.items():
        started = perf_counter()
        try:
            table = measure().as_json()
        except Exception as error:  # the other parts are still worth having
            result["errors"][name] = f"{type(error).__name__}: {error}"
            print(f"{name} failed: {error}", file=sys.stderr)
        else:
            result["tables"].append(table)
            print(markdown(table))
        print(f"{name}: {perf_counter() - started:.0f} s", file=sys.stderr)
        (given.output / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
    text = "\n".join(markdown(table) for table in result["tables"])
    (given.output / "gpu.md").write_text(f"# {result['machine']['device']}, {result['time']}\n\n{text}")
    return 1 if result["errors"] or _wrong(result["tables"]) else 0


def _wrong(tables: list[dict[str, Any]]) -> bool:
    return any(row[-1] == "no" for table in tables if table["title"] == "Correctness" for row in table["rows"])


def _configurations(N: int) -> dict[str, tuple[TrainingConfig, ExecutionConfig]]:
    return {
        "cnn": (cnn_config(N, 1, 1, 1, batch_size=4), ExecutionConfig(seed=SEED)),
        "preset fast": preset_config("fast", N, 1),
    }


def _source(config: TrainingConfig, groups: int) -> PtychoDataContainer:
    scan = scan_of(config.model.N, max(groups, 4 * config.model.channels))
    return PtychoDataContainer.from_raw_data(
        scan, config.model, n_groups=groups, neighbor_count=config.neighbor_count, seed=SEED
    )


def correctness(sizes: Sizes, accelerator: str) -> Table:
    """Compare patches, losses and gradients of CPU and device, from the same weights."""
    table = Table("Correctness", ("network", "what", "largest difference", "equal"), f"Limit {TOLERANCE:g}.")
    for name, (config, execution) in _configurations(min(sizes.patterns)).items():
        source = _source(config, 4 * config.batch_size)
        scale = default_intensity_scale(config.nphotons, config.model.N)
        found = []
        weights = None
        for device in ("cpu", accelerator):
            setup = BackendSetup(config.model, config, replace(execution, accelerator=device), scale, source.probes)
            backend = create_backend("pytorch", setup)
            weights = backend.dump_weights() if weights is None else weights
            backend.load_weights(weights)
            batch = source.batch(np.arange(config.batch_size))
            patches = np.concatenate(list(backend.predict(source, config.batch_size)))
            losses, gradients = backend.losses(batch, source), backend.gradients(batch, source)
            found.append({"patches": {"": patches}, "losses": losses, "gradients": gradients})
        for what, expected in found[0].items():
            differences = [
                float(np.abs(np.asarray(found[1][what][key]) - value).max() / max(float(np.abs(value).max()), 1e-6))
                for key, value in expected.items()
            ]
            table.add(name, what, max(differences), "yes" if max(differences) < TOLERANCE else "no")
    return table


def training(sizes: Sizes, accelerator: str) -> Table:
    """Measure samples a second and the share of a dense product's rate."""
    table = Table(
        "Training",
        ("network", "N", "precision", "batch", "samples/s", "TFLOP/s", "share of dense product", "peak GiB"),
        "A sample is a group. The best epoch but the first.",
    )
    for precision, name_of in _precisions(accelerator).items():
        peak = _dense_flops(precision, sizes.product_side, accelerator)
        for N in sizes.patterns:
            for name, (config, execution) in _configurations(N).items():
                for batch in sorted({config.batch_size, min(16, sizes.groups)}):
                    asked = replace(config, batch_size=batch, nepochs=sizes.epochs)
                    run = replace(execution, accelerator=accelerator, precision=name_of)
                    epoch_s, memory = _epoch_s(asked, run, sizes.groups)
                    flops = 3 * sizes.groups * forward_flops(config.model) / epoch_s
                    table.add(name, N, precision, batch, sizes.groups / epoch_s, flops / 1e12, flops / peak, memory)
    return table


def options(sizes: Sizes, accelerator: str) -> Table:
    """Compare options that change how a step is computed, one run after the other."""
    table = Table("Options", ("option", "samples/s"), "Preset fast, the largest N.")
    config, execution = preset_config("fast", max(sizes.patterns), sizes.epochs)
    base = replace(execution, accelerator=accelerator, precision=_fastest(accelerator))
    variants = {"as it is": (config, base)}
    if accelerator == "gpu":
        variants["compile_model"] = (config, replace(base, compile_model=True))
        variants["fsdp on one device"] = (config, replace(base, strategy="fsdp", devices=1))
    for name, (asked, run) in variants.items():
        epoch_s, _ = _epoch_s(asked, run, sizes.groups)
        table.add(name, sizes.groups / epoch_s)
    return table


def inference(sizes: Sizes, accelerator: str) -> Table:
    """Reconstruct a large scan: patches predicted and stitched, and the whole with polish."""
    table = Table(
        "Inference",
        ("N", "precision", "patterns", "patches/s stitched", "seconds polished", "of which polish", "peak GiB"),
        "Preset fast, one group a pattern.",
    )
    for N in sizes.patterns:
        scan = scan_of(N, sizes.large_scan)
        for precision, name_of in _precisions(accelerator).items():
            config, execution = preset_config("fast", N, 1)
            run = replace(execution, accelerator=accelerator, precision=name_of)
            model = train_source(_source(config, min(16, sizes.groups)), config, run, backend="pytorch")
            model = model.one_by_one()
            _reset_memory()
            reconstruct(model, simulated(N), polish_steps=0)
            started = perf_counter()
            reconstruct(model, scan, polish_steps=0)
            stitched_s = perf_counter() - started
            made = reconstruct(model, scan, polish_steps=8)
            table.add(
                N, precision, scan.n_patterns, scan.n_patterns / stitched_s, made.info["elapsed_s"],
                made.info["polish_s"], _memory_gib(),
            )  # fmt: skip
    return table


def profile(sizes: Sizes, accelerator: str) -> Table:
    """Name the operations that take most of a training step's time."""
    table = Table("Profile", ("operation", "calls", "ms", "share"), "Preset fast, one epoch.")
    config, execution = preset_config("fast", max(sizes.patterns), 1)
    run = replace(execution, accelerator=accelerator, precision=_fastest(accelerator))
    source = _source(config, min(64, sizes.groups))
    activities = [torch.profiler.ProfilerActivity.CPU]
    if accelerator == "gpu":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        train_source(source, config, run, backend="pytorch")
    key = "self_device_time_total" if accelerator == "gpu" else "self_cpu_time_total"
    averages = sorted(profiler.key_averages(), key=lambda event: -float(getattr(event, key)))
    total = sum(float(getattr(event, key)) for event in averages)
    for event in averages[:15]:
        taken = float(getattr(event, key))
        table.add(event.key[:60], event.count, taken / 1e3, taken / total if total else 0.0)
    return table


def _epoch_s(config: TrainingConfig, execution: ExecutionConfig, groups: int) -> tuple[float, float]:
    """Train; return the shortest epoch but the first, seconds, and the peak of the device's memory, GiB."""
    _reset_memory()
    ended = [perf_counter()]

    def on_epoch(_: EpochReport) -> None:
        ended.append(perf_counter())

    train_source(_source(config, groups), config, execution, backend="pytorch", on_epoch=on_epoch)
    return float(np.diff(ended)[1:].min()), _memory_gib()


def _dense_flops(precision: str, side: int, accelerator: str) -> float:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    device = "cuda" if accelerator == "gpu" else "cpu"
    left, right = torch.randn(2, side, side, device=device, dtype=dtype)
    times = []
    for _ in range(_PRODUCT_ROUNDS):
        _wait()
        started = perf_counter()
        torch.mm(left, right)
        _wait()
        times.append(perf_counter() - started)
    return 2.0 * side**3 / float(np.median(times[1:]))


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _reset_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _memory_gib() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


if __name__ == "__main__":
    raise SystemExit(main())
