"""What is done with every scan that a model reconstructs, and what became of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from ptychopinn_backend.config import find_archive
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.reading import Reading
from ptychopinn_backend.errors import DataError, PtychoPINNError, sentence_of, warnings_about
from ptychopinn_backend.runs.trained_model import TrainedModel

logger = logging.getLogger(__name__)

FAILURES: Final = (PtychoPINNError, OSError, MemoryError)
"""What says by itself why it failed."""


@dataclass(frozen=True)
class InferenceJob:
    """What is done with every scan."""

    archive: Path
    """The model."""
    backend: str | None
    """Backend to compute with; None follows the environment, then the archive."""
    execution: ExecutionConfig
    """Run-time options."""
    reading: Reading
    """What the user states about the scans."""
    options: Mapping[str, Any]
    """Arguments of `reconstruct`."""
    calibrate: str
    """'auto', 'never' or 'always'; see `runs.calibrating.reconstruct_calibrated`."""
    n_subsample: int | None = None
    """Scan points that are used; None uses all."""

    @property
    def model_folder(self) -> Path:
        """Folder of the model, where calibrations of its training are kept."""
        return find_archive(self.archive).parent


class Outcome(NamedTuple):
    """What became of one scan."""

    scan: Path
    """Its file."""
    written: list[Path]
    """Files with the result; none where it failed."""
    failure: str = ""
    """Why it failed, in one sentence."""
    of_the_machine: bool = False
    """It failed for want of disk or memory, not by what the file holds."""
    probe: str = ""
    """Which probe was used, where it is not the scan's own."""


def reconstruct_scan(
    model: TrainedModel,
    scan: Path,
    folder: Path,
    job: InferenceJob,
    on_progress: Callable[..., None] | None = None,
    tell_probe: Callable[[str], None] | None = None,
) -> list[Path]:
    """Reconstruct a scan, every object in it by itself, and write the results.

    Args:
        model: a trained model.
        scan: its file, or that of a scan in a data set.
        folder: where the results go; a file with several objects gets a folder `object_<scan_index>` for each.
        job: how it is read and reconstructed.
        on_progress: as for `reconstruct`.
        tell_probe: called with the origin of the probe of every object, see `runs.probe_choice`.

    Returns:
        The files written.

    Raises:
        DataError: the scan does not fit the model.
        OSError: the folder cannot be written.
    """
    from ptychopinn_backend.checking.quick import warn_of_faults
    from ptychopinn_backend.data.dataset.scan_files import read_scan
    from ptychopinn_backend.runs.calibrating import reconstruct_calibrated
    from ptychopinn_backend.runs.half_turn import warn_of_half_turns
    from ptychopinn_backend.runs.provenance import input_files, model_files
    from ptychopinn_backend.runs.results import save_reconstruction

    whole = read_scan(scan, job.reading)
    warn_of_faults(whole)
    made_of = input_files([*(whole.files or [scan]), *model_files(job.archive)])
    parts = whole.by_object()
    del whole
    warn_of_half_turns(parts.values())
    written: list[Path] = []
    for index, part in parts.items():
        if job.n_subsample is not None:
            part = part.subsample(job.n_subsample, job.options.get("seed"))
        reconstruction = reconstruct_calibrated(
            model, part, job.calibrate, job.model_folder, on_progress=on_progress, **job.options
        )
        reconstruction = replace(reconstruction, info=reconstruction.info | made_of)
        if tell_probe is not None:
            tell_probe(reconstruction.info["probe"])
        into = folder if len(parts) == 1 else folder / f"object_{index}"
        losses = model.history.get("loss", ())
        # An object that is the same everywhere is where an iterative code starts, and no truth to compare with.
        guess = part.objectGuess
        truth = None if guess is None or (guess == guess.flat[0]).all() else guess
        written += save_reconstruction(reconstruction, into, truth=truth, losses=losses)
    return written


def other_probes(origins: Collection[str]) -> str:
    """Return the origins of the probes that were used, empty where all are the scan's own.

    Args:
        origins: of one or several objects, see `runs.probe_choice`.

    Returns:
        Words, for example 'refined in training'.
    """
    from ptychopinn_backend.runs.probe_choice import OWN

    return "" if set(origins) <= {OWN} else ", ".join(sorted(origins))


def output_folders(scans: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Return where the results of each scan go: below `output`, by its path from the folder all scans share.

    Args:
        scans: scan files, and those of scans in data sets.
        output: folder of all results.

    Returns:
        Scan file -> folder.

    Raises:
        DataError: a file is named twice.
    """
    from ptychopinn_backend.data.dataset.scan_files import named_paths

    full = named_paths(scans)
    doubled = next((path for path, place in zip(scans, full, strict=True) if full.count(place) > 1), None)
    if doubled is not None:
        raise DataError(f"{doubled} is named twice. Name every scan once.")
    shared = Path(os.path.commonpath([path.parent for path in full]))
    names = [path.relative_to(shared) for path in full]
    plain = [name.with_suffix("") for name in names]
    # A scan.npz beside a scan.h5 keeps its suffix.
    chosen = [short if plain.count(short) == 1 else name for short, name in zip(plain, names, strict=True)]
    return {scan: output / name for scan, name in zip(scans, chosen, strict=True)}


def attempt_scan(model: TrainedModel, scan: Path, folder: Path, job: InferenceJob) -> Outcome:
    """Do what `reconstruct_scan` does; a failure is an outcome too.

    Args:
        model: a trained model.
        scan: the file.
        folder: where the results go.
        job: how it is read and reconstructed.

    Returns:
        What became of it.
    """
    from ptychopinn_backend.data.dataset.scan_files import shown_path

    probes: set[str] = set()
    try:
        with warnings_about(shown_path(scan)):
            written = reconstruct_scan(model, scan, folder, job, tell_probe=probes.add)
        return Outcome(scan, written, probe=other_probes(probes))
    except FAILURES as error:
        machine = isinstance(error, OSError | MemoryError) and not isinstance(error, FileNotFoundError)
        return Outcome(scan, [], sentence_of(error), machine)
    except Exception as error:
        # Whatever is wrong with one scan, the others are still wanted.
        logger.exception("Reconstruction of %s failed.", scan)
        return Outcome(scan, [], f"{type(error).__name__}: {' '.join(str(error).split())}")
