"""`ptychopinn ptycho-train`: the flags of `ptycho_train` of the original PtychoPINN."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import click

_RESUME: Final = "--resume"


@click.command(
    "ptycho-train",
    short_help="Train as 'ptycho_train' of the original PtychoPINN did.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("words", metavar="[--NAME VALUE]...", nargs=-1, type=click.UNPROCESSED)
def command(words: tuple[str, ...]) -> int:
    """Train with the flags of 'ptycho_train', and say which 'ptychopinn train' does the same.

    NAME is any field of ModelConfig and TrainingConfig, --torch-accelerator and the other --torch flags, --config FILE
    (YAML, or JSON option sets), --do_stitching, --quiet, --verbose, or --console-level. Flags of 'python -m
    ptycho_torch.train' are known too. docs/migration.md lists what has no effect here. --resume goes on from the last
    checkpoint.

    Writes wts.h5.zip, history.csv, run.yaml and logs/debug.log into --output_dir (training_outputs), and with
    --do_stitching the reconstruction of --test_data_file, with reconstructed_amplitude.png and reconstructed_phase.png.

    \b
      ptychopinn ptycho-train --train_data_file scan.npz --nepochs 50
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.cli.legacy_flags import (
        inference_words,
        output_of,
        read_call,
        training_words,
        warn_of_unused,
    )
    from ptychopinn_backend.cli.legacy_session import debug_log, now_s, run_command, save_pictures
    from ptychopinn_backend.config import ARCHIVE_NAME
    from ptychopinn_backend.legacy.option_files import read_option_file
    from ptychopinn_backend.legacy.result_options import scan_of_experiment

    call = read_call([word for word in words if word != _RESUME], read_option_file)
    asked = [*training_words(call), *(word for word in words if word == _RESUME)]
    test, number = call.options.get("test_data_file"), call.results.get("experiment_number")
    stitches = bool(call.command.get("do_stitching"))
    warn_of_unused(call, trains=True, reconstructs=stitches and test is not None)
    if stitches and test is not None and number is not None:
        test = scan_of_experiment(Path(test), number)
    output, quiet = output_of(call, "training_outputs"), bool(call.command.get("quiet"))
    with debug_log(output, call.command):
        code = run_command(asked, quiet=quiet)
        if code or not stitches:
            return code
        if test is None:
            warnings.warn(
                "--do_stitching without --test_data_file stitches nothing. Name the scan to reconstruct.",
                UserWarning,
                stacklevel=2,
            )
            return code
        began = now_s()
        code = run_command(inference_words(call, output / ARCHIVE_NAME, Path(test), output), quiet=quiet)
        save_pictures(output, began, call.results, call.command)
    return code
