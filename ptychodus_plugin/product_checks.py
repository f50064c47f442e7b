"""What patterns and product of the host must be for a reconstruction to mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptychopinn_backend.config import PATTERN_SIZES
from ptychopinn_backend.data.readers.far_field import require_far_field
from ptychopinn_backend.errors import DataError

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


def check_patterns(shape: tuple[int, ...], N: int, gridsize: int) -> None:
    """Refuse patterns a network cannot take, with the remedy the host offers.

    Args:
        shape: (pattern, row, column).
        N: pattern side the network was built for.
        gridsize: patterns along each side of a group.

    Raises:
        DataError: not square, not of side N, or too few.
    """
    count, height, width = shape
    crop = "Crop the patterns in the Patterns view"
    if height != width:
        raise DataError(f"The patterns have {height} x {width} pixels; PtychoPINN needs square ones. {crop}.")
    if width not in PATTERN_SIZES:
        sizes = ", ".join(str(size) for size in PATTERN_SIZES)
        raise DataError(f"The patterns have {width} x {width} pixels; PtychoPINN takes {sizes}. {crop} to such a size.")
    if width != N:
        raise DataError(
            f"The patterns have {width} x {width} pixels; the loaded model takes {N} x {N}. "
            f"{crop} to that size, or load a model trained for {width} x {width}."
        )
    if count < gridsize**2:
        raise DataError(
            f"The scan has {count} positions; a group of grid size {gridsize} needs at least {gridsize**2}. "
            "Use more of the scan, or a model of a smaller grid size."
        )
