"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click
import yaml

backend_option = click.option(
    "--backend", help="tensorflow or pytorch.  [PTYCHOPINN_BACKEND, then the file, then the default]"
)
measurement_option = click.option(
    "--measurement",
    type=click.Choice(["counts", "amplitudes"]),
    help="What the patterns hold.  [stated in the file, or found out]",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


class SettingType(click.ParamType):
    """KEY=VALUE, the value read as YAML (numbers, true/false, null, text)."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Split at the first '=' and read the value."""
        if isinstance(value, tuple):
            return value
        key, separator, text = str(value).partition("=")
        if not separator or not key:
            self.fail(f"{value!r} is not KEY=VALUE; write for example batch_size=32.", param, ctx)
        try:
            return key.strip(), yaml.safe_load(text)
        except yaml.YAMLError:
            self.fail(f"the value of {value!r} cannot be read; quote text with special characters.", param, ctx)
