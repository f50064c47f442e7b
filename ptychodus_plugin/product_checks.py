"""What a product of the host must be for a reconstruction to mean something; looked at before a process is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ptychopinn_backend.errors import DataError

if TYPE_CHECKING:
    from ptychodus.api.geometry import PixelGeometry
    from ptychodus.api.product import Product

_RELATIVE_TOLERANCE: Final = 1e-3
"""Over a probe of 512 pixels, half a pixel."""


def check_product(product: Product) -> None:
    """Refuse a product that would give a wrong object without a sign of it.

    Args:
        product: the host's.

    Raises:
        DataError: it is a near-field product, or pixels of probe and object differ; says the remedy.
    """
    # Ptychodus 1.6 knows the far field only.
    if not getattr(product.metadata, "far_field", True):
        raise DataError(
            "The product says far_field = False, a detector in the near field; PtychoPINN computes the far field only. "
            "Choose another algorithm, or set the far field in the product's metadata if that is what was recorded."
        )
    probe, obj = product.probes.get_pixel_geometry(), product.object_.get_pixel_geometry()
    for of_probe, of_object in ((probe.width_m, obj.width_m), (probe.height_m, obj.height_m)):
        if abs(of_probe - of_object) > _RELATIVE_TOLERANCE * abs(of_object):
            raise DataError(
                f"The probe has pixels of {_text(probe)}, the object pixels of {_text(obj)}; they must be equal, as "
                "pattern and probe of a far field have them. Build the object, or the probe, anew from the metadata "
                "of the product, or resample one of them."
            )


def _text(pixel: PixelGeometry) -> str:
    return f"{pixel.width_m * 1e9:.4g} x {pixel.height_m * 1e9:.4g} nm"
