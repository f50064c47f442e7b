"""Ptychodus' own readers of scans for every command: `--reader ptychodus:NAME`.

Found by the entry point `ptychopinn_backend.readers`, so the engine knows nothing of Ptychodus. Readers come from
`ptychodus.api.plugins`; no window and no part of the application is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ptychodus.api.diffraction import DiffractionArray, DiffractionDataset
from ptychodus.api.plugins import PluginChooser, PluginRegistry
from ptychodus.api.probe_positions import ProbePositionSequence
from ptychodus.api.product import Product

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.measurement import COUNTS
from ptychopinn_backend.data.readers.array_source import ArraySource, Hdf5Array, Joined
from ptychopinn_backend.data.readers.far_field import probe_of_product, require_far_field
from ptychopinn_backend.data.readers.joining import join
from ptychopinn_backend.data.readers.parts import Instrument, OpenedScan, PatternPart, PositionPart
from ptychopinn_backend.errors import ConfigError, DataError, nearest_name
from ptychopinn_backend.files.linked_hdf5 import LinkedHdf5

logger = logging.getLogger("ptychopinn_backend.ptychodus")

_Read = TypeVar("_Read")


class PtychodusReaders:
    """All readers of patterns, positions and products that this installation of Ptychodus has."""

    def names(self) -> Mapping[str, str]:
        """Return name -> what it reads."""
        registry = _registry()
        kinds = {
            "patterns": registry.diffraction_file_readers,
            "positions": registry.probe_position_file_readers,
            "product": registry.product_file_readers,
        }
        found: dict[str, tuple[str, list[str]]] = {}
        for kind, chooser in kinds.items():
            for plugin in chooser:
                found.setdefault(plugin.simple_name, (plugin.display_name, []))[1].append(kind)
        return {name: f"{title}: {', '.join(kinds)}" for name, (title, kinds) in sorted(found.items())}

    def open_scan(self, name: str, path: Path, reading: Reading) -> OpenedScan:
        """Read a scan.

        Args:
            name: of a reader that has both patterns and positions, or 'PATTERNS+POSITIONS', the names of two.
            path: file of the patterns.
            reading: what the user states; `positions` names the file of the positions where it is another.

        Returns:
            The scan.

        Raises:
            ConfigError: there is no such reader.
            DataError: a reader cannot read its file.
        """
        of_patterns, _, of_positions = name.partition("+")
        patterns = _patterns(of_patterns, path)
        positions = _positions(of_positions or of_patterns, reading.positions or path)
        return join(patterns, positions, reading, path, f"ptychodus:{name}")


@cache
def _registry() -> PluginRegistry:
    return PluginRegistry.load_plugins()


def _strategy(chooser: PluginChooser[Any], name: str, what: str) -> Any:
    plugin = chooser.find_plugin(name)
    if plugin is None:
        names = [item.simple_name for item in chooser]
        raise ConfigError(
            f"Ptychodus has no reader of {what} called '{name}'.{nearest_name(name, names)} 'ptychopinn formats --all' "
            "lists them; name two as ptychodus:PATTERNS+POSITIONS where patterns and positions have different ones."
        )
    return plugin.strategy


def _called(read: Callable[[Path], _Read], name: str, path: Path) -> _Read:
    try:
        return read(path)
    except Exception as error:  # readers of many authors, of any exception
        raise DataError(
            f"Ptychodus' reader '{name}' cannot read {path} ({type(error).__name__}: {error}). Name another reader, or "
            "the file it is for."
        ) from error


def _patterns(name: str, path: Path) -> PatternPart:
    reader = _strategy(_registry().diffraction_file_readers, name, "patterns")
    dataset: DiffractionDataset = _called(reader.read, name, path)
    if not len(dataset):
        raise DataError(f"Ptychodus' reader '{name}' finds no patterns in {path}. Name another file.")
    metadata, bad = dataset.get_metadata(), dataset.get_bad_pixels()
    pixel = metadata.detector_pixel_geometry
    sides, dtype = metadata.detector_extent.get_shape(), np.dtype(metadata.pattern_dtype)
    counts = metadata.num_patterns_per_array
    found = [_source(array, (n, *sides), dtype, path) for array, n in zip(dataset, counts, strict=True)]
    sources = tuple(source for source, _ in found)
    return PatternPart(
        tuple(dict.fromkeys([path, *(file for _, files in found for file in files)])),
        sources[0] if len(sources) == 1 else Joined(sources),
        COUNTS,
        np.concatenate([array.get_indexes() for array in dataset]),
        bad if bad.any() else None,
        Instrument(
            _energy_eV(metadata),
            metadata.detector_distance_m or None,
            None if pixel is None else pixel.height_m,
            None if pixel is None else pixel.width_m,
        ),
        ("patterns are taken as counts; --measurement states amplitudes.",),
    )


def _positions(name: str, path: Path) -> PositionPart:
    registry = _registry()
    if registry.product_file_readers.find_plugin(name) is not None:
        reader = _strategy(registry.product_file_readers, name, "products")
        return _of_product(_called(reader.read, name, path), path)
    reader = _strategy(registry.probe_position_file_readers, name, "positions")
    return _of_sequence(_called(reader.read, name, path), path)


def _of_sequence(
    positions: ProbePositionSequence, path: Path, notes: tuple[str, ...] = (), **further: Any
) -> PositionPart:
    told = "positions run as Ptychodus' reader has them; --swap-xy, --negate-x and --negate-y state another."
    return PositionPart(
        (path,),
        # One by one, as every version of the host offers them.
        np.array([point.x_m for point in positions], np.float64),
        np.array([point.y_m for point in positions], np.float64),
        in_metres=True,
        indexes=np.array([point.index for point in positions], np.int64),
        notes=(told, *notes),
        **further,
    )


def _energy_eV(metadata: Any) -> float | None:
    """Return the photon energy, which Ptychodus 1.6 calls that of the probe; None where it is not known."""
    name = "photon_energy_eV" if hasattr(metadata, "photon_energy_eV") else "probe_energy_eV"
    return getattr(metadata, name) or None


def _of_product(product: Product, path: Path) -> PositionPart:
    metadata, obj = product.metadata, product.object_
    geometry = _or_none(obj.get_geometry)
    layer = obj.get_layer(0) if obj.num_layers and obj.width_px and geometry is not None else None
    pixel = _or_none(product.probes.get_pixel_geometry)
    require_far_field(
        far_field=bool(getattr(metadata, "far_field", True)),  # Ptychodus 1.6 knows no other
        probe_pixel_m=None if pixel is None else (pixel.width_m, pixel.height_m),
        object_pixel_m=None if geometry is None else (geometry.pixel_width_m, geometry.pixel_height_m),
        path=path,
    )
    probe, notes = probe_of_product(_or_none(product.probes.get_array), product.probes.get_opr_weights_or_none())
    return _of_sequence(
        product.probe_positions,
        path,
        notes,
        probe=probe,
        object_guess=layer,
        object_centre_m=None if geometry is None else (geometry.center_x_m, geometry.center_y_m),
        instrument=Instrument(
            _energy_eV(metadata),
            metadata.detector_distance_m or None,
            object_pixel_height_m=None if geometry is None else geometry.pixel_height_m,
            object_pixel_width_m=None if geometry is None else geometry.pixel_width_m,
        ),
    )


def _or_none(get: Callable[[], _Read]) -> _Read | None:
    """Return what a product has; None where it says by an error that it has none."""
    try:
        return get()
    except ValueError:
        return None


def _source(
    array: DiffractionArray, shape: tuple[int, ...], dtype: np.dtype[Any], path: Path
) -> tuple[ArraySource, list[Path]]:
    """Return patterns, read in pieces where the host's array says in which data set they lie, and their files."""
    file, name = getattr(array, "_file_path", None), getattr(array, "_data_path", None)
    if isinstance(file, Path) and isinstance(name, str):
        with LinkedHdf5(file) as opened:
            found = Hdf5Array.find(opened, name)
            if found is not None:
                return found, opened.linked_files()
    files = [file] if isinstance(file, Path) and file.is_file() else []
    return _HostArray(array, path, shape, dtype), files


@dataclass(frozen=True, eq=False)
class _HostArray:
    array: DiffractionArray
    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def pieces(self) -> Iterator[AnyArray]:
        yield _called(lambda _: np.asarray(self.array.get_patterns()), self.array.get_label(), self.path)
