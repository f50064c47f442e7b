"""Which devices computations see, and what they are called; only a child process ever asks a framework."""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
from collections.abc import Mapping
from functools import partial
from itertools import takewhile
from typing import Final

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.factory import backend_class
from ptychopinn_backend.seam.child_process import ChildProcess, ParentLink

logger = logging.getLogger("ptychopinn_backend.ptychodus")

ALL: Final = "all"
_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
_LONGEST_S: Final = 60.0
"""A driver that hangs is not waited for any longer."""
_found: dict[str, tuple[str, ...]] = {}


def list_devices(host: ParentLink) -> None:
    """Name the devices of a framework; runs in a child.

    Args:
        host: gives the name of the backend, takes the names.
    """
    host.put(backend_class(host.receive()).device_names())


def find_devices(backend: str, longest_s: float = _LONGEST_S) -> None:
    """Ask a child for the devices of a framework, and keep the answer.

    Args:
        backend: 'tensorflow' or 'pytorch'.
        longest_s: time it has to answer.
    """
    child = ChildProcess(list_devices)
    # Python waits for its children when it ends, for one that hangs too.
    end_at_exit = partial(child.end, grace_s=0.0)
    atexit.register(end_at_exit)
    enough = threading.Event()
    timer = threading.Timer(longest_s, enough.set)
    timer.daemon = True
    timer.start()
    try:
        child.send(backend)
        _found[backend] = child.receive(enough) or ()
        if enough.is_set():
            logger.info("The devices of %s are not known: it did not name them within %.0f s.", backend, longest_s)
    except Exception as error:
        # A list without names is no reason to disturb anybody; a run says what is wrong.
        logger.info("The devices of %s are not known: %s", backend, error)
        _found[backend] = ()
    finally:
        timer.cancel()
        child.end()
        atexit.unregister(end_at_exit)


def known_devices(backend: str) -> tuple[str, ...] | None:
    """Return the names of the devices a backend sees, by their numbers; None where nobody has asked yet."""
    return _found.get(backend)


def are_devices(value: str) -> bool:
    """Return whether a setting names devices: 'all', or their numbers."""
    return value == ALL or re.fullmatch(r"\d+(,\d+)*", value.replace(" ", "")) is not None


def visible_environment(value: str, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a child's environment says of the devices it may see.

    Args:
        value: 'all', or numbers of devices as the list shows them, divided by commas.
        outer: environment of the host, which may show some devices only; numbers count among those.

    Returns:
        Variables to set; none for 'all'.

    Raises:
        ConfigError: it names no devices, or one that the host itself does not see.
    """
    if not are_devices(value):
        raise ConfigError(
            f"VisibleDevices = {value!r} names no devices. Set it to all, or to their numbers, for example 0 or 0,1."
        )
    if value == ALL:
        return {}
    numbers = [int(number) for number in value.split(",")]
    shown = outer.get(_VARIABLE)
    if shown is None:
        return {_VARIABLE: ",".join(str(number) for number in numbers)}
    names = _shown_names(shown)
    if not names:
        raise ConfigError(
            f"VisibleDevices = {value!r}, and Ptychodus was started with {_VARIABLE} = {shown!r}, which hides every "
            "device. Set VisibleDevices to all to compute without one, or start Ptychodus with other devices."
        )
    if max(numbers) >= len(names):
        raise ConfigError(
            f"VisibleDevices = {value!r}, and Ptychodus was started with {_VARIABLE} = {shown}, {len(names)} of them. "
            f"Name devices below {len(names)}, or start it with more."
        )
    return {_VARIABLE: ",".join(names[number] for number in numbers)}


def _shown_names(shown: str) -> list[str]:
    """Return the devices that a value of the variable shows: an empty or negative name hides the rest."""
    return list(takewhile(lambda name: name and not name.startswith("-"), map(str.strip, shown.split(","))))
