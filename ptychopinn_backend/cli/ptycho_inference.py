"""`ptychopinn ptycho-inference`: the flags of `ptycho_inference` of the original PtychoPINN."""

from __future__ import annotations

from pathlib import Path

import click

from ptychopinn_backend.errors import ConfigError


@click.command(
    "ptycho-inference",
    short_help="Reconstruct as 'ptycho_inference' of the original PtychoPINN did.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("words", metavar="[--NAME VALUE]...", nargs=-1, type=click.UNPROCESSED)
def command(words: tuple[str, ...]) -> int:
    """Reconstruct with the flags of 'ptycho_inference', and say which 'ptychopinn infer' does the same.

    Needs --model_path and --test_data. Further flags: --output_dir, --config, --backend, --n_images, --n_subsample,
    --subsample_seed, --phase_vmin, --phase_vmax, --debug, --torch-accelerator, --torch-inference-batch-size. Flags of
    'python -m ptycho_torch.inference' are known too. docs/migration.md lists what has no effect here.

    Writes reconstructed_amplitude.png, reconstructed_phase.png and logs/debug.log into --output_dir
    (inference_outputs), beside the files of 'ptychopinn infer'; reconstruction.png shows the true object too, where the
    scan holds it.

    \b
      ptychopinn ptycho-inference --model_path out --test_data scan.npz
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.cli.legacy_flags import inference_words, output_of, read_call, warn_of_unused
    from ptychopinn_backend.cli.legacy_session import debug_log, now_s, run_command, save_pictures
    from ptychopinn_backend.legacy.option_files import read_option_file
    from ptychopinn_backend.legacy.result_options import scan_of_experiment

    call = read_call(words, read_option_file)
    model = call.command.get("model_path", call.results.get("model_path"))
    scan = call.options.get("test_data_file")
    if model is None or scan is None:
        missing = "--model_path" if model is None else "--test_data"
        raise ConfigError(f"{missing} is missing. Name it, here or in the file of --config.")
    warn_of_unused(call, trains=False, reconstructs=True)
    number = call.results.get("experiment_number")
    chosen = Path(scan) if number is None else scan_of_experiment(Path(scan), number)
    output, quiet = output_of(call, "inference_outputs"), bool(call.command.get("quiet"))
    with debug_log(output, call.command, verbose=bool(call.results.get("debug"))):
        began = now_s()
        code = run_command(inference_words(call, Path(model), chosen, output), quiet=quiet)
        save_pictures(output, began, call.results, call.command)
    return code
