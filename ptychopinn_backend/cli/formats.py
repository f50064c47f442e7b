"""`ptychopinn formats`: the formats of scans that are read, and what tells them apart."""

from __future__ import annotations

import click


@click.command("formats", short_help="List the formats of scans that are read.")
@click.option("--all", "with_provided", is_flag=True, help="List the readers of Ptychodus too, which loads Ptychodus.")
def command(with_provided: bool) -> None:
    """List the formats of scans that every command reads, and what a file of each holds.

    The content of a file tells its format, not its name. If it does not, --reader NAME states the format. If Ptychodus
    is installed, its own readers can be used too, as --reader ptychodus:NAME.
    """
    from ptychopinn_backend.data.readers.providers import is_installed, provided, provider_names
    from ptychopinn_backend.data.readers.table import FORMATS

    width = max(len(form.name) for form in FORMATS)
    for form in FORMATS:
        click.echo(f"{form.name:<{width}}  {form.summary}")
        click.echo(f"{'':<{width}}    holds {form.told_by}")
    for name in provider_names():
        if not is_installed(name):
            click.echo(f"{name}:NAME  readers of {name}, which is not installed; ptychopinn-backend[{name}] brings it")
        elif with_provided:
            for reader, summary in provided(name).names().items():
                click.echo(f"{name}:{reader}  {summary}")
        else:
            click.echo(f"{name}:NAME  readers of {name}; 'ptychopinn formats --all' lists them")
