"""Progress on a terminal: one bar over epochs, one over groups; nothing with --quiet, plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
from tqdm import tqdm

from ptychopinn_backend.config import ARCHIVE_NAME
from ptychopinn_backend.runs.unfinished import CHECKPOINT_FOLDER, last_checkpoint, warn_of_replaced
from ptychopinn_backend.seam.interface import EpochReport

if TYPE_CHECKING:
    from ptychopinn_backend.runs.planning import PreparedRun

# Every bar, even one that is not shown, starts a thread that redraws bars which stand still. Ours need none, and where
# memory is short the thread is what fails first.
tqdm.monitor_interval = 0


class EpochProgress:
    """Callback for training: a bar on a terminal, otherwise a line every tenth of the epochs."""

    def __init__(self, n_epochs: int | None, *, quiet: bool) -> None:
        """Start the bar.

        Args:
            n_epochs: epochs asked for; None where the first report tells them.
            quiet: show nothing.
        """
        self._quiet = quiet
        self.last: EpochReport | None = None
        """Of the last epoch that ended."""
        self._bar = tqdm(
            total=n_epochs, unit="epoch", desc="training", disable=quiet or not sys.stderr.isatty(), file=sys.stderr
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, report: EpochReport) -> bool:
        """Show an epoch; never asks to stop."""
        is_first, self.last = self.last is None, report
        losses = {name: f"{report.losses[name]:.4g}" for name in ("loss", "val_loss") if name in report.losses}
        self._bar.total = report.n_epochs
        self._bar.update(report.epoch - self._bar.n)
        self._bar.set_postfix(losses)
        every = max(1, report.n_epochs // 10)
        if self._bar.disable and not self._quiet and (report.epoch % every == 0 or report.epoch == report.n_epochs):
            text = ", ".join(f"{name} {value}" for name, value in losses.items())
            click.echo(f"epoch {report.epoch}/{report.n_epochs}: {text}", err=True)
        if self._bar.disable and not self._quiet and is_first and report.epoch < report.n_epochs:
            left = report.elapsed_s * (report.n_epochs - report.epoch)
            click.echo(f"An epoch takes {report.elapsed_s:.2g} s here, the rest about {_time(left)}.", err=True)
        return False

    @contextmanager
    def kept_in(self, checkpoints: Path | None) -> Iterator[None]:
        """Say with an interrupt what it leaves.

        Args:
            checkpoints: folder they are kept in; None where none are.

        Yields:
            Nothing.
        """
        try:
            yield
        except KeyboardInterrupt as interrupt:
            if checkpoints is None or last_checkpoint(checkpoints) is None:
                sentence = "No epoch is kept."
            else:
                last = self.last
                kept = "The epochs so far" if last is None else f"{last.epoch} of {last.n_epochs} epochs"
                sentence = f"{kept} are kept in '{checkpoints}'. The same command with --resume goes on from there."
            raise type(interrupt)(sentence) from None


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Say with an interrupt that it leaves nothing to go on from.

    Yields:
        Nothing.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise type(interrupt)("Nothing is kept to go on from; run the command again.") from None


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def trained_in_folder(run: PreparedRun, *, resume: bool, quiet: bool, verb: str) -> None:
    """Train in the output folder of a plan, write the results there, and say which.

    Args:
        run: the plan and its data.
        resume: go on from the last checkpoint.
        quiet: show nothing.
        verb: first word of what is said.
    """
    from ptychopinn_backend.files.training_lock import training_lock
    from ptychopinn_backend.runs.provenance import write_inputs
    from ptychopinn_backend.runs.results import save_training
    from ptychopinn_backend.seam.process_rank import is_first_process

    output = run.plan.training.output_dir
    checkpoints, is_first = output / CHECKPOINT_FOLDER, is_first_process(run.plan.execution)
    kept = checkpoints if run.plan.execution.enable_checkpointing else None
    if is_first and (not resume or last_checkpoint(checkpoints) is None):
        warn_of_replaced(output / ARCHIVE_NAME)
    progress = EpochProgress(run.plan.training.total_epochs, quiet=quiet)
    with progress.kept_in(kept), training_lock(checkpoints if is_first else None, output):
        if is_first:
            # At the start: a training that is interrupted has its plan too.
            run.plan.write(output)
        with progress:
            model = run.train(on_epoch=progress, checkpoint_folder=checkpoints, log_folder=output, resume=resume)
        written = save_training(model, output, run.plan) if is_first else []
        if is_first:
            write_inputs(run.plan, output)
    if not quiet:
        click.echo(f"{verb} with {model.backend_name}: {', '.join(str(path) for path in written)}")


def group_progress(*, quiet: bool) -> Callable[[int, int, Callable[[], Any]], None]:
    """Return a callback for `reconstruct` that moves a bar over groups.

    Args:
        quiet: show nothing.

    Returns:
        The callback.
    """
    bar = tqdm(unit="group", desc="predicting", disable=quiet or not sys.stderr.isatty(), file=sys.stderr)

    def advance(done: int, total: int, _: Callable[[], Any]) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return advance
