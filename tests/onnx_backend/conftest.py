"""Small models as archives, untrained but off their special starting values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptychopinn_backend.archive import write_archive
from ptychopinn_backend.archive.content import ArchiveContent
from tests.contract.builders import backend_for, source_for
from tests.contract.numbers import perturb

MakeArchive = Callable[..., Path]


@pytest.fixture(scope="session")
def make_archive(tmp_path_factory: pytest.TempPathFactory) -> MakeArchive:
    """Write the archive of a model with the given options into a new folder; it holds the probes it was shown."""

    def make(trained_by: str = "pytorch", **options: Any) -> Path:
        source = source_for(options, n_groups=4)
        backend = backend_for(trained_by, source, **options)
        perturb(backend, 0.02)
        setup = backend.setup
        content = ArchiveContent(
            backend=trained_by,
            model=setup.model,
            training=setup.training,
            intensity_scale=setup.intensity_scale,
            weights=backend.dump_weights(),
            history={"loss": [2.0, 1.0]},
            params={"N": setup.model.N, "probe": source.probes[0], "label": "a"},
            seed=7,
            probes=source.probes,
        )
        return write_archive(tmp_path_factory.mktemp("model") / "wts.h5.zip", content)

    return make
