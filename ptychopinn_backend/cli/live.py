"""`ptychopinn live`: reconstruct a scan while it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.interrupts import requests_to_end
from ptychopinn_backend.cli.network_options import network_options
from ptychopinn_backend.cli.options import inference_backend_option, quiet_option, reading_options_of_probe

if TYPE_CHECKING:
    from ptychopinn_backend.arrays import BoolArray, Complex64Array
    from ptychopinn_backend.config.reading import Reading
    from ptychopinn_backend.live.channels import Network
    from ptychopinn_backend.live.live_stream import StreamOptions
    from ptychopinn_backend.live.session import Session, SessionOptions


@click.command("live", short_help="Reconstruct a scan while it is measured, from PVAccess channels.")
@click.argument("archive", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("--frames", required=True, help="Channel of the frames (NTNDArray), pva://NAME.")
@click.option("--positions", required=True, help="Channel of the positions, pva://NAME.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@inference_backend_option
@click.option(
    "--pair-by",
    "pairing",
    type=click.Choice(["number", "time"]),
    default="number",
    show_default=True,
    help="Find the position of a frame by its number (uniqueId), or between encoder readings by time stamps.",
)
@click.option(
    "--settle",
    "settle_ms",
    type=float,
    default=50.0,
    show_default=True,
    help="By time: wait this long for readings, ms.",
)
@click.option(
    "--gap", "gap_ms", type=float, default=100.0, show_default=True, help="By time: longest gap between readings, ms."
)
@click.option(
    "--apart",
    "apart_s",
    type=float,
    default=1.0,
    show_default=True,
    help="By number: frame and position are stamped within so many s; inf where clocks differ.",
)
@click.option("--time-offset", "offset_ms", type=float, default=0.0, help="By time: added to the frames' stamps, ms.")
@click.option("--probe-from", type=click.Path(path_type=Path), help="Scan to take probe and mask from.  [archive]")
@reading_options_of_probe
@click.option("--measurement", type=click.Choice(["counts", "amplitudes"]), default="counts", show_default=True)
@click.option("--photons", type=float, help="Mean photons per pattern, to normalise by.  [of the first 64 frames]")
@click.option("--pixel-size", "pixel_size_m", type=float, help="Side of an object pixel in m, for positions in m.")
@click.option("--swap-xy", is_flag=True, help="Take columns of the positions for rows.")
@click.option("--negate-x", is_flag=True, help="Mirror the columns of the positions.")
@click.option("--negate-y", is_flag=True, help="Mirror the rows of the positions.")
@click.option("--queue", type=click.IntRange(8, 100_000), default=512, show_default=True, help="Frames that may wait.")
@click.option("--stop", help="Channel that ends the session when it becomes true, pva://NAME.")
@click.option(
    "--idle", "idle_s", type=float, default=60.0, show_default=True, help="End after so many s without a pair."
)
@click.option("--publish", default="ptychopinn:live", show_default=True, help="Prefix of the channels with the object.")
@click.option("--no-publish", is_flag=True, help="Publish no channels.")
@click.option("--page", type=click.IntRange(1, 65535), help="Port of a page that shows the object, on this computer.")
@click.option("--page-address", default="127.0.0.1", show_default=True, help="Interface of the page.")
@click.option(
    "--no-frames", is_flag=True, help="Keep no frames: the object as it grew is the result, without a last pass."
)
@click.option("--polish", "polish_steps", type=click.IntRange(min=0), default=0, help="Steps in the last pass.  [0]")
@click.option("--accelerator", help="auto, cpu, gpu, cuda or mps.  [auto]")
@network_options
@quiet_option
def command(
    archive: Path,
    backend: str | None,
    accelerator: str | None,
    page: int | None,
    page_address: str,
    network: Network,
    reading: Reading,
    quiet: bool,
    **options: Any,
) -> int:
    """Reconstruct a scan while it is measured: frames and positions come by EPICS PVAccess, and the object grows.

    Ctrl-C, the stop channel or a long silence ends the session. OUTPUT then gets what 'ptychopinn infer' writes, and
    frames.npz with the frames that were used. docs/live.md explains the rest.

    \b
      ptychopinn replay scan.npz --rate 500 --prefix t
      ptychopinn live m --frames pva://t:frames --positions pva://t:positions -o r
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.config.execution import resolve_execution
    from ptychopinn_backend.live.channels import require_p4p
    from ptychopinn_backend.live.display import Display
    from ptychopinn_backend.live.session import Session
    from ptychopinn_backend.runs.trained_model import TrainedModel

    require_p4p()
    session_options, stream_options = _session_options(network, options), _stream_options(options, reading)
    execution = resolve_execution(explicit={"accelerator": accelerator})
    model = TrainedModel.load(archive, backend, execution, to_predict=True)
    display = Display()
    session = Session(model, stream_options, session_options, display)
    server = None
    try:
        if page is not None:
            from ptychopinn_backend.live.page import PageServer

            server = PageServer(display, page_address, page)
            if not quiet:
                click.echo(f"The object is shown at {server.url}", err=True)
        with requests_to_end() as is_asked_to_stop:
            if not quiet:
                click.echo(f"Waiting for {session_options.frames} with {model.backend_name}.", err=True)
            reason = "broken off"
            try:
                reason = session.run(is_asked_to_stop)
            finally:
                if not quiet:
                    _tell_end(session, reason)
    finally:
        session.close()
        if server is not None:
            server.close()
    return 0


