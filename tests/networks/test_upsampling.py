"""A convolution before up-sampling, with folded kernels, is the convolution after it."""

from __future__ import annotations

import numpy as np
from scipy.signal import correlate2d

from ptychopinn_backend.networks.upsampling import FOLDING


def test_folded_kernels_hold_the_convolution_of_repeated_pixels() -> None:
    rng = np.random.default_rng(7)
    pixels, kernel = rng.normal(size=(5, 6)), rng.normal(size=(3, 3))
    expected = correlate2d(pixels.repeat(2, axis=0).repeat(2, axis=1), kernel, mode="same")
    folded = np.einsum("hwabrs,hw->abrs", FOLDING, kernel)
    for row in (0, 1):
        for column in (0, 1):
            found = correlate2d(pixels, folded[row, column], mode="same")
            np.testing.assert_allclose(found, expected[row::2, column::2], atol=1e-13)
