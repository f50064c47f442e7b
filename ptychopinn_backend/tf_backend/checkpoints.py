"""Checkpoints: plain arrays and a JSON record in one NPZ file, written atomically and read without pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.atomic_file import atomic_file
from ptychopinn_backend.data.npz import member_names, read_npz
from ptychopinn_backend.data.source import GroupSource
from ptychopinn_backend.errors import TrainingError
from ptychopinn_backend.interface import BackendSetup

LAST_NAME: Final = "last.npz"
_RECORD: Final = "record"
_FREE_TO_DIFFER: Final = ("model", "output_dir", "train_data_file", "test_data_file", "backend", "n_images")
_RUN_DEFINING_OPTIONS: Final = (
    "seed",
    "learning_rate",
    "precision",
    "accum_steps",
    "checkpoint_monitor_metric",
    "checkpoint_mode",
)


@dataclass(frozen=True)
class Checkpoint:
    """Arrays by name and a record of numbers and texts."""

    arrays: Mapping[str, AnyArray]
    record: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write the file; it is there as a whole or not at all.

        Args:
            path: where.
        """
        arrays: dict[str, Any] = dict(self.arrays)
        arrays[_RECORD] = np.frombuffer(json.dumps(self.record).encode(), np.uint8)
        with atomic_file(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read what `write` wrote.

        Args:
            path: the file.

        Returns:
            The checkpoint.

        Raises:
            TrainingError: the file is damaged or not a checkpoint.
        """
        try:
            arrays = read_npz(path, member_names(path))
            record = json.loads(arrays.pop(_RECORD).tobytes())
            record["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise TrainingError(
                f"'{path}' is not a readable checkpoint of this package ({error}). "
                "Delete it, or train without resuming."
            ) from error
        return cls(arrays, record)

    def group(self, prefix: str) -> dict[str, AnyArray]:
        """Return the arrays of one prefix, without it."""
        start = f"{prefix}/"
        return {name[len(start) :]: array for name, array in self.arrays.items() if name.startswith(start)}


def with_prefix(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Return the arrays under a prefix, for `Checkpoint.group`."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def best_name(epoch: int) -> str:
    """Return the file name of the checkpoint of one of the best epochs."""
    return f"best-epoch{epoch:04d}.npz"


def fingerprint(setup: BackendSetup, training: GroupSource, validation: GroupSource | None) -> dict[str, Any]:
    """Return everything that decides how training goes on; `nepochs` only where the schedule depends on it.

    Args:
        setup: configuration and constants.
        training: groups to train on.
        validation: groups to validate on, or None.

    Returns:
        Values that JSON keeps exactly.
    """
    values = {
        **asdict(setup.model),
        **{name: value for name, value in asdict(setup.training).items() if name not in _FREE_TO_DIFFER},
        **{name: getattr(setup.execution, name) for name in _RUN_DEFINING_OPTIONS},
        "intensity_scale": setup.intensity_scale,
        "training groups": training.n_groups,
        "validation groups": 0 if validation is None else validation.n_groups,
        "probes": _digest(training.probes),
        "first training group": _digest(training.batch(np.arange(1)).X),
    }
    if setup.training.scheduler != "WarmupCosine":
        del values["nepochs"]
    return cast(dict[str, Any], json.loads(json.dumps(values)))


def _digest(array: AnyArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def require_same_run(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise unless a checkpoint belongs to this configuration.

    Args:
        path: the checkpoint.
        found: fingerprint in the checkpoint.
        expected: fingerprint of this run.

    Raises:
        TrainingError: names what differs.
    """
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if names:
        differing = "; ".join(f"{name} is {found.get(name)} there and {expected.get(name)} here" for name in names)
        raise TrainingError(
            f"The checkpoint '{path}' belongs to another run: {differing}. "
            "Use the same configuration and data, or train without resuming."
        )
