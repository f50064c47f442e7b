"""`ptychopinn replay`: a scan file as a stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptychopinn_backend.cli.interrupts import requests_to_end
from ptychopinn_backend.cli.network_options import network_options
from ptychopinn_backend.cli.options import quiet_option, reading_options

if TYPE_CHECKING:
    from ptychopinn_backend.config.reading import Reading
    from ptychopinn_backend.live.channels import Network

_NOBODY_CAME = 2


@click.command("replay", short_help="Serve a scan as PVAccess channels, as a detector would.")
@click.argument("scan", metavar="SCAN", type=click.Path(path_type=Path))
@click.option("--rate", "rate_hz", type=float, default=100.0, show_default=True, help="Frames per second.")
@click.option("--frames", type=int, help="Frames to send; if SCAN has fewer, it is sent again.  [SCAN once]")
@click.option("--seconds", type=float, default=3600.0, show_default=True, help="End after this time.")
@click.option("--scans", type=int, default=1, show_default=True, help="Times to send it, each time as a new scan.")
@click.option("--jitter", "jitter_ms", type=float, default=0.0, help="Longest random delay of an update, ms.  [0]")
@click.option("--lose", type=float, default=0.0, help="Fraction of updates that are not sent.  [0]")
@click.option("--swap", type=float, default=0.0, help="Fraction that change places with the next.  [0]")
@click.option("--repeat", type=float, default=0.0, help="Fraction that are sent twice.  [0]")
@click.option(
    "--encoder-rate", "encoder_hz", type=float, help="Positions per second, without numbers.  [one per frame]"
)
@click.option("--seed", type=int, default=0, help="Seed of delays, losses and swaps.  [0]")
@click.option("--prefix", default="ptychopinn", show_default=True, help="Prefix of the channel names.")
@click.option("--wait", "wait_s", type=float, default=60.0, show_default=True, help="Seconds to wait for a receiver.")
@network_options
@reading_options
@quiet_option
def command(
    scan: Path,
    prefix: str,
    wait_s: float,
    network: Network,
    reading: Reading,
    quiet: bool,
    **options: Any,
) -> int:
    """Serve SCAN as channels PREFIX:frames, PREFIX:positions and PREFIX:done, as a detector and encoders would.

    Sending begins when a receiver follows frames and positions, and PREFIX:done becomes true after the last frame.
    Channels are on the loopback interface unless another is named.

    \b
      ptychopinn replay scan.npz --rate 1000 --jitter 5 --lose 0.01
    """  # noqa: D301 - click looks for the character, not for its escape
    from ptychopinn_backend.data.dataset.scan_files import read_one_scan
    from ptychopinn_backend.live.channels import require_p4p
    from ptychopinn_backend.live.replaying import Replay, ReplayOptions

    asked = ReplayOptions(**options)
    require_p4p()
    replay = Replay(read_one_scan(scan, reading), prefix, network, asked)
    try:
        with requests_to_end() as is_asked_to_stop:
            if not quiet:
                click.echo(f"Serving {', '.join(replay.names)}.", err=True)
            if not replay.wait_for_receiver(wait_s, is_asked_to_stop):
                click.echo(f"Nobody followed the channels within {wait_s:g} s. Start 'ptychopinn live'.", err=True)
                return _NOBODY_CAME
            sent = replay.send(scan.stem, is_asked_to_stop)
            replay.wait_for_last_receiver(wait_s, is_asked_to_stop)
    finally:
        replay.close()
    if not quiet:
        click.echo(f"Sent {sent['frames']} frames and {sent['positions']} positions.")
    return 0
