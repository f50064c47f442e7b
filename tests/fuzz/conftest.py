"""A small archive, taken apart."""

import zipfile

import numpy as np
import pytest

from ptychopinn_backend.archive import ArchiveContent, write_archive
from ptychopinn_backend.config import ModelConfig, TrainingConfig


@pytest.fixture(scope="session")
def archive_members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Member name -> bytes of a good archive."""
    content = ArchiveContent(
        backend="tensorflow",
        model=ModelConfig(N=32),
        training=TrainingConfig(model=ModelConfig(N=32)),
        intensity_scale=5.0,
        weights={
            "encoder/0/conv0/kernel": np.ones((3, 3, 1, 4), np.float32),
            "probe": np.ones((4, 4), np.complex64),
            "log_scale": np.float32(1.5),
        },
        history={"loss": [2.0, float("nan")]},
        params={"N": 32, "probe": np.ones((4, 4), np.complex64), "t": (1, None), "flag": np.bool_(True)},
    )
    path = write_archive(tmp_path_factory.mktemp("original") / "wts.h5.zip", content)
    with zipfile.ZipFile(path) as container:
        return {name: container.read(name) for name in container.namelist()}
