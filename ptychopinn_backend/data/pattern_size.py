"""Whether patterns have a size a network can take, and what to do where they have not."""

from __future__ import annotations

from ptychopinn_backend.config import PATTERN_SIZES
from ptychopinn_backend.errors import DataError


def require_network_size(N: int, what: str = "The patterns") -> None:
    """Raise unless a network can be built for patterns of a size.

    Args:
        N: pattern side in pixels.
        what: how the message calls the patterns.

    Raises:
        DataError: no network takes that size; says which are near, and how to get there.
    """
    if N not in PATTERN_SIZES:
        *others, last = map(str, PATTERN_SIZES)
        raise DataError(f"{what} are {N} x {N} pixels; a network takes {', '.join(others)} or {last}. {_resize(N)}")


def misfit(N: int, wanted: int, what: str = "The patterns") -> DataError:
    """Return what is wrong where patterns and model differ in size.

    Args:
        N: pattern side in pixels.
        wanted: that of the model.
        what: how the message calls the patterns.

    Returns:
        The error, with what to do.
    """
    verb = "Crop" if wanted < N else "Pad"
    another = f", or use a model made for N = {N}" if N in PATTERN_SIZES else ""
    return DataError(
        f"{what} are {N} x {N} pixels and the model is made for N = {wanted}; they must agree. "
        f"{verb} the patterns ({_command(wanted)}){another}."
    )


def _resize(N: int) -> str:
    smaller = max((size for size in PATTERN_SIZES if size < N), default=None)
    larger = min((size for size in PATTERN_SIZES if size > N), default=None)
    ways = [f"crop them to {smaller}"] if smaller is not None else []
    ways += [f"pad them to {larger}"] if larger is not None else []
    words = " or ".join(ways)
    return f"{words[0].upper()}{words[1:]}: {_command(smaller or larger or N)}."


def _command(N: int) -> str:
    return f"ptychopinn convert SCAN -o NEW.npz --size {N}"
