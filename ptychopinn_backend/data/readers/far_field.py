"""What a product of Ptychodus must be for the far field on equal pixels, in a file and in the host itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.physics.probe import mean_modes

_RELATIVE_TOLERANCE: Final = 1e-3
"""Over a probe of 512 pixels, half a pixel."""


def require_far_field(
    *,
    far_field: bool,
    probe_pixel_m: tuple[float, float] | None,
    object_pixel_m: tuple[float, float] | None,
    path: Path | None = None,
) -> None:
    """Refuse a product that would give a wrong object without a sign of it.

    Args:
        far_field: what the product says of the detector.
        probe_pixel_m: (width, height) of a pixel of the probe; None where it is not known.
        object_pixel_m: (width, height) of a pixel of the object; None where it is not known.
        path: the file, named first; None for a product in memory.

    Raises:
        DataError: it is a near-field product, or pixels of probe and object differ; says the remedy.
    """
    where = "" if path is None else f"{path}: "
    if not far_field:
        raise DataError(
            f"{where}The product says far_field = False, a detector in the near field; PtychoPINN computes the far "
            "field only. Choose another algorithm, or set the far field in the product's metadata if that is what was "
            "recorded."
        )
    if probe_pixel_m is None or object_pixel_m is None:
        return
    for of_probe, of_object in zip(probe_pixel_m, object_pixel_m, strict=True):
        if abs(of_probe - of_object) > _RELATIVE_TOLERANCE * abs(of_object):
            raise DataError(
                f"{where}The probe has pixels of {_text(probe_pixel_m)}, the object pixels of {_text(object_pixel_m)}; "
                "they must be equal, as pattern and probe of a far field have them. Build the object, or the probe, "
                "anew from the metadata of the product, or resample one of them."
            )


def probe_of_product(coherent: AnyArray | None, weights: AnyArray | None) -> tuple[AnyArray | None, tuple[str, ...]]:
    """Return the probe that stands for all positions.

    Args:
        coherent: (coherent mode, incoherent mode, N, N) as Ptychodus has it; of another rank it stays as it is.
        weights: of every coherent mode at every position (pattern, coherent mode), or None.

    Returns:
        (incoherent mode, N, N), and a sentence where the probe varies over the scan.
    """
    if coherent is None or coherent.ndim != 4 or not len(coherent):
        return coherent, ()
    if weights is not None and weights.ndim == 2 and weights.shape[1] == len(coherent) and len(weights):
        note = "the probe varies over the scan; its mean over the positions is used at each of them."
        return mean_modes(coherent, weights), (note,)
    note = "the probe varies over the scan; its first set of modes is used at every position."
    return mean_modes(coherent, None), (note,) if len(coherent) > 1 else ()


def _text(pixel_m: tuple[float, float]) -> str:
    return f"{pixel_m[0] * 1e9:.4g} x {pixel_m[1] * 1e9:.4g} nm"
