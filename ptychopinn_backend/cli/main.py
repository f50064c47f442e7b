"""The `ptychopinn` group: loads a command's module on demand and turns errors into one clear line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

import click

from ptychopinn_backend.cli.interrupts import ending_of, termination_as_interrupt
from ptychopinn_backend.data.decisions import LOGGER
from ptychopinn_backend.errors import PtychoPINNError, sentence_of, warnings_passed_to

MACHINE_FAILURE: Final = 1
USAGE_ERROR: Final = 2

COMMANDS: Final = {
    "demo": "Simulate a scan, train, reconstruct and measure the result.",
    "simulate": "Simulate one or many scans with known objects.",
    "train": "Train a model on one or several scans.",
    "pretrain": "Train a model on simulated objects with the probe of a scan.",
    "calibrate": "Refine probe and positions of a scan by its own patterns.",
    "infer": "Reconstruct a scan with a trained model.",
    "live": "Reconstruct a scan while it is measured, from PVAccess channels.",
    "replay": "Serve a scan as PVAccess channels, as a detector would.",
    "watch": "Reconstruct every scan file that appears in a folder.",
    "evaluate": "Measure a reconstruction against counts, truth or a reference.",
    "check": "Look at a scan: what is odd, what it will cost, and a mended copy.",
    "convert": "Write scans as an NPZ of this package, or as a data set on disk.",
    "convert-model": "Write a model of the original PtychoPINN as an archive of this package.",
    "export": "Write the inference of a model as ONNX, for computers without a framework.",
    "ptycho-train": "Train with the flags of 'ptycho_train' of the original PtychoPINN.",
    "ptycho-inference": "Reconstruct with the flags of 'ptycho_inference' of the original.",
    "legacy-commands": "Install 'ptycho_train' and 'ptycho_inference' as commands.",
    "formats": "List the formats of scans that are read.",
    "inspect": "Show what an archive holds.",
    "report": "Write one HTML page about a training or a reconstruction.",
    "parity-report": "Train both backends on the same scan and compare.",
}
"""Command name -> one line of help; the module is `ptychopinn_backend.cli.<name>`, '-' written '_'."""


class LazyGroup(click.Group):
    """A group whose help needs no command module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ptychopinn_backend.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ptychopinn-backend", prog_name="ptychopinn")
@click.option("-v", "--verbose", count=True, help="Log more; twice for details.")
def group(verbose: int) -> None:
    """Turn ptychography scans into images with a physics-informed network, on TensorFlow or PyTorch.

    A first run, on a simulated scan:

    \b
      ptychopinn simulate -o scan.npz
      ptychopinn train scan.npz -o model
      ptychopinn infer model scan.npz -o result
      ptychopinn evaluate result/reconstruction.npz scan.npz --truth scan.npz
    """  # noqa: D301 - click looks for the character, not for its escape
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("ptychopinn_backend").setLevel(level)
    # What readers decided where a file leaves it open is always told; --quiet turns it off.
    logging.getLogger(LOGGER).setLevel(min(level, logging.INFO))


def main(arguments: Sequence[str] | None = None, report: Callable[[str, int, str], None] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: words after the program name; None takes them from the process.
        report: takes the sentence of a failure, its exit code and the name of its class; None says it here.

    Returns:
        Exit code: 0 success, 2 bad input or usage, 1 failure of the machine (disk, memory), 130 interrupted, 143
        terminated by the system.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    error: BaseException
    try:
        with warnings_passed_to(say_warning), termination_as_interrupt():
            code = group.main(args=words, prog_name="ptychopinn", standalone_mode=False, obj=words)
        return code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt) as interrupt:
        sentence, code = ending_of(interrupt)
        shown, error = sentence, interrupt
    except click.ClickException as wrong:
        sentence, code = wrong.format_message(), USAGE_ERROR
        shown, error = "", wrong
    except (PtychoPINNError, OSError, MemoryError) as failure:
        sentence, code = sentence_of(failure), MACHINE_FAILURE if _is_of_the_machine(failure) else USAGE_ERROR
        shown, error = f"Error: {sentence}", failure
    if report is not None:
        report(sentence, code, type(error).__name__)
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(shown, err=True)
    return code


def say_warning(words: str) -> None:
    """Write a warning to the terminal.

    Args:
        words: on one line.
    """
    click.echo(f"Warning: {words}", err=True)


def _is_of_the_machine(error: Exception) -> bool:
    return isinstance(error, OSError | MemoryError) and not isinstance(error, FileNotFoundError)


if __name__ == "__main__":
    sys.exit(main())
