"""The table of formats: what each is called, what tells it apart, and what reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.data.readers import cxi, fold_slice, host_files, nsls2, own_files, ptyd
from ptychopinn_backend.data.readers.content import Content
from ptychopinn_backend.data.readers.parts import OpenedScan, PatternPart, PositionPart
from ptychopinn_backend.errors import ConfigError, nearest_name


@dataclass(frozen=True)
class Format:
    """One format of scan files."""

    name: str
    """What `--reader` calls it."""
    summary: str
    """What it is."""
    told_by: str
    """What a file of it holds that no other does."""
    holds_patterns: Callable[[Content], bool]
    """Looks at a file."""
    holds_positions: Callable[[Content], bool]
    """Looks at a file."""
    read_patterns: Callable[[Path, Reading], PatternPart] | None = None
    """Reads one half."""
    read_positions: Callable[[Path, Reading], PositionPart] | None = None
    """Reads the other."""
    open_whole: Callable[[Path, Reading], OpenedScan] | None = None
    """Reads both at once, where the format is one of specs/data.md."""


FORMATS: Final = (
    Format(
        "npz",
        "NPZ of this package, of PtychoPINN and of SLAC",
        "arrays 'diffraction' or 'diff3d'",
        own_files.is_scan_npz,
        own_files.is_scan_npz,
        open_whole=own_files.open_npz,
    ),
    Format(
        "ptychodus-training",
        "training data that Ptychodus exports as HDF5",
        "'patterns' and 'probe_position_x_px'",
        own_files.is_training_hdf5,
        own_files.is_training_hdf5,
        open_whole=own_files.open_training_hdf5,
    ),
    Format(
        "ptychodus-files",
        "diffraction.h5 or patterns NPZ of Ptychodus, with its product.h5 or product NPZ",
        "'patterns' and 'indexes'; 'probe_position_indexes' and 'probe_position_x_m'",
        host_files.holds_patterns,
        host_files.holds_positions,
        host_files.read_patterns,
        host_files.read_positions,
    ),
    Format(
        "nxcxi",
        "NeXus files that follow NXcxi_ptycho",
        "'entry_1/definition' = NXcxi_ptycho",
        lambda content: cxi.is_nxcxi(content) and cxi.holds_patterns(content),
        lambda content: cxi.is_nxcxi(content) and cxi.holds_positions(content),
        cxi.read_patterns,
        cxi.read_positions,
    ),
    Format(
        "cxi",
        "CXI files of the Coherent X-ray Imaging Data Bank, those of Ptychodus included",
        "'entry_1/data_1/data' or 'entry_1/instrument_1/detector_1/data'; a 'translation'",
        cxi.holds_patterns,
        cxi.holds_positions,
        cxi.read_patterns,
        cxi.read_positions,
    ),
    Format(
        "ptyd",
        "prepared data of PtyPy (.ptyd)",
        "groups 'chunks' and 'meta'",
        ptyd.holds_scan,
        ptyd.holds_scan,
        ptyd.read_patterns,
        ptyd.read_positions,
    ),
    Format(
        "fold_slice",
        "*_dp.hdf5 and *_para.hdf5 of fold_slice and PtychoShelves",
        "'/dp'; '/ppX' and '/ppY'",
        fold_slice.holds_patterns,
        fold_slice.holds_positions,
        fold_slice.read_patterns,
        fold_slice.read_positions,
    ),
    Format(
        "nsls2",
        "amplitudes of the hard X-ray nanoprobe of NSLS-II",
        "'/diffamp'; '/points'",
        nsls2.holds_patterns,
        nsls2.holds_positions,
        nsls2.read_patterns,
        nsls2.read_positions,
    ),
)
"""Formats that are told apart by what files hold, the first that fits wins."""


def named_format(name: str) -> Format:
    """Return the format of a name.

    Args:
        name: as `--reader` gives it.

    Returns:
        The format.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    for form in FORMATS:
        if form.name == name:
            return form
    names = [form.name for form in FORMATS]
    raise ConfigError(
        f"reader = '{name}' is not the name of a format; known are {', '.join(names)}.{nearest_name(name, names)} "
        "'ptychopinn formats' says what each reads."
    )
