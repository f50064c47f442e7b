"""What a backend could do otherwise: compiled networks, and TensorFlow without oneDNN."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from time import perf_counter

from benchmarks.measuring import Figure
from benchmarks.scenes import SEED, cnn_config, simulated
from benchmarks.tables import Table
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.seam.interface import EpochReport

ROUNDS = 2
GROUPS, EPOCHS = 32, 5
CHOICES = (
    ("pytorch", "eager", False, {}),
    ("pytorch", "torch.compile", True, {}),
    ("tensorflow", "oneDNN", False, {"TF_ENABLE_ONEDNN_OPTS": "1"}),
    ("tensorflow", "without oneDNN", False, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
    ("tensorflow", "oneDNN and XLA", True, {"TF_ENABLE_ONEDNN_OPTS": "1"}),
)


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Choices within a backend",
        ("backend", "choice", "samples/s", "first epoch s"),
        "Training in float32 at (64, 1, 2), batch 16; every choice in processes of its own, taken in turn. The first "
        "epoch holds the tracing or compiling.",
    )
    found: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(1 if quick else ROUNDS):
        for backend, name, compiled, environment in CHOICES[:1] if quick else CHOICES:
            command = [sys.executable, "-m", "benchmarks.choices", backend, str(int(compiled)), str(int(quick))]
            finished = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **environment}
            )
            found.setdefault((backend, name), []).append(json.loads(finished.stdout.splitlines()[-1]))
    for (backend, name), rounds in found.items():
        later = [GROUPS / seconds for epochs in rounds for seconds in epochs[1:]]
        table.add(backend, name, Figure.of(later), Figure.of([epochs[0] for epochs in rounds]))
    return [table]


def epochs_of(backend: str, compiled: bool, quick: bool) -> list[float]:
    """Return the seconds of every epoch."""
    config = cnn_config(32, 1, 1, 2) if quick else cnn_config(64, 1, 2, EPOCHS)
    scan = simulated(config.model.N, 64)
    source = PtychoDataContainer.from_raw_data(scan, config.model, n_groups=GROUPS, seed=SEED)
    ends = [perf_counter()]

    def on_epoch(report: EpochReport) -> None:
        ends.append(perf_counter())

    execution = ExecutionConfig(seed=SEED, compile_model=compiled, deterministic=False)
    train_source(source, config, execution, backend=backend, on_epoch=on_epoch)
    return [after - before for before, after in pairwise(ends)]


if __name__ == "__main__":
    print(json.dumps(epochs_of(sys.argv[1], sys.argv[2] == "1", sys.argv[3] == "1")))
