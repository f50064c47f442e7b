"""Examination of the probe: its modes, its place in the array, and the pixel size that it has."""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float64Array
from ptychopinn_backend.checking.subject import NOTHING, Outcome, Subject, note
from ptychopinn_backend.config.scan_traits import FLAT_PROBE
from ptychopinn_backend.data.findings.finding import Finding
from ptychopinn_backend.data.readers.units import PLANCK_TIMES_LIGHT_EV_M

_AT_CORNERS: Final = 0.7
"""Least part of the light in the outer half of both axes at which the probe counts as wrapped."""
_AT_BORDER: Final = 0.1
"""Largest part of the light near the border, an eighth of the side in all, for a probe that fits into its array."""
_EVEN: Final = 0.5
_PIXEL: Final = 0.02
"""Largest relative difference between two statements of one length."""


def size_and_modes(subject: Subject) -> Outcome:
    """Describe the width, the modes and the power of the probe.

    Args:
        subject: the scan.

    Returns:
        A note; a warning if there is no probe.
    """
    probe, traits = subject.raw.probeGuess, subject.traits
    if probe is None:
        remedy = "'ptychopinn calibrate' finds one; training and reconstruction need it."
        return Outcome((Finding("no-probe", "probe", "warning", "The scan has no probe.", remedy),))
    powers = np.asarray(np.sum(np.abs(probe) ** 2, axis=(1, 2), dtype=np.float64))
    total = float(powers.sum())
    shares = ", ".join(f"{power / total:.0%}" for power in powers.tolist()[:6]) + (", ..." if len(probe) > 6 else "")
    modes = "1 mode" if len(probe) == 1 else f"{len(probe)} modes with {shares} of the light"
    ratio = float(subject.photons.mean()) / total
    told = f"{modes}; {total:.4g} photons, a pattern has {ratio:.3g} times as many."
    if traits is not None:
        phase = "flat" if traits.flatness >= FLAT_PROBE else "curved"
        told = f"{traits.probe_width_px:.3g} px hold nine tenths of its light; {phase} phase; {told}"
    return Outcome((note("probe", "probe", told),))


def wrapped(subject: Subject) -> Outcome:
    """Find a probe with its middle in the corner of its array, or one that does not fit into its array.

    Args:
        subject: the scan.

    Returns:
        The finding, and the scan with a shifted probe if this is the remedy; or nothing.
    """
    probe = subject.raw.probeGuess
    if probe is None:
        return NOTHING
    light = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float64)
    light /= light.sum()
    N = len(light)
    inner = slice(N // 4, N - N // 4)
    outside = 1 - float(light[inner, :].sum()), 1 - float(light[:, inner].sum())
    if min(outside) > _AT_CORNERS:
        evidence = f"{min(outside):.0%} of the probe's light lies in the corners of its array: it is wrapped."
        remedy = "Apply numpy.fft.fftshift along both axes of the probe."
        mended = subject.with_raw(probeGuess=np.fft.fftshift(probe, axes=(1, 2)))
        finding = Finding("wrapped-probe", "probe", "error", evidence, remedy)
        return Outcome((finding,), mended, "The probe was moved from the corner of its array to the middle.")
    width = max(1, N // 16)
    border = 1 - float(light[width : N - width, width : N - width].sum())
    is_plane = _is_plane(light)
    if border <= _AT_BORDER or is_plane:
        return NOTHING
    evidence = (
        f"{border:.0%} of the probe's light lies in the outermost {width} pixels of its array of {N} x {N}: it does "
        "not fit, and what sticks out comes back on the other side."
    )
    remedy = "Take a probe nearer to its focus, or patterns of more pixels ('ptychopinn convert --size')."
    return Outcome((Finding("cut-probe", "probe", "warning", evidence, remedy),))


def pixel_size(subject: Subject) -> Outcome:
    """Find a stated object pixel that contradicts energy, distance and detector pixel.

    Args:
        subject: the scan.

    Returns:
        A note; a warning if the values differ; nothing if they are not known.
    """
    known = subject.raw.metadata
    found: list[Finding] = []
    for axis in ("width", "height"):
        stated = _number(known.get(f"object_pixel_{axis}_m"))
        energy, distance = _number(known.get("photon_energy_eV")), _number(known.get("detector_object_distance_m"))
        detector = _number(known.get(f"detector_pixel_{axis}_m"))
        if stated is None or energy is None or distance is None or detector is None:
            continue
        expected = PLANCK_TIMES_LIGHT_EV_M / energy * distance / (subject.raw.N * detector)
        told = (
            f"An object pixel is {stated * 1e9:.4g} nm {'wide' if axis == 'width' else 'high'}; wavelength, distance "
            f"and detector pixel give {expected * 1e9:.4g} nm"
        )
        if abs(stated / expected - 1) <= _PIXEL:
            found.append(note("pixel-size", "probe", f"{told}."))
        else:
            evidence = f"{told}, {expected / stated:.3g} times as much." if stated < expected else f"{told}."
            remedy = (
                "Check whether patterns were cropped or binned; --energy, --distance, --detector-pixel and "
                "--pixel-size state what is right."
            )
            found.append(Finding("pixel-size", "probe", "warning", evidence, remedy))
    # Both axes mostly have the same result, so one finding is enough.
    return Outcome(tuple(found[:1] if len({item.severity for item in found}) == 1 else found))


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value > 0 else None  # type: ignore[arg-type, operator]


def _is_plane(light: Float64Array) -> bool:
    """Return whether the light fills its array evenly, like a plane wave; such a probe is not cut off."""
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    return bool(border.mean() > _EVEN * light.mean())
