"""Channels of EPICS PVAccess through p4p: they carry frames and positions in, and pictures and counters out.

Data from the network are numbers and text. PVAccess has no pickles, and an update without the expected fields counts as
unreadable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import BackendUnavailableError, ConfigError
from ptychopinn_backend.live.messages import UNKNOWN_TIME, Frame, Position

if TYPE_CHECKING:
    from p4p import Type, Value

SCHEME: Final = "pva://"
LOOPBACK: Final = "127.0.0.1"
QUEUE: Final = 4096
"""Largest number of updates that wait on the way from a sender."""
SCAN_ATTRIBUTE: Final = "scan"
"""Attribute of a frame, and field of a position, with the name of its scan."""
_NOT_AS_EXPECTED: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError)
"""What reading a value of another structure raises."""
_UNION_FIELDS: Final = {
    "bool": "booleanValue",
    "int8": "byteValue",
    "int16": "shortValue",
    "int32": "intValue",
    "int64": "longValue",
    "uint8": "ubyteValue",
    "uint16": "ushortValue",
    "uint32": "uintValue",
    "uint64": "ulongValue",
    "float32": "floatValue",
    "float64": "doubleValue",
}


def require_p4p() -> None:
    """Raise unless p4p is installed.

    Raises:
        BackendUnavailableError: p4p is not installed; the message says how to install it.
    """
    try:
        import p4p  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(
            f"Streams come by EPICS PVAccess, and the package 'p4p' cannot be loaded ({error}). Install it with: pip "
            "install 'ptychopinn-backend[live]'."
        ) from error


def channel_name(address: str) -> str:
    """Return the name of a channel.

    Args:
        address: 'pva://NAME'.

    Returns:
        The name NAME.

    Raises:
        ConfigError: the address has another scheme or no name.
    """
    name = address.removeprefix(SCHEME)
    if not address.startswith(SCHEME) or not name or name.startswith("/"):
        raise ConfigError(
            f"'{address}' is not the address of a channel. Write {SCHEME}NAME with the name of a PVAccess channel, for "
            f"example {SCHEME}13SIM1:Pva1:Image."
        )
    return name


@dataclass(frozen=True)
class Network:
    """Addresses for finding and serving channels. The default is the loopback interface."""

    interface: str = LOOPBACK
    """Address of the interface on which this computer serves its own channels."""
    addresses: str = LOOPBACK
    """Addresses at which servers are searched, separated by spaces."""
    server_port: int = 0
    """TCP port of the server; 0 takes a free port, which clients find by a search."""
    search_port: int | None = None
    """UDP port for searches; None takes 5076."""

    @property
    def is_local(self) -> bool:
        """Whether all data stay on this computer."""
        return self.interface == LOOPBACK and set(self.addresses.split()) <= {LOOPBACK}

    def of_server(self) -> dict[str, str]:
        """Return the settings of a server, by their EPICS names."""
        found = {
            "EPICS_PVAS_INTF_ADDR_LIST": self.interface,
            "EPICS_PVAS_BEACON_ADDR_LIST": self.addresses,
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVAS_SERVER_PORT": str(self.server_port),
        }
        if self.search_port is not None:
            found["EPICS_PVAS_BROADCAST_PORT"] = str(self.search_port)
        return found

    def of_client(self) -> dict[str, str]:
        """Return the settings of a client, by their EPICS names."""
        found = {"EPICS_PVA_ADDR_LIST": self.addresses, "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
        if self.is_local:
            found["EPICS_PVA_INTF_ADDR_LIST"] = LOOPBACK
        if self.search_port is not None:
            found["EPICS_PVA_BROADCAST_PORT"] = str(self.search_port)
        return found


def ndarray_type() -> Type:
    """Return the structure NTNDArray of areaDetector."""
    from p4p.nt import NTNDArray

    return NTNDArray.buildType()


def ndarray_value(
    kind: Type, image: AnyArray, number: int, time_s: float, attributes: Mapping[str, Any] | None = None
) -> Value:
    """Return an image in the form in which areaDetector sends it.

    Args:
        kind: structure from `ndarray_type`.
        image: values of the image's pixels (row, column).
        number: uniqueId of the image.
        time_s: time stamp of the image, seconds since 1970.
        attributes: values of attributes, by name.

    Returns:
        The value of p4p.
    """
    from p4p import Value

    seconds = math.floor(time_s)
    stamp = {"secondsPastEpoch": seconds, "nanoseconds": round((time_s - seconds) * 1e9) % 10**9}
    values = np.ascontiguousarray(image).ravel()
    return Value(
        kind,
        {
            "value": (_UNION_FIELDS[values.dtype.name], values),
            "compressedSize": values.nbytes,
            "uncompressedSize": values.nbytes,
            "uniqueId": number,
            "dataTimeStamp": stamp,
            "timeStamp": stamp,
            "dimension": [
                {"size": size, "offset": 0, "fullSize": size, "binning": 1, "reverse": False}
                for size in reversed(image.shape)
            ],
            "attribute": [{"name": name, "value": value} for name, value in (attributes or {}).items()],
        },
    )


def frame_of(value: Value, arrived_s: float, scan_attribute: str = SCAN_ATTRIBUTE) -> Frame | None:
    """Read an NTNDArray.

    Args:
        value: the value as it arrived.
        arrived_s: time of its arrival, seconds of the receiver's monotonic clock.
        scan_attribute: attribute with the name of the scan.

    Returns:
        The frame. Its counts have the shape of the dimensions, or are flat if the dimensions do not fit their number.
        None if the value has no uncompressed image.
    """
    try:
        return _frame_in(value, arrived_s, scan_attribute)
    except _NOT_AS_EXPECTED:
        return None


def _frame_in(value: Value, arrived_s: float, scan_attribute: str) -> Frame | None:
    image = value.get("value")
    if not isinstance(image, np.ndarray) or image.size == 0 or str(value.get("codec.name", "") or ""):
        return None
    # p4p keeps the memory of a value as long as an array refers to it, so no copy is needed.
    shape = tuple(int(item.size) for item in reversed(value.get("dimension") or []))
    counts = np.asarray(image)
    if len(shape) > 2:
        shape = tuple(size for size in shape if size != 1)
    if math.prod(shape) == counts.size:
        counts = counts.reshape(shape)
    scan = next((item.value for item in value.get("attribute") or [] if item.name == scan_attribute), "")
    time_s = _stamp(value, "dataTimeStamp")
    if math.isnan(time_s):
        time_s = _stamp(value, "timeStamp")
    return Frame(int(value.get("uniqueId", 0)), counts, time_s, _text(scan), arrived_s)


@dataclass(frozen=True)
class PositionUnits:
    """Conversion of encoder values to object pixels, the same as for scan files."""

    pixel_size_m: float | None = None
    """Side of an object pixel in metres, if positions are in metres; None if they are in pixels."""
    swap_xy: bool = False
    """True if x and y are exchanged. This is done first."""
    negate_x: bool = False
    """True if x is negated after the exchange."""
    negate_y: bool = False
    """True if y is negated after the exchange."""

    def in_pixels(self, x: float, y: float) -> tuple[float, float]:
        """Return (column, row) in object pixels."""
        if self.swap_xy:
            x, y = y, x
        scale = 1.0 if self.pixel_size_m is None else 1 / self.pixel_size_m
        return (-x if self.negate_x else x) * scale, (-y if self.negate_y else y) * scale


def positions_of(value: Value, units: PositionUnits) -> list[Position]:
    """Read positions from a structure with the numbers x and y, or from an NTTable with such columns.

    Args:
        value: the value as it arrived. 'uniqueId' is the number of the frame, 'time' (seconds since 1970) or the time
            stamp is the time of the reading, and 'scan' is the name of the scan.
        units: conversion of the numbers to object pixels.

    Returns:
        The positions; an empty list if the value has no such numbers.
    """
    fields = value.get("value") if _is_structure(value.get("value")) else value
    try:
        if fields.get("x") is None or fields.get("y") is None:
            return []
        x, y = (np.atleast_1d(np.asarray(fields.get(name), np.float64)) for name in ("x", "y"))
        count = len(x)
        numbers = _column(fields, "uniqueId", count, -1)
        # The stamp of a table is not that of its rows.
        times = _column(fields, "time", count, _stamp(value, "timeStamp") if count == 1 else UNKNOWN_TIME)
        scan = fields.get("scan")
        named = np.broadcast_to(np.atleast_1d("" if scan is None else scan), (count,))
        rows = zip(x.tolist(), y.tolist(), numbers.tolist(), times.tolist(), named.tolist(), strict=True)
        return [Position(int(n), *units.in_pixels(a, b), t, _text(name)) for a, b, n, t, name in rows]
    except _NOT_AS_EXPECTED:
        return []


def is_true(value: Value) -> bool | None:
    """Read a flag: a truth value, a number, or the index of an enumeration.

    Args:
        value: the value as it arrived.

    Returns:
        Whether the flag is true; None if the field 'value' holds no flag.
    """
    try:
        found = value.get("value")
        flag = np.asarray(found.get("index") if _is_structure(found) else found)
        is_flag = flag.size == 1 and flag.dtype.kind in "biuf" and bool(np.isfinite(flag).all())
        return bool(flag.any()) if is_flag else None
    except _NOT_AS_EXPECTED:
        return None


def _column(fields: Any, name: str, count: int, otherwise: float) -> AnyArray:
    found = fields.get(name)
    values = np.atleast_1d(np.asarray(otherwise if found is None else found))
    return np.broadcast_to(values, (count,)) if len(values) == 1 else values


def _is_structure(value: object) -> bool:
    return hasattr(value, "getID")


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _stamp(value: Value, name: str) -> float:
    """Return a time stamp in seconds since 1970; NaN if there is none."""
    seconds = value.get(f"{name}.secondsPastEpoch")
    if not seconds:
        return UNKNOWN_TIME
    return float(seconds) + float(value.get(f"{name}.nanoseconds", 0)) * 1e-9


def open_client(network: Network) -> Any:
    """Return a client of p4p.

    Args:
        network: addresses at which the client searches for servers.

    Returns:
        The context.
    """
    require_p4p()
    from p4p.client.thread import Context

    return Context("pva", conf=network.of_client(), useenv=False, nt=False)


def open_server(network: Network, channels: Mapping[str, Any]) -> Any:
    """Serve channels.

    Args:
        network: interface of the server.
        channels: channels of p4p, by name.

    Returns:
        The running server.
    """
    require_p4p()
    from p4p.server import Server

    return Server(providers=[dict(channels)], conf=network.of_server(), useenv=False)
