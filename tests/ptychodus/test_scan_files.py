"""Scan files that Ptychodus itself wrote, in every format it writes, are the scan that its reconstructors are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ptychodus")
from ptychodus.api.assemble import AssembledDiffractionData
from ptychodus.api.diffraction import (
    DiffractionDatasetLayoutNode,
    DiffractionMetadata,
    SimpleDiffractionArray,
    SimpleDiffractionDataset,
)
from ptychodus.api.geometry import ImageExtent, PixelGeometry
from ptychodus.api.io import save_diffraction_data, save_product
from ptychodus.api.plugins import PluginRegistry
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.reconstruct import ReconstructInput, prepare_reconstruct_input

from ptychodus_plugin.product import raw_data_of
from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData

from .scenes import DETECTOR_PIXEL_M, make_input

PIXEL = PixelGeometry(DETECTOR_PIXEL_M, DETECTOR_PIXEL_M)
Write = Callable[[Path, AssembledDiffractionData, ReconstructInput], Path]


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry.load_plugins()


@pytest.fixture(scope="module")
def parameters() -> ReconstructInput:
    return make_input(step_px=9.0, modes=2, bad_pixels=True)[0]


def dataset_of(parameters: ReconstructInput, indexes: np.ndarray) -> SimpleDiffractionDataset:
    patterns = parameters.diffraction_patterns
    # Ptychodus 1.6 calls it the energy of the probe.
    name = next(field for field in ("photon_energy_eV", "probe_energy_eV") if hasattr(DiffractionMetadata, field))
    energy = {name: getattr(parameters.product.metadata, name)}
    metadata = DiffractionMetadata(
        [len(patterns)],
        patterns.dtype,
        ImageExtent(patterns.shape[2], patterns.shape[1]),
        detector_distance_m=parameters.product.metadata.detector_distance_m,
        detector_pixel_geometry=PIXEL,
        **energy,
    )
    array = SimpleDiffractionArray("scan", indexes, patterns)
    layout = DiffractionDatasetLayoutNode.create_root()
    return SimpleDiffractionDataset(metadata, layout, [array], parameters.bad_pixels)


@pytest.mark.parametrize("product", ["HDF5", "NPZ", "CXI"])
@pytest.mark.parametrize("patterns", ["HDF5", "NPZ", "CXI"])
def test_what_the_host_writes_is_what_its_reconstructors_see(
    patterns: str, product: str, parameters: ReconstructInput, registry: PluginRegistry, tmp_path: Path
) -> None:
    # Numbers that start late, with a position too many and one missing; CXI files number their patterns from 0.
    first = 0 if patterns == "CXI" else 5
    indexes = np.arange(len(parameters.diffraction_patterns)) + first
    points = [
        ProbePosition(int(i), p.x_m, p.y_m) for i, p in zip(indexes, parameters.product.probe_positions, strict=True)
    ]
    points = [*points[:3], *points[4:], ProbePosition(int(indexes[-1]) + 1, points[0].x_m, points[0].y_m)]
    scan = replace(parameters.product, probe_positions=ProbePositionSequence(points))
    assembled = AssembledDiffractionData(indexes, parameters.diffraction_patterns, PIXEL, parameters.bad_pixels)
    names = {"HDF5": "h5", "NPZ": "npz", "CXI": "cxi"}
    first_file = tmp_path / f"diffraction.{names[patterns]}"
    if patterns == "HDF5":
        save_diffraction_data(first_file, assembled)
    else:
        writer = registry.diffraction_file_writers.get_strategy_by_name(patterns)
        writer.write(first_file, dataset_of(parameters, indexes))
    second_file = tmp_path / f"product.{names[product]}"
    if product == "HDF5":
        save_product(second_file, scan)
    else:
        registry.product_file_writers.get_strategy_by_name(product).write(second_file, scan)

    expected = raw_data_of(prepare_reconstruct_input(assembled, scan))
    for named in (first_file, second_file, tmp_path):
        found = RawData.from_file(named)
        np.testing.assert_array_equal(found.diff3d, expected.diff3d)
        np.testing.assert_allclose(found.positions_xy, expected.positions_xy, atol=1e-6)
        np.testing.assert_array_equal(found.probeGuess, expected.probeGuess)
        np.testing.assert_array_equal(found.objectGuess, expected.objectGuess)
        np.testing.assert_array_equal(found.bad_pixels, expected.bad_pixels)


def test_a_scan_of_the_host_trains_without_a_conversion(parameters: ReconstructInput, tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    patterns = parameters.diffraction_patterns
    assembled = AssembledDiffractionData(np.arange(len(patterns)), patterns, PIXEL, parameters.bad_pixels)
    save_diffraction_data(folder / "diffraction.h5", assembled)
    save_product(folder / "product.h5", parameters.product)
    tiny = ["--preset", "fast", "--epochs", "1", "--groups", "8", "--batch-size", "8", "--filters-scale", "1", "-q"]
    assert main(["train", str(folder), "-o", str(tmp_path / "model"), "--backend", "pytorch", *tiny]) == 0
    both = [str(folder / "diffraction.h5"), str(folder / "product.h5")]
    output = tmp_path / "reconstruction"
    assert main(["infer", str(tmp_path / "model"), *both[:1], "-o", str(output), "--polish", "0", "-q"]) == 0
    assert (output / "reconstruction.npz").is_file()
    assert main(["evaluate", str(output / "reconstruction.npz"), str(folder), "--json"]) == 0
    assert main(["infer", str(tmp_path / "model"), *both, "-o", str(tmp_path / "two"), "--polish", "0", "-q"]) == 0
