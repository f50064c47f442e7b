"""The growing object and its counters as channels of PVAccess."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from ptychopinn_backend.arrays import FloatArray
from ptychopinn_backend.live.channels import Network, ndarray_type, ndarray_value, open_server
from ptychopinn_backend.live.display import VIEWS

COUNTERS: Final = "counters"


class Publisher:
    """Serves PREFIX:amplitude, :phase, :light and :uncertainty (NTNDArray, float32), and PREFIX:counters."""

    def __init__(self, prefix: str, network: Network, counters: Mapping[str, float]) -> None:
        """Serve the channels, with empty pictures at first.

        Args:
            prefix: prefix of the names of the channels.
            network: interface of the server.
            counters: counters with their first values, by name.

        Raises:
            BackendUnavailableError: p4p is not installed.
        """
        from p4p import Type, Value
        from p4p.server.raw import SharedPV

        self._value, self._kind = Value, ndarray_type()
        self._counter_type = Type(
            [(name, "d" if isinstance(value, float) else "l") for name, value in counters.items()]
        )
        self._views = {view: SharedPV(initial=Value(self._kind, {})) for view in VIEWS}
        self._counters = SharedPV(initial=Value(self._counter_type, dict(counters)))
        channels: dict[str, Any] = {f"{prefix}:{view}": channel for view, channel in self._views.items()}
        self._server = open_server(network, {**channels, f"{prefix}:{COUNTERS}": self._counters})
        self._number = 0

    def show(self, views: Mapping[str, FloatArray]) -> None:
        """Send pictures.

        Args:
            views: views from `display.views_of`.
        """
        self._number += 1
        for view, channel in self._views.items():
            channel.post(ndarray_value(self._kind, views[view].astype("float32"), self._number, time.time()))

    def count(self, counters: Mapping[str, float]) -> None:
        """Send counters.

        Args:
            counters: values of the counters, by the same names as at the start.
        """
        self._counters.post(self._value(self._counter_type, dict(counters)))

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
