"""Every file format that the engine reads, except `wts.h5.zip`: a good file, its reader, the errors it may raise."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ptychopinn_backend.archive import ArchiveContent, read_archive
from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.yaml_file import load_run_config
from ptychopinn_backend.data.group_cache import cached_neighbours
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig
from ptychopinn_backend.data.simulation.objects import make_object
from ptychopinn_backend.errors import ArchiveError, ConfigError, DataError, PtychoPINNError, TrainingError
from ptychopinn_backend.networks.weights import LOG_SCALE
from ptychopinn_backend.runs.simulation_plan import read_plan
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction
from ptychopinn_backend.tf_backend.checkpoints import Checkpoint
from ptychopinn_backend.torch_configs import OptionSets, load_option_sets, save_option_sets

from .mutator import Mutation, mutate, mutate_hdf5, mutate_npz, mutate_onnx, mutate_words, mutate_zip
from .scan_formats import write_cxi, write_product, write_ptyd

NEIGHBOURS = np.array([[1, 2], [0, 2], [1, 0], [2, 1]], np.int32)


@dataclass(frozen=True)
class Format:
    """One file format."""

    name: str
    file_name: str
    good: Callable[[Path], None]
    """Writes a good file."""
    read: Callable[[Path], object]
    refusals: type[PtychoPINNError]
    mutate_inside: Mutation
    """Keeps the outer structure."""
    writes: bool = False
    """Reading may replace the file."""


def _write_scan(path: Path) -> None:
    rng = np.random.default_rng(1)
    np.savez(
        path,
        diffraction=rng.poisson(20, (4, 8, 8)).astype(np.uint16),
        xcoords=np.arange(4.0),
        ycoords=np.arange(4.0),
        xcoords_start=np.arange(4.0),
        ycoords_start=np.arange(4.0),
        probeGuess=np.ones((2, 8, 8), np.complex64),
        objectGuess=np.ones((20, 20), np.complex64),
        scan_index=np.zeros(4, np.int64),
        bad_pixels=np.zeros((8, 8), bool),
        Y=np.ones((4, 8, 8), np.complex64),
        _metadata=np.array(json.dumps({"nphotons": 1e6, "measurement": "counts"})),
    )


def _write_training_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["patterns"] = np.random.default_rng(1).poisson(20, (4, 8, 8)).astype(np.uint16)
        file["probe_position_x_px"] = np.arange(4.0)
        file["probe_position_y_px"] = np.arange(4.0)
        file["probe"] = np.ones((2, 8, 8), np.complex64)
        file["object"] = np.ones((20, 20), np.complex64)
        file["bad_pixels"] = np.zeros((8, 8), bool)
        file["photon_energy_eV"] = 8800.0


def _write_image(path: Path) -> None:
    from matplotlib.image import imsave

    imsave(path, np.random.default_rng(1).random((12, 12)))


def _write_object(path: Path) -> None:
    np.save(path, np.ones((12, 12), np.complex64))


def _read_object(path: Path) -> object:
    return make_object(SimulationConfig(object="file", object_file=path), (16, 16), np.random.default_rng(1))


def _write_reconstruction(path: Path) -> None:
    Reconstruction(
        object=np.ones((12, 12), np.complex64),
        origin_rc=(1.0, 2.0),
        probe=np.ones((1, 8, 8), np.complex64),
        weight=np.ones((12, 12), np.float32),
        positions_xy=np.ones((3, 2)),
        info={"epochs": 3},
    ).save_npz(path)


def _write_cache(path: Path) -> None:
    cached_neighbours(path, "f" * 64, NEIGHBOURS.shape, NEIGHBOURS.copy)


def _read_cache(path: Path) -> None:
    found = cached_neighbours(path, "f" * 64, NEIGHBOURS.shape, NEIGHBOURS.copy)
    assert found.shape == NEIGHBOURS.shape
    assert found.min() >= -1
    assert found.max() < len(NEIGHBOURS)


def _write_checkpoint(path: Path) -> None:
    arrays: dict[str, AnyArray] = {"weights/kernel": np.ones((3, 3), np.float32), "optimiser/0": np.ones(3)}
    Checkpoint(arrays, {"epoch": 3, "fingerprint": {"seed": 1}}).write(path)


def _write_torch_checkpoint(path: Path) -> None:
    import torch

    from ptychopinn_backend.torch_backend.lightning_module import CHECKPOINT_KEY

    state = {"fingerprint": {"seed": "1"}, "progress": {"epoch": 1}, "best_weights": {"kernel": torch.ones(3, 3)}}
    torch.save({CHECKPOINT_KEY: state, "state_dict": {"kernel": torch.ones(3, 3)}}, path)


def _read_torch_checkpoint(path: Path) -> object:
    from ptychopinn_backend.torch_backend.checkpoints import read_checkpoint

    return read_checkpoint(path, {"seed": "1"})


RUN_CONFIG = """\
model:
  N: 64
  gridsize: 2
  amp_activation: swish
  probe_mask_diameter: 20.5
