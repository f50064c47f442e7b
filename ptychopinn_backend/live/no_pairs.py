"""Why no frame finds its position, where that is known."""

from __future__ import annotations


def why_nothing_pairs(
    scan_of_frames: str, scan_of_positions: str, apart: tuple[int, float] | None, apart_s: float
) -> str:
    """Return what keeps frames and positions from one another.

    Args:
        scan_of_frames: name that frames give their scan, or ''.
        scan_of_positions: name that positions give it, or ''.
        apart: a number, and seconds between the stamps of its frame and its position, or None.
        apart_s: seconds that are allowed.

    Returns:
        Two sentences, or '' where it is not known.
    """
    if bool(scan_of_frames) != bool(scan_of_positions):
        one, other = ("frames", "positions") if scan_of_frames else ("positions", "frames")
        return (
            f"No frame has found its position: {one} name their scan '{scan_of_frames or scan_of_positions}' and "
            f"{other} name none. Give both the name (attribute and field 'scan'), or neither."
        )
    if apart is not None:
        return (
            f"No frame has found its position: frame and position {apart[0]} are stamped {apart[1]:.3g} s apart, more "
            f"than the {apart_s:.3g} s allowed. Set the clocks alike, name the scans, or allow more with --apart."
        )
    return ""
