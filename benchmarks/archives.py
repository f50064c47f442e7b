"""Writing and reading an archive, beside writing and reading the same bytes."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.convolutions import layers
from benchmarks.measuring import interleaved, peak_mib
from benchmarks.scenes import SEED, cnn_config
from benchmarks.tables import Table
from ptychopinn_backend.archive import ArchiveContent, read_archive, write_archive


def measure(quick: bool) -> list[Table]:
    table = Table(
        "Archive",
        ("n_filters_scale", "MB", "step", "s", "relative to the bare file", "peak MiB"),
        "`wts.h5.zip` of the network for N 128. The bare file is the archive's bytes written with fsync, or read.",
    )
    for scale in (1,) if quick else (1, 4):
        config = cnn_config(128, 2, scale, nepochs=1)
        rng = np.random.default_rng(SEED)
        weights = {
            f"layer{number}/kernel": rng.normal(size=(layer.size, layer.size, layer.in_maps, layer.out_maps))
            for number, layer in enumerate(layers(config.model))
        }
        content = ArchiveContent(
            backend="pytorch",
            model=config.model,
            training=config,
            intensity_scale=1.0,
            weights={name: array.astype(np.float32) for name, array in weights.items()},
            history={"loss": [1.0] * 50},
            params={},
            versions={},
        )
        with TemporaryDirectory(prefix="bench-") as folder:
            path, bare = Path(folder) / "wts.h5.zip", Path(folder) / "bare"
            write_archive(path, content)
            peaks = {"save": peak_mib()}
            read_archive(path)
            peaks["load"] = peak_mib()
            image = path.read_bytes()
            times = interleaved(
                {
                    "save": lambda path=path, content=content: write_archive(path, content),
                    "bare write": lambda bare=bare, image=image: _write(bare, image),
                    "load": lambda path=path: read_archive(path),
                    "bare read": lambda bare=bare: bare.read_bytes(),
                },
                1 if quick else 7,
            )
        for step, bound in (("save", "bare write"), ("load", "bare read")):
            ratio = times[step].relative_to(times[bound])
            table.add(scale, len(image) / 1e6, step, times[step].figure, ratio, peaks[step])
    return [table]


def _write(path: Path, image: bytes) -> None:
    with path.open("wb") as file:
        file.write(image)
        os.fsync(file.fileno())
