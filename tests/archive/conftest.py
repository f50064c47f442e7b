"""A small archive content and ways to rebuild an archive with one thing changed."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.archive import ArchiveContent, write_archive
from ptychopinn_backend.config import ModelConfig, TrainingConfig


@pytest.fixture
def content() -> ArchiveContent:
    rng = np.random.default_rng(7)
    return ArchiveContent(
        backend="pytorch",
        model=ModelConfig(N=32, gridsize=2, probe_mask_diameter=17.5),
        training=TrainingConfig(
            model=ModelConfig(N=32, gridsize=2, probe_mask_diameter=17.5),
            train_data_file=Path("scan.npz"),
            nphotons=1e6,
            gradient_clip_val=0.1,
        ),
        intensity_scale=31.25,
        weights={
            "encoder/0/conv0/kernel": rng.normal(size=(3, 3, 4, 8)).astype(np.float32),
            "encoder/0/conv0/bias": np.zeros(8, np.float32),
            "probe": (rng.normal(size=(2, 32, 32)) + 1j * rng.normal(size=(2, 32, 32))).astype(np.complex64),
            "log_scale": np.float32(3.4420192),
            "empty": np.zeros((0, 3), np.float32),
        },
        history={"loss": [1.5, 0.1 + 0.2], "val_loss": [float("nan"), float("inf")]},
        params={
            "N": 32,
            "nphotons": 1e9,
            "outer_offset_train": None,
            "gridsize": 2,
            "label": "",
            "output_prefix": Path("outputs"),
            "shape": (1, (2.0, None), [3, True]),
            "__type__": "a key that looks like a tag",
            "probe": (rng.normal(size=(32, 32)) + 1j).astype(np.complex64),
            "count": np.int64(5),
            "scale": np.float32(0.1),
            "factor": complex(1, -0.0),
            "gap": float("-inf"),
        },
        versions={"python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0"},
        created="2025-03-01T12:00:00+00:00",
        package_version="0.1.0",
        seed=7,
        probes=(rng.normal(size=(2, 3, 32, 32)) + 1j).astype(np.complex64),
    )


@pytest.fixture
def archive(content: ArchiveContent, tmp_path: Path) -> Path:
    return write_archive(tmp_path / "wts.h5.zip", content)


@pytest.fixture
def rebuild(archive: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that rewrites the archive: `name=bytes` replaces a member, None drops it."""

    def rebuilt(changes: dict[str, bytes | None], **zip_options: Any) -> Path:
        members = read_zip(archive) | changes
        changed = tmp_path / "changed" / "wts.h5.zip"
        changed.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(changed, "w", **zip_options) as container:
            for name, member in members.items():
                if member is not None:
                    container.writestr(name, member)
        return changed

    return rebuilt


def read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as container:
        return {name: container.read(name) for name in container.namelist()}
