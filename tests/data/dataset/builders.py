"""Programs that other processes run: building a data set at once with others, or until they are killed."""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
import time
from pathlib import Path

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import DatasetOptions, create_dataset
from ptychopinn_backend.data.grouping import GroupingOptions

OPTIONS = DatasetOptions(grouping=GroupingOptions(n_groups=20))
"""Without a seed: processes agree on groups only where they share them."""


def build_at(start_s: float, scans: list[Path], folder: Path) -> None:
    """Build at a given time and print what was seen."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("ptychopinn_backend").addHandler(handler)
    logging.getLogger("ptychopinn_backend").setLevel(logging.INFO)
    model = ModelConfig(N=32, gridsize=2)
    time.sleep(max(0.0, start_s - time.time()))
    dataset = create_dataset(scans, folder, model, OPTIONS)
    built = sum(message.startswith("Built the data set") for message in messages)
    print(json.dumps({"built": built, "rows": dataset.nn_indices.tolist()}))  # noqa: T201


def build_until_killed(scans: list[Path], folder: Path) -> None:
    """Let the kernel kill this process at the first byte of a file beyond 200 000."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    create_dataset(scans, folder, ModelConfig(N=32, gridsize=2), OPTIONS)


if __name__ == "__main__":
    paths = [Path(item) for item in sys.argv[3:]]
    if sys.argv[1] == "killed":
        build_until_killed(paths, Path(sys.argv[2]))
    else:
        build_at(float(sys.argv[1]), paths, Path(sys.argv[2]))
