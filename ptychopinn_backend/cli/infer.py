"""`ptychopinn infer`: an archive and scans in, objects out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.cli.options import calibrate_option, inference_backend_option, quiet_option, reading_options
from ptychopinn_backend.errors import ConfigError

if TYPE_CHECKING:
    from ptychopinn_backend.cli.inference_jobs import InferenceJob, Outcome
    from ptychopinn_backend.config.reading import Reading

_MACHINE_FAILURE: Final = 1
_USAGE_ERROR: Final = 2


@click.command(name="infer")
@click.argument("archive", type=click.Path(path_type=Path))
@click.argument("scans", metavar="[SCAN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--scans",
    "named",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Scan files or a folder of them; each scan gets a folder below OUTPUT. More may follow: --scans a.npz b.npz",
)
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Scans reconstructed at a time."
)
@click.option("--share", help="I/N: only part I, from 0, of N parts of the scans; for jobs that share the work.")
@inference_backend_option
@click.option("--groups", "n_groups", type=int, help="Groups to reconstruct from.  [one per scan point]")
@click.option(
    "--neighbors", "neighbor_count", type=int, help="Nearest neighbours that a group is drawn from.  [as trained]"
)
@click.option(
    "--subsample",
    "n_subsample",
    type=click.IntRange(min=1),
    help="Scan points that are used, drawn at random with --seed.  [all]",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Groups per pass; memory grows with it.  [8]")
@click.option(
    "--assembly",
    type=click.Choice(["probe", "central"]),
    default="probe",
    show_default=True,
    help="Weigh patches by the probe's intensity, or average their centres.",
)
@click.option(
    "--crop",
    "crop_px",
    type=click.IntRange(min=1),
    help="Pixels along each side of a patch that are used, around its centre.  [central: N/2; probe: all]",
)
@click.option(
    "--polish",
    "polish_steps",
    type=click.IntRange(min=0),
    help="Data-consistency steps on the stitched object; 0 for none.  [as many as held-out patterns ask for]",
)
@click.option(
    "--no-held-out",
    "last_pass",
    is_flag=True,
    help="Use all patterns in a last pass, also those that were held out to judge the object.",
)
@calibrate_option
@click.option("--seed", type=int, help="Seed of the neighbour draw.  [as trained]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda, tensorrt or mps.  [auto]")
@click.option("--precision", help="32-true, bf16-mixed or 16-mixed.  [32-true]")
@reading_options
@quiet_option
def command(
    archive: Path,
    scans: tuple[Path, ...],
    named: tuple[Path, ...],
    output: Path,
    processes: int,
    share: str | None,
    backend: str | None,
    seed: int | None,
    n_subsample: int | None,
    accelerator: str | None,
    precision: str | None,
    reading: Reading,
    calibrate: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Reconstruct SCAN with the model in ARCHIVE (a `wts.h5.zip` or the folder that holds it).

    Writes OUTPUT/reconstruction.npz (object, origin_rc, probe), OUTPUT/reconstruction.h5 (a Ptychodus product) and
    OUTPUT/reconstruction.png. The object times the scan's probe reproduces the measured counts. --scans takes several
    scans or a folder. Every scan then has a folder of its own below OUTPUT, and one that fails does not stop the
    others. A file with several objects gives one result for each of them, in folders object_0, object_1 and so on.
    SCAN may also be the folder of a data set; its scans are reconstructed from all of their patterns.
    """
    from ptychopinn_backend.cli.inference_jobs import InferenceJob, output_folders
    from ptychopinn_backend.cli.inference_workers import reconstruct_scans
    from ptychopinn_backend.config.execution import resolve_execution
    from ptychopinn_backend.data.dataset.scan_files import is_dataset, scan_files_of

    given = (*named, *scans)
    if not given:
        raise click.UsageError("No scan was given. Name a SCAN, or several with --scans.")
    execution = resolve_execution(explicit={"accelerator": accelerator, "precision": precision, "seed": seed})
    job = InferenceJob(
        archive, backend, execution, reading, {**options, "seed": seed}, calibrate or "auto", n_subsample=n_subsample
    )
    if not named and share is None and len(given) == 1 and not given[0].is_dir():
        return _reconstruct_one(job, given[0], output, quiet=quiet)
    files = scan_files_of(given, reading)
    if len(files) == len(given) == 1 and not named and share is None and is_dataset(given[0]):
        return _reconstruct_one(job, files[0], output, quiet=quiet)
    folders = output_folders(files, output)
    if share is not None:
        folders = dict(_part(list(folders.items()), share))
    if processes > 1:
        _require_archive(archive)
    return _report(reconstruct_scans(job, folders, processes), len(folders), quiet=quiet)


def _reconstruct_one(job: InferenceJob, scan: Path, output: Path, *, quiet: bool) -> int:
    from ptychopinn_backend.cli.inference_jobs import other_probes, reconstruct_scan
    from ptychopinn_backend.cli.progress import group_progress
    from ptychopinn_backend.runs.trained_model import TrainedModel

    model = TrainedModel.load(job.archive, job.backend, job.execution, to_predict=True)
    probes: set[str] = set()
    written = reconstruct_scan(model, scan, output, job, group_progress(quiet=quiet), probes.add)
    if not quiet:
        how = _with_probe(other_probes(probes))
        click.echo(f"Reconstructed with {model.backend_name}{how}: {', '.join(str(path) for path in written)}")
    return 0


def _with_probe(probe: str) -> str:
    return f", with the probe {probe}" if probe else ""


def _report(outcomes: Iterable[Outcome], count: int, *, quiet: bool) -> int:
    """Say what becomes of each scan, at the end what failed, and return the exit code."""
    failed = []
    for number, outcome in enumerate(outcomes, 1):
        if outcome.failure:
            failed.append(outcome)
        if not quiet:
            result = "failed" if outcome.failure else f"{outcome.written[0].parent}{_with_probe(outcome.probe)}"
            click.echo(f"[{number}/{count}] {outcome.scan}: {result}", err=True)
    for outcome in failed:
        click.echo(f"Error: {outcome.scan}: {outcome.failure}", err=True)
    if not quiet:
        click.echo(f"Reconstructed {count - len(failed)} of {count} scans.")
    if not failed:
        return 0
    return _MACHINE_FAILURE if any(outcome.of_the_machine for outcome in failed) else _USAGE_ERROR


def _part(items: Sequence[tuple[Path, Path]], share: str) -> Sequence[tuple[Path, Path]]:
    first, separator, count = share.partition("/")
    if not (separator and first.isdigit() and count.isdigit() and int(first) < int(count)):
        raise ConfigError(
            f"--share {share} must be I/N with I from 0 to N - 1. Write for example --share 0/4 in the first of 4 jobs."
        )
    return items[int(first) :: int(count)]


def _require_archive(archive: Path) -> None:
    """Refuse a wrong archive before processes start that would all refuse it."""
    from ptychopinn_backend.archive import read_metadata

    read_metadata(archive)
