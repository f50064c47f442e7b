"""`ptychopinn watch`: every scan file that appears in a folder becomes an object."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ptychopinn_backend.cli.interrupts import requests_to_end
from ptychopinn_backend.cli.options import calibrate_option, inference_backend_option, quiet_option, reading_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptychopinn_backend.cli.inference_jobs import Outcome
    from ptychopinn_backend.config.reading import Reading
    from ptychopinn_backend.live.folder_watch import FolderWatch, Ledger

_LOOK_EVERY_S: Final = 0.5
_MACHINE_FAILURE: Final = 1
_USAGE_ERROR: Final = 2


@click.command("watch", short_help="Reconstruct every scan file that appears in a folder.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("archive", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(min=0.0),
    default=2.0,
    show_default=True,
    help="A file is finished when it has not changed for this many seconds.",
)
@click.option("--once", is_flag=True, help="End when every finished file is taken.")
@click.option("--idle", "idle_s", type=float, help="End after this many seconds without a new file.  [never]")
@inference_backend_option
@calibrate_option
@click.option("--polish", "polish_steps", type=click.IntRange(min=0), help="As for infer.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Groups per pass; memory grows with it.  [8]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda or mps.  [auto]")
@reading_options
@quiet_option
def command(
    folder: Path,
    archive: Path,
    output: Path,
    settle_s: float,
    once: bool,
    idle_s: float | None,
    backend: str | None,
    calibrate: str | None,
    accelerator: str | None,
    reading: Reading,
    quiet: bool,
    **options: Any,
) -> int:
    """Reconstruct every scan file that appears in FOLDER with MODEL, as 'ptychopinn infer' does.

    Each finished file is taken once; OUTPUT/watched.json remembers which, also after a restart. A file that is written
    again is taken again. One half of a scan waits for the other. A file that cannot be used is named, and the others go
    on. Ctrl-C ends the watch after the present file.
    """
    from ptychopinn_backend.cli.inference_jobs import InferenceJob, attempt_scan
    from ptychopinn_backend.config.execution import resolve_execution
    from ptychopinn_backend.live.folder_watch import FolderWatch, Ledger
    from ptychopinn_backend.runs.trained_model import TrainedModel

    execution = resolve_execution(explicit={"accelerator": accelerator})
    job = InferenceJob(archive, backend, execution, reading, options, calibrate or "auto")
    ledger = Ledger(output)
    watch = FolderWatch(folder, ledger, settle_s, joins_halves=reading.reader is None and reading.positions is None)
    model = TrainedModel.load(archive, backend, execution, to_predict=True)

    def reconstruct(name: str) -> Outcome:
        return attempt_scan(model, watch.path_of(name), output / name, job)

    watching = _Watching(watch, ledger, reconstruct, output, quiet=quiet)
    last_s = time.monotonic()
    with requests_to_end() as is_asked_to_stop:
        if not quiet:
            click.echo(f"Watching '{folder}' with {model.backend_name}.", err=True)
        while not is_asked_to_stop():
            is_new = watching.look(is_asked_to_stop)
            now_s = time.monotonic()
            last_s = now_s if is_new else last_s
            quiet_s = now_s - last_s
            if not is_new and ((once and quiet_s > settle_s + _LOOK_EVERY_S) or (idle_s and quiet_s > idle_s)):
                break
            time.sleep(0 if is_new else _LOOK_EVERY_S)
    return watching.end()


class _Watching:
    """Takes what a watch finds, says what becomes of it, and counts."""

    def __init__(
        self,
        watch: FolderWatch,
        ledger: Ledger,
        reconstruct: Callable[[str], Outcome],
        output: Path,
        *,
        quiet: bool,
    ) -> None:
        self._watch, self._ledger, self._reconstruct, self._output = watch, ledger, reconstruct, output
        self._quiet = quiet
        self._taken = self._failed = 0
        self._put_off: set[str] = set()
        self._told: set[str] = set()

    def look(self, is_asked_to_stop: Callable[[], bool]) -> bool:
        """Look once and take what is finished; return whether there was anything."""
        is_new = False
        for name, seen in self._watch.finished():
            outcome = self._reconstruct(name)
            if outcome.of_the_machine:
                # The disk may have room later, and then the file is as good as before.
                self._watch.put_off(name)
                self._put_off.add(name)
                click.echo(f"Error: {name}: {outcome.failure} It is tried again.", err=True)
                continue
            self._ledger.note(name, seen, outcome.failure)
            self._put_off.discard(name)
            is_new, self._taken, self._failed = True, self._taken + 1, self._failed + bool(outcome.failure)
            if outcome.failure:
                click.echo(f"Error: {name}: {outcome.failure}", err=True)
            elif not self._quiet:
                click.echo(f"{name}: {self._output / name}", err=True)
            if is_asked_to_stop():
                break
        for name in sorted(set(self._watch.lone_halves) - self._told):
            click.echo(f"{name} holds one half of a scan and waits for the other.", err=True)
        self._told = set(self._watch.lone_halves)
        return is_new

    def end(self) -> int:
        """Say how many there were, and return the exit code."""
        if not self._quiet:
            click.echo(f"Reconstructed {self._taken - self._failed} of {self._taken} files.")
        if self._put_off:
            return _MACHINE_FAILURE
        return _USAGE_ERROR if self._failed or self._watch.lone_halves else 0
