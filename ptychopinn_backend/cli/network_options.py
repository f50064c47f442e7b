"""Options of commands that talk by EPICS PVAccess."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

_OPTIONS: Final = (
    click.option(
        "--interface",
        default="127.0.0.1",
        show_default=True,
        help="Address of the interface that serves channels. With 0.0.0.0 everybody on the network can read them.",
    ),
    click.option(
        "--addresses",
        default="127.0.0.1",
        show_default=True,
        help="Addresses where servers of channels are looked for, separated by spaces, as in EPICS_PVA_ADDR_LIST.",
    ),
    click.option("--search-port", type=click.IntRange(1, 65535), help="UDP port of searches.  [5076]"),
    click.option("--server-port", type=click.IntRange(0, 65535), default=0, help="TCP port of the channels.  [free]"),
)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options on the network, as one argument `network`."""

    @wraps(command)
    def with_network(
        *arguments: Any, interface: str, addresses: str, search_port: int | None, server_port: int, **options: Any
    ) -> Any:
        from ptychopinn_backend.live.channels import Network

        network = Network(interface, addresses, server_port, search_port)
        return command(*arguments, network=network, **options)

    decorated: Callable[..., Any] = with_network
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
