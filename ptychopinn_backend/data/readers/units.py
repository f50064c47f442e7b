"""Numbers with units as files give them, in metres and electronvolts."""

from __future__ import annotations

from typing import Final

ELECTRONVOLT_J: Final = 1.602176634e-19
"""One electronvolt (exact)."""
PLANCK_TIMES_LIGHT_EV_M: Final = 1.239841984332e-6
"""h c in eV m (CODATA 2018): wavelength = h c / energy."""

_METRES: Final = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), 1.0),
    "cm": 1e-2,
    "mm": 1e-3,
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1e-6),
    "nm": 1e-9,
    **dict.fromkeys(("a", "angstrom", "å"), 1e-10),
    "pm": 1e-12,
}
_EV: Final = {"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": 1 / ELECTRONVOLT_J, "joule": 1 / ELECTRONVOLT_J}


def in_metres(found: tuple[float, str] | None) -> float | None:
    """Return a length in metres.

    Args:
        found: number and unit; None, or a unit that is no length, gives None.

    Returns:
        Metres.
    """
    factor = None if found is None else _METRES.get(found[1].strip().lower())
    return None if found is None or factor is None else found[0] * factor


def in_electronvolts(found: tuple[float, str] | None) -> float | None:
    """Return an energy in electronvolts.

    Args:
        found: number and unit; None, or a unit that is no energy, gives None. 'MeV' is taken as mega, 'meV' too: no
            photon of a scan has a thousandth of an electronvolt.

    Returns:
        Electronvolts.
    """
    factor = None if found is None else _EV.get(found[1].strip().lower())
    return None if found is None or factor is None else found[0] * factor


def energy_of_wavelength(wavelength_m: float | None) -> float | None:
    """Return the photon energy in eV of a wavelength in metres; None for None or no length."""
    return PLANCK_TIMES_LIGHT_EV_M / wavelength_m if wavelength_m is not None and wavelength_m > 0 else None
