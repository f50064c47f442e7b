"""Options that several commands share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
import yaml

from ptychopinn_backend.data.decisions import LOGGER
from ptychopinn_backend.errors import ConfigError


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
inference_backend_option = click.option(
    "--backend", help="tensorflow, pytorch or onnx.  [PTYCHOPINN_BACKEND, then the one that the model is for]"
)
calibrate_option = click.option(
    "--calibrate", help="auto, never or always: refine probe and positions.  [auto: if the evidence asks for it]"
)


def require_other_file(option: str, path: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse to write over what was read.

    Args:
        option: that names the file to write, for the message.
        path: the file to write, or None.
        inputs: files that are read.

    Raises:
        ConfigError: it is one of them.
    """
    if path is not None and path.resolve() in [item.resolve() for item in inputs]:
        raise ConfigError(f"{option} {path} is the scan itself, which would be lost. Name another file.")


def _tell_no_decisions(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    if value:
        logging.getLogger(LOGGER).setLevel(logging.WARNING)
    return value


_READING: Final = {
    "measurement": click.option(
        "--measurement",
        type=click.Choice(["counts", "amplitudes", "normalized_amplitude"]),
        help="What the patterns hold; with the last, nphotons gives the counts.  [as the file says, else found out]",
    ),
    "reader": click.option("--reader", help="Format of the scan; 'ptychopinn formats' lists them.  [found out]"),
    "positions": click.option(
        "--positions", type=click.Path(path_type=Path), help="File with the positions.  [the scan, or a file beside it]"
    ),
    "scan_index": click.option(
        "--scan-index",
        type=click.Choice(["points", "objects"]),
        help="What the key scan_index numbers.  [as the file says, else found out]",
    ),
    "nphotons": click.option(
        "--nphotons",
        type=float,
        help="Mean photons per pattern, for amplitudes that were divided by an unknown number.",
    ),
    "pixel_size_m": click.option(
        "--pixel-size", "pixel_size_m", type=float, help="Side of an object pixel in m, for positions in metres."
    ),
    "energy_eV": click.option("--energy", "energy_eV", type=float, help="Photon energy in eV.  [the file]"),
    "distance_m": click.option(
        "--distance", "distance_m", type=float, help="From the object to the detector, in m.  [the file]"
    ),
    "detector_pixel_m": click.option(
        "--detector-pixel", "detector_pixel_m", type=float, help="Side of a detector pixel in m.  [the file]"
    ),
    "swap_xy": click.option("--swap-xy", is_flag=True, help="Take columns of the positions for rows."),
    "negate_x": click.option("--negate-x", is_flag=True, help="Mirror the columns of the positions."),
    "negate_y": click.option("--negate-y", is_flag=True, help="Mirror the rows of the positions."),
    "rotate_deg": click.option(
        "--rotate", "rotate_deg", type=float, help="First turn the positions by this angle in degrees, x towards y."
    ),
}


def _reading_options(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command the options on reading scans, as one argument `reading`."""
    offered = [name for name in _READING if name not in without]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_reading(*arguments: Any, **options: Any) -> Any:
            # Here, because the help is shown without NumPy.
            from ptychopinn_backend.config.reading import Reading

            stated = {name: options.pop(name) for name in offered}
            reading = Reading(**{name: value for name, value in stated.items() if value is not None})
            return command(*arguments, reading=reading, **options)

        decorated: Callable[..., Any] = with_reading
        for name in reversed(offered):
            decorated = _READING[name](decorated)
        return decorated

    return decorate


reading_options = _reading_options()
reading_options_of_probe = _reading_options(
    *("measurement", "positions", "scan_index", "nphotons"),
    *("pixel_size_m", "swap_xy", "negate_x", "negate_y", "rotate_deg"),
)
"""What matters to the probe of a scan, beside options of `live` on what it receives."""
devices_option = click.option(
    "--devices",
    callback=lambda context, parameter, value: int(value) if value and value.isdigit() else value,
    help="Number of devices on this machine, or 'auto' for all; one process each.  [1]",
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, callback=_tell_no_decisions, help="Print nothing but errors."
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_read_settings,
    help="Any other key of specs/config.md, as KEY=VALUE; VALUE is read as YAML.",
)
