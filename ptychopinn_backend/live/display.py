"""The present pictures of the growing object. One thread writes them, and any other thread reads them."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import FloatArray
from ptychopinn_backend.live.live_object import Picture

VIEWS: Final = ("amplitude", "phase", "light", "uncertainty")
_COLOURS: Final = {"amplitude": "gray", "phase": "twilight", "light": "inferno", "uncertainty": "viridis"}
_LARGEST_PX: Final = 1024


def views_of(picture: Picture) -> dict[str, FloatArray]:
    """Return the views of an object.

    Args:
        picture: the object so far.

    Returns:
        The pictures by name: 'amplitude', 'phase' (radians), 'light' (photons per pixel) and 'uncertainty' (radians).
        Each is an array of float32 with a value for every pixel of the object (row, column).
    """
    return {
        "amplitude": np.abs(picture.object),
        "phase": np.angle(picture.object),
        "light": picture.light,
        "uncertainty": picture.uncertainty_rad,
    }


@dataclass(eq=False)
class Display:
    """The latest state of a stream, and its pictures."""

    version: int = 0
    """Version of the pictures; it grows by 1 with every new picture."""
    state: dict[str, Any] = field(default_factory=dict)
    """Counters and further values, as JSON values."""
    views: dict[str, FloatArray] = field(default_factory=dict)
    """Views from `views_of`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _drawn: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def tell(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        with self._lock:
            self.state = state

    def show(self, views: dict[str, FloatArray]) -> None:
        """Replace the pictures."""
        with self._lock:
            self.views, self.version = views, self.version + 1

    def now(self) -> dict[str, Any]:
        """Return the state, with the version and the shape of the pictures."""
        with self._lock:
            shape = list(self.views["amplitude"].shape) if self.views else []
            return {**self.state, "version": self.version, "shape": shape}

    def png(self, view: str) -> bytes | None:
        """Return a picture; None if there is none yet.

        Args:
            view: one of `VIEWS`.

        Returns:
            PNG file of at most about 1024 pixels per side.
        """
        with self._lock:
            version, values, light = self.version, self.views.get(view), self.views.get("light")
            drawn = self._drawn.get(view)
        if values is None or light is None:
            return None
        if drawn is None or drawn[0] != version:
            drawn = version, draw(view, values, light)
            with self._lock:
                self._drawn[view] = drawn
        return drawn[1]


def draw(view: str, values: FloatArray, light: FloatArray) -> bytes:
    """Draw a view with colours for the range of its lit part.

    Args:
        view: one of `VIEWS`.
        values: values of the view (row, column).
        light: photons per pixel (row, column). Pixels with less than a hundredth of its maximum are transparent.

    Returns:
        PNG file.
    """
    from ptychopinn_backend.files.pictures import import_matplotlib

    import_matplotlib()
    from matplotlib import colormaps
    from matplotlib.image import imsave

    step = max(1, -(-max(values.shape) // _LARGEST_PX))
    values, light = values[::step, ::step], light[::step, ::step]
    lit = light > 0.01 * light.max(initial=0.0)
    low, high = (-np.pi, np.pi) if view == "phase" else np.percentile(values[lit], (1, 99)) if lit.any() else (0, 1)
    shown = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    colours = colormaps[_COLOURS[view]](shown, bytes=True)
    colours[~lit, 3] = 0
    stream = io.BytesIO()
    imsave(stream, colours, format="png")
    return stream.getvalue()
