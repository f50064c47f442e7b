"""The sum of weights is what adding the weight patch by patch gives."""

from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.physics.object_patches import add_patches, window_corners
from ptychopinn_backend.stitching.weight import WeightSum

N = 12
TOLERANCE = 3e-6
"""Relative: sums of up to 150 float32 numbers, in another order."""


@pytest.mark.parametrize("shape", [(40, 30), (25, 300), (N + 1, N + 1)])
@pytest.mark.parametrize("spread_px", [0, 2 * N])
def test_weights_add_up_wherever_their_windows_lie(shape: tuple[int, int], spread_px: int) -> None:
    random = np.random.default_rng(7)
    weight = random.random((N, N)).astype(np.float32)
    columns_and_rows = np.array(shape[::-1])
    positions = random.uniform(-spread_px, columns_and_rows + spread_px, (150, 2))
    # Whole pixels, and the corners of the canvas.
    positions[:4] = [[0, 0], columns_and_rows, [N / 2, N / 2], columns_and_rows - N / 2]
    expected = np.zeros(shape, np.float32)
    add_patches(expected, np.broadcast_to(weight, (150, N, N)), (0, 0), positions)

    total = WeightSum(shape, weight)
    for some in (slice(0, 1), slice(1, 150), slice(150, None)):
        total.add(*window_corners((0, 0), positions[some], N))
    np.testing.assert_allclose(total.total(), expected, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_array_equal(total.total() == 0, expected == 0)
