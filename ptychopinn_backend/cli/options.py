"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click
import yaml


def _read_settings(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    # Here, because the help is shown without NumPy, which the configuration needs.
    from ptychopinn_backend.config.yaml_file import yaml_value

    settings: dict[str, Any] = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{text!r} is not KEY=VALUE; write for example batch_size=32.", context, parameter)
        try:
            settings[key.strip()] = yaml_value(value)
        except yaml.YAMLError:
            raise click.BadParameter(f"the value of {text!r} cannot be read; quote it.", context, parameter) from None
    return settings


backend_option = click.option(
    "--backend", help="tensorflow or pytorch.  [PTYCHOPINN_BACKEND, then the file, then the default]"
)
measurement_option = click.option(
    "--measurement",
    type=click.Choice(["counts", "amplitudes"]),
    help="What the patterns hold.  [stated in the file, or found out]",
)
devices_option = click.option(
    "--devices",
    callback=lambda context, parameter, value: int(value) if value and value.isdigit() else value,
    help="Number of devices on this machine, or 'auto' for all; one process each.  [1]",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_read_settings,
    help="Any other key of specs/config.md as KEY=VALUE, the value read as YAML.",
)
