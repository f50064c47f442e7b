"""A data set folder and settings of Ptychodus, mutated: opened, or refused with our own errors."""

import logging
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.settings import SettingsRegistry

from ptychodus_plugin.configuration import execution_config, training_config
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset, open_dataset
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError, DataError

from .mutator import mutate, mutate_npz, mutate_words, unzipped, zipped
from .payloads import MARKER, PAYLOADS
from .watch import INPUTS, Watch

MODEL = ModelConfig(N=32, gridsize=2)


def read_all(folder: Path) -> None:
    dataset = open_dataset(folder)
    dataset.batch(np.arange(dataset.n_groups))
    for index in range(len(dataset.names)):
        dataset.scan(index)


def make_dataset(folder: Path) -> dict[Path, bytes]:
    """Make a data set and return the content of its files."""
    scan = folder / "scan.npz"
    simulate_scan(SimulationConfig(size=32, patterns=9, photons=1e4), seed=1).to_file(scan)
    create_dataset(scan, folder / "dataset", MODEL, DatasetOptions())
    paths = sorted(path for path in (folder / "dataset").rglob("*") if path.is_file() and path.stat().st_size)
    return {path: path.read_bytes() for path in paths}


def test_mutated_data_sets_are_read_or_refused(folder: Path, watch: Watch) -> None:
    files = make_dataset(folder)
    rng = np.random.default_rng(4)
    for number in range(INPUTS):
        path = sorted(files)[number % len(files)]
        inside = {".json": mutate_words, ".npz": mutate_npz}.get(path.suffix, mutate)
        data = (inside if rng.random() < 0.6 else mutate)(files[path], rng)
        watch.reads(lambda _: read_all(folder / "dataset"), path, data, DataError)
        path.write_bytes(files[path])
    assert watch.opened > 0
    assert watch.refused > 0


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_file_of_a_data_set_is_unpickled(payload: bytes, folder: Path, watch: Watch) -> None:
    for path, content in make_dataset(folder).items():
        planted = [payload]
        if path.suffix == ".npz":
            members = unzipped(content)
            planted += [zipped({**members, name: payload}) for name in members]
        for data in planted:
            assert not watch.reads(lambda _: read_all(folder / "dataset"), path, data, DataError)
        path.write_bytes(content)
    assert not Path(MARKER).exists()


def read_settings(path: Path) -> None:
    registry = SettingsRegistry()
    settings = LibrarySettings(registry)
    try:
        registry.open_settings(path)
    except (ValueError, ArithmeticError):
        # The host itself does not read a text where it wants a number.
        raise ConfigError("The host refuses the file.") from None
    for reconstructor in ("pinn", "supervised"):
        execution_config(settings, reconstructor)
        training_config(settings, reconstructor)


def test_mutated_settings_are_read_or_refused(folder: Path, watch: Watch) -> None:
    path = folder / "settings.ini"
    registry = SettingsRegistry()
    LibrarySettings(registry)
    registry.save_settings(path)
    good = path.read_bytes()
    rng = np.random.default_rng(5)
    logging.getLogger("ptychodus").setLevel(logging.CRITICAL)
    for _ in range(INPUTS):
        data = (mutate_words if rng.random() < 0.8 else mutate)(good, rng)
        watch.reads(read_settings, path, data, ConfigError)
    assert watch.opened > 0
    assert watch.refused > 0