training:
  nepochs: 3
  batch_size: 8
  nphotons: 1e6
  n_images: 64
  realspace_weight: 0.1
  tv_weight: 0.1
  train_data_file: scan.npz
  scheduler: WarmupCosine
execution: {learning_rate: 1.0e-3, seed: 7, accelerator: cpu, precision: 32-true}
output_dir: out
"""
PLAN = """\
size: 32
photons: 1e5
probe: zone_plate
mode_fractions: [0.75, 0.25]
object_file: null
scans:
  - {name: first, patterns: 20, scan: spiral, seed: 3}
  - {name: second, patterns: 30, repeat: 2, jitter: 0.1, beam_stop_px: 3}
"""


def _write_exported_model(path: Path) -> None:
    from ptychopinn_backend.onnx_backend.export import export_model
    from ptychopinn_backend.onnx_backend.model import starting_weights

    model = ModelConfig(N=32, n_filters_scale=1, border_width=2)
    weights = starting_weights(model, 1) | {LOG_SCALE: np.array(1.5, np.float32)}
    content = ArchiveContent("pytorch", model, TrainingConfig(model=model), 5.0, weights, params={"t": np.ones(3)})
    export_model(content, path)


FORMATS = (
    Format("exported model", "model.onnx", _write_exported_model, read_archive, ArchiveError, mutate_onnx),
    Format("training HDF5", "scan.h5", _write_training_hdf5, RawData.from_file, DataError, mutate_hdf5),
    Format("CXI scan", "scan.cxi", write_cxi, RawData.from_file, DataError, mutate_hdf5),
    Format("PtyPy scan", "scan.ptyd", write_ptyd, RawData.from_file, DataError, mutate_hdf5),
    Format("Ptychodus product", "product.h5", write_product, RawData.from_file, DataError, mutate_hdf5),
    Format("object image", "object.png", _write_image, _read_object, DataError, mutate),
    Format("object array", "object.npy", _write_object, _read_object, DataError, mutate),
    Format("scan", "scan.npz", _write_scan, RawData.from_file, DataError, mutate_npz),
    Format(
        "reconstruction", "reconstruction.npz", _write_reconstruction, Reconstruction.load_npz, DataError, mutate_npz
    ),
    Format(
        "neighbour cache", "scan.g1k2.groups_cache.npz", _write_cache, _read_cache, DataError, mutate_npz, writes=True
    ),
    Format(
        "run configuration",
        "run.yaml",
        lambda path: write(path, RUN_CONFIG),
        load_run_config,
        ConfigError,
        mutate_words,
    ),
    Format(
        "simulation plan",
        "plan.yaml",
        lambda path: write(path, PLAN),
        lambda path: read_plan(path, {}),
        ConfigError,
        mutate_words,
    ),
    Format(
        "PyTorch option sets",
        "options.json",
        lambda path: save_option_sets(path, OptionSets()),
        load_option_sets,
        ConfigError,
        mutate_words,
    ),
    Format("TensorFlow checkpoint", "last.npz", _write_checkpoint, Checkpoint.read, TrainingError, mutate_npz),
    Format(
        "PyTorch checkpoint", "last.ckpt", _write_torch_checkpoint, _read_torch_checkpoint, TrainingError, mutate_zip
    ),
)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def good_bytes(form: Format, folder: Path) -> bytes:
    """Return the content of a good file."""
    form.good(folder / form.file_name)
    return (folder / form.file_name).read_bytes()
