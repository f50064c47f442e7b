"""`ptychopinn convert`: scans of any kind that is read, as an NPZ of specs/data.md or as a data set on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.options import quiet_option, reading_options, require_other_file
from ptychopinn_backend.errors import ConfigError

if TYPE_CHECKING:
    from ptychopinn_backend.config.reading import Reading
    from ptychopinn_backend.data.raw_data import RawData


@click.command("convert", short_help="Write scans as an NPZ of this package, or as a data set on disk.")
@click.argument("sources", metavar="SCAN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="An NPZ file, or the folder of a data set."
)
@reading_options
@click.option(
    "--shift",
    "shift_px",
    type=float,
    help="Add this to all positions, in pixels; 0.5 for an NPZ that Ptychodus alone exported. NPZ only.  [0]",
)
@click.option(
    "--size",
    type=int,
    help="Crop the patterns to this side around their centre, or pad them with pixels marked as bad; object pixels "
    "become wider or narrower with it. NPZ only.  [as it is]",
)
@click.option("--gridsize", type=int, help="Data set: neighbouring patterns of a group along each side.  [1]")
@click.option("--groups", "n_groups", type=int, help="Data set: groups drawn from each scan.  [one per scan point]")
@click.option("--neighbors", "neighbor_count", type=int, help="Data set: nearest neighbours a group is drawn from.")
@click.option("--neighbor-function", help="Data set: Nearest, Min_dist or 4_quadrant.  [Nearest]")
@click.option("--normalize", help="Data set: Batch, Group or None.  [Batch]")
@click.option("--seed", type=int, help="Data set: seed of the draw.  [42]")
@click.option("--labels", "with_labels", is_flag=True, default=None, help="Data set: keep ground-truth patches too.")
@quiet_option
def command(
    sources: tuple[Path, ...],
    output: Path,
    reading: Reading,
    shift_px: float | None,
    size: int | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Read SCAN and write it in this package's format.

    'ptychopinn formats' lists the formats that can be read: NPZ, CXI, NeXus and HDF5 of several beamlines and programs.
    The content of a file tells its format. If a scan lies in two files, name either, both, or their folder. If OUTPUT
    ends in .npz, the one SCAN becomes an NPZ with float32 amplitudes, positions, probe, object and bad pixels.
    Otherwise all SCANs, files and folders, become a data set on disk in the folder OUTPUT. 'ptychopinn train --dataset
    OUTPUT' trains on it. If SCAN is a data set, it becomes an NPZ, or a folder with one NPZ for each of its scans.

    \b
      ptychopinn convert training.h5 -o scan.npz
      ptychopinn convert scan.cxi -o scan.npz --negate-x
      ptychopinn convert scan96.npz -o scan64.npz --size 64
      ptychopinn convert night/ -o dataset --gridsize 2
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.data.dataset.scan_files import is_dataset

    given = {name: value for name, value in options.items() if value is not None}
    if any(is_dataset(path) for path in sources):
        said = _of_dataset(sources, output, reading, shift_px or 0.0, size, given)
    elif output.suffix == ".npz":
        said = _to_npz(sources, output, reading, shift_px or 0.0, size, given)
    elif size is not None:
        raise ConfigError(f"--size {size} is for one NPZ, and '{output}' is a folder. Convert the scans first.")
    else:
        said = _to_dataset(sources, output, reading, shift_px, given)
    if not quiet:
        click.echo(said)


def _to_npz(
    sources: tuple[Path, ...],
    output: Path,
    reading: Reading,
    shift_px: float,
    size: int | None,
    given: dict[str, Any],
) -> str:
    from ptychopinn_backend.data.dataset.sources import list_sources
    from ptychopinn_backend.data.raw_data import RawData

    files = list_sources(sources, reading)
    if len(files) > 1:
        raise ConfigError(f"-o {output} names one scan, and {len(files)} are given. Name a folder for a data set.")
    if given:
        raise ConfigError(f"-o {output} names one scan; {', '.join(given)} concern data sets. Name a folder for one.")
    return _written(RawData.from_file(files[0], reading=reading), output, shift_px, size)


def _of_dataset(
    sources: tuple[Path, ...],
    output: Path,
    reading: Reading,
    shift_px: float,
    size: int | None,
    given: dict[str, Any],
) -> str:
    """Write an NPZ for each scan of a data set, and return what was done."""
    from ptychopinn_backend.data.dataset.scan_files import named_paths, read_scan, scan_files_of

    if len(sources) > 1:
        raise ConfigError(f"{len(sources)} sources are given, and one is a data set. Convert a data set by itself.")
    if given:
        raise ConfigError(
            f"{sources[0]} is a data set, whose scans become NPZ files; {', '.join(given)} concern how one is made. "
            "Leave them out, or name the scans it was made from."
        )
    files = scan_files_of(sources, reading)
    one = output.suffix == ".npz"
    if one and len(files) > 1:
        raise ConfigError(
            f"-o {output} names one scan, and the data set {sources[0]} holds {len(files)}. Name a folder, which gets "
            "an NPZ for each."
        )
    names = [output] if one else [output / f"{path.stem}.npz" for path in named_paths(files)]
    if len(set(names)) < len(names):
        names = [output / f"{path.name}.npz" for path in named_paths(files)]
    return "\n".join(_written(read_scan(file), name, shift_px, size) for file, name in zip(files, names, strict=True))


def _written(raw: RawData, output: Path, shift_px: float, size: int | None) -> str:
    """Write a scan as an NPZ, and return what was done."""
    from ptychopinn_backend.data.dataset.whole_scan import moved
    from ptychopinn_backend.data.resizing import resized

    require_other_file("-o", output, raw.files)
    written = moved(raw, shift_px)
    written = written if size is None else resized(written, size)
    written.to_file(output)
    read_as = "counts" if raw.measured_as_counts else "amplitudes"
    wider = "" if written.N == raw.N else f"; object pixels are {raw.N / written.N:.4g} times as wide"
    return f"Wrote {output}: {raw.n_patterns} patterns of {written.N} x {written.N} pixels, read as {read_as}{wider}."


def _to_dataset(
    sources: tuple[Path, ...], output: Path, reading: Reading, shift_px: float | None, given: dict[str, Any]
) -> str:
    from ptychopinn_backend.config import ModelConfig
    from ptychopinn_backend.data.dataset import DatasetOptions, create_dataset
    from ptychopinn_backend.data.dataset.sources import list_sources, read_scan_file
    from ptychopinn_backend.data.grouping import GroupingOptions
    from ptychopinn_backend.data.pattern_size import require_network_size

    if shift_px is not None:
        raise ConfigError(f"--shift {shift_px:g} is for one NPZ, and '{output}' is a folder. Convert the scan first.")
    files = list_sources(sources, reading)
    N = read_scan_file(files[0], reading).N
    require_network_size(N, f"{files[0]}: the patterns")
    model = ModelConfig(N=N, gridsize=given.pop("gridsize", 1))
    normalize, with_labels = given.pop("normalize", "Batch"), given.pop("with_labels", False)
    grouping = {"seed": 42, "neighbor_count": max(4, model.channels), **given}
    options = DatasetOptions(
        grouping=GroupingOptions(gridsize=model.gridsize, **grouping),
        reading=reading,
        normalize=None if normalize == "None" else normalize,
        with_labels=with_labels,
    )
    dataset = create_dataset(files, output, model, options)
    return (
        f"{output} holds {dataset.n_groups} groups of {dataset.n_patterns} patterns from {len(dataset.names)} scan(s)."
    )
