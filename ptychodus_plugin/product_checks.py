"""What a product of the host must be for a reconstruction to mean something; looked at before a process is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptychopinn_backend.data.readers.far_field import require_far_field

if TYPE_CHECKING:
    from ptychodus.api.product import Product


def check_product(product: Product) -> None:
    """Refuse a product that would give a wrong object without a sign of it.

    Args:
        product: the host's.

    Raises:
        DataError: it is a near-field product, or pixels of probe and object differ; says the remedy.
    """
    probe, obj = product.probes.get_pixel_geometry(), product.object_.get_pixel_geometry()
    require_far_field(
        # Ptychodus 1.6 knows the far field only.
        far_field=bool(getattr(product.metadata, "far_field", True)),
        probe_pixel_m=(probe.width_m, probe.height_m),
        object_pixel_m=(obj.width_m, obj.height_m),
    )
