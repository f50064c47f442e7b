"""Reasons why no frame finds its position, if a reason is known."""

from __future__ import annotations


def why_nothing_pairs(
    scan_of_frames: str, scan_of_positions: str, apart: tuple[int, float] | None, apart_s: float
) -> str:
    """Return the reason why frames and positions do not find one another.

    Args:
        scan_of_frames: name of the scan that the frames give, or ''.
        scan_of_positions: name of the scan that the positions give, or ''.
        apart: a number of a frame, and the seconds between the stamps of this frame and its position, or None.
        apart_s: largest allowed time between these stamps, seconds.

    Returns:
        Two sentences, or '' if the reason is not known.
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
