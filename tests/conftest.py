"""Fixtures every test may use, and the settings that must be made before a framework or matplotlib is imported."""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

# Every run draws the same examples, so that a failure belongs to the change that made it; `make fuzz` draws new ones.
settings.register_profile("same_examples", derandomize=True, deadline=None)
if "FUZZ_INPUTS" not in os.environ:
    settings.load_profile("same_examples")

# A shell that runs the tests in the background lets them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests: one that comes last keeps one process busy while the others have nothing."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def log_level() -> None:
    """The command line sets the level of the package's logger for the process; every test starts with none."""
    logging.getLogger("ptychopinn_backend").setLevel(logging.NOTSET)


@pytest.fixture
def kept_parameters() -> Iterator[None]:
    """Whatever a test does to the legacy `params.cfg`, the next one finds it as it was."""
    from ptychopinn_backend import params

    saved = params.snapshot()
    yield
    params.restore(saved)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the recorded numbers."""
    return PROJECT_ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Folder `shared` beside the project root, with measured data that is too large for the repository."""
    folder = PROJECT_ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"the folder '{folder}' with measured data is not there")
    return folder
