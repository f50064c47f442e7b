"""Matplotlib for files alone: no display, no choice of backend, and its own settings, whatever the environment says.

An environment inherited from a notebook names a backend (`MPLBACKEND`) that may not be installed here, and then
Matplotlib cannot even be imported. Settings of the user (`matplotlibrc`) may ask for LaTeX, or for another format.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_BACKEND_VARIABLE: Final = "MPLBACKEND"
_KNOWN_BACKENDS: Final = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template", "qtagg", "qt5agg", "tkagg", "macosx")
"""Names that every version of Matplotlib takes."""
_SIDE_ROOM_INCH: Final = 0.12
"""Room at both sides of a panel."""
_OF_WINDOWS: Final = ("backend", "interactive", "toolbar", "webagg", "tk.", "docstring", "date.", "timezone")
"""Beginnings of the names of settings that concern windows and the session, not a picture."""


def import_matplotlib() -> None:
    """Import Matplotlib; a backend that the environment names and this installation lacks is no reason to fail.

    Such a name is taken out of the environment, for the sake of processes started from this one.

    Raises:
        ImportError: it is not installed.
    """
    if "matplotlib" in sys.modules:
        return
    # What another package left of an import that failed would make the next one fail too.
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        del sys.modules[name]
    named = os.environ.pop(_BACKEND_VARIABLE, "")
    import matplotlib

    if named:
        try:
            # As its import does, for those who open windows or draw in a notebook in this process.
            matplotlib.rcParams["backend"] = named
        except ValueError as error:
            logger.info("%s names no backend of Matplotlib here; files need none (%s).", _BACKEND_VARIABLE, error)
        else:
            os.environ[_BACKEND_VARIABLE] = named


def import_matplotlib_before_a_framework() -> None:
    """Import Matplotlib if the environment names an odd backend for it: Keras and Lightning import it, and may fail."""
    named = os.environ.get(_BACKEND_VARIABLE, "").lower()
    if named and named not in _KNOWN_BACKENDS and find_spec("matplotlib") is not None:
        import_matplotlib()


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with the settings Matplotlib is delivered with; those of the user are in force again afterwards."""
    import_matplotlib()
    import matplotlib

    delivered = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith(_OF_WINDOWS)}
    with matplotlib.rc_context(delivered):
        yield


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """Return an empty figure that is drawn in memory; no window knows of it.

    Args:
        width_inch: width.
        height_inch: height.

    Returns:
        The figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # Images keep their aspect after the layout; with less room at the sides their labels would leave the figure.
    figure = Figure(figsize=(width_inch, height_inch), layout=ConstrainedLayoutEngine(w_pad=_SIDE_ROOM_INCH))
    FigureCanvasAgg(figure)
    return figure


def drawn(draw: Callable[[Path], object], path: Path) -> list[Path]:
    """Draw a figure after the results it shows are safe; where that fails, warn and go on.

    Args:
        draw: writes the figure to the path it is given.
        path: of the figure.

    Returns:
        The path, or nothing.
    """
    try:
        draw(path)
    except Exception as error:
        # Whatever goes wrong in drawing, the result is written; a picture of an earlier one beside it would mislead.
        logger.debug("The figure %s failed.", path, exc_info=True)
        _remove(path)
        warnings.warn(failure(str(path), error), UserWarning, stacklevel=2)
        return []
    return [path]


def failure(what: str, error: Exception) -> str:
    """Return the words for a figure that failed.

    Args:
        what: the figure.
        error: why.

    Returns:
        One line.
    """
    reason = " ".join(str(error).split()) or "no reason given"
    return (
        f"The figure {what} was not drawn ({type(error).__name__}: {reason[:300]}); all other results are complete. "
        "Check the installation of Matplotlib and the room on the disk."
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("'%s' shows an earlier result and cannot be removed (%s).", path, error)