def _tell_end(session: Session, reason: str) -> None:
    counts = ", ".join(f"{name} {value:g}" for name, value in session.counters().items() if value)
    click.echo(f"Ended: {reason}. {counts}")
    nothing = "nothing, no frame was used" if not session.counters()["used"] else "nothing"
    click.echo(f"Written: {', '.join(map(str, session.written)) or nothing}")


def _session_options(network: Network, options: dict[str, Any]) -> SessionOptions:
    from ptychopinn_backend.live.channels import PositionUnits
    from ptychopinn_backend.live.session import SessionOptions

    units = {name: options[name] for name in ("pixel_size_m", "swap_xy", "negate_x", "negate_y")}
    return SessionOptions(
        frames=options["frames"],
        positions=options["positions"],
        output=options["output"],
        stop=options["stop"],
        prefix=None if options["no_publish"] else options["publish"],
        idle_s=options["idle_s"],
        keep_frames=not options["no_frames"],
        polish_steps=options["polish_steps"],
        network=network,
        units=PositionUnits(**units),
    )


def _stream_options(options: dict[str, Any], reading: Reading) -> StreamOptions:
    from ptychopinn_backend.live.live_stream import StreamOptions
    from ptychopinn_backend.live.pairing import TimeRule

    probe = bad_pixels = None
    if options["probe_from"] is not None:
        probe, bad_pixels = _probe_of(options["probe_from"], reading, options["pixel_size_m"])
    elif reading.stated():
        raise click.UsageError(f"{', '.join(reading.stated())} concern --probe-from, which is not given.")
    return StreamOptions(
        pairing=options["pairing"],
        apart_s=options["apart_s"],
        time_rule=TimeRule(options["settle_ms"] / 1e3, options["gap_ms"] / 1e3, options["offset_ms"] / 1e3),
        measurement=options["measurement"],
        photons=options["photons"],
        most_waiting=options["queue"],
        probe=probe,
        bad_pixels=bad_pixels,
    )


def _probe_of(path: Path, reading: Reading, pixel_size_m: float | None) -> tuple[Complex64Array, BoolArray | None]:
    """Read the probe (mode, N, N) and the bad pixels (N, N) of a scan; its pixel is that of the positions received."""
    from dataclasses import replace

    from ptychopinn_backend.data.dataset.scan_files import is_stored, read_one_scan
    from ptychopinn_backend.errors import DataError

    if pixel_size_m is not None and not is_stored(path):
        reading = replace(reading, pixel_size_m=pixel_size_m)
    scan = read_one_scan(path, reading)
    if scan.probeGuess is None:
        raise DataError(f"{path} has no probe (probeGuess). Name a scan that has one.")
    return scan.probeGuess, scan.bad_pixels
