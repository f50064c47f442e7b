"""`ptychopinn legacy-commands`: the names `ptycho_train` and `ptycho_inference` as commands of this environment."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "legacy-commands", short_help="Install 'ptycho_train' and 'ptycho_inference', so that scripts run as they are."
)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where they are written.  [scripts of this environment]"
)
@click.option("--remove", is_flag=True, help="Take them away again.")
def command(folder: Path | None, remove: bool) -> None:
    """Write the commands 'ptycho_train' and 'ptycho_inference' into the environment this program is in.

    They call 'ptychopinn ptycho-train' and 'ptychopinn ptycho-inference'. If something else owns one of the names, for
    example the original PtychoPINN in the same environment, that is an error and nothing is written.
    """
    from ptychopinn_backend.cli.launchers import install_launchers, remove_launchers

    done = remove_launchers(folder) if remove else install_launchers(folder)
    verb = "Removed" if remove else "Wrote"
    click.echo(f"{verb} {', '.join(map(str, done))}." if done else "There was nothing to remove.")
