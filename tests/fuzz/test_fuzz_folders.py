"""A data set folder and settings of Ptychodus, mutated: opened, or refused with our own errors."""

import logging
from pathlib import Path

import numpy as np
from ptychodus.api.settings import SettingsRegistry

from ptychodus_plugin.configuration import execution_config, training_config
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import create_dataset, open_dataset
from ptychopinn_backend.data.dataset.options import DatasetOptions
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.errors import ConfigError, DataError

from .mutator import mutate, mutate_npz, mutate_words
from .watch import INPUTS, limited_memory, open_or_refuse

MODEL = ModelConfig(N=32, gridsize=2)


def read_all(folder: Path) -> None:
    dataset = open_dataset(folder)
    dataset.batch(np.arange(dataset.n_groups))


def test_mutated_data_sets_are_read_or_refused(tmp_path: Path) -> None:
    scan = tmp_path / "scan.npz"
    simulate_scan(SimulationConfig(size=32, patterns=9, photons=1e4), seed=1).to_file(scan)
    folder = tmp_path / "dataset"
    create_dataset(scan, folder, MODEL, DatasetOptions())
    files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size}
    rng = np.random.default_rng(4)
    opened = 0
    with limited_memory():
        for number in range(INPUTS):
            path = sorted(files)[number % len(files)]
            inside = {".json": mutate_words, ".npz": mutate_npz}.get(path.suffix, mutate)
            data = (inside if rng.random() < 0.6 else mutate)(files[path], rng)
            opened += open_or_refuse(lambda _: read_all(folder), path, data, DataError)
            path.write_bytes(files[path])
    assert 0 < opened < INPUTS


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


def test_mutated_settings_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    registry = SettingsRegistry()
    LibrarySettings(registry)
    registry.save_settings(path)
    good = path.read_bytes()
    rng = np.random.default_rng(5)
    logging.getLogger("ptychodus").setLevel(logging.CRITICAL)
    opened = 0
    with limited_memory():
        for _ in range(INPUTS):
            data = (mutate_words if rng.random() < 0.8 else mutate)(good, rng)
            opened += open_or_refuse(read_settings, path, data, ConfigError)
    assert 0 < opened < INPUTS
