"""The convolution of up-sampled maps, computed before up-sampling.

Where every row and column of the maps is repeated, a 3 x 3 convolution sees only 2 x 2 different pixels, in four ways:
at the first or second of two equal rows, and of two equal columns. So one convolution of the maps as they were, with
four times as many results, holds all of it: a quarter of the pixels, and nothing that is repeated.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ptychopinn_backend.arrays import Float32Array

_OF_ROWS: Final = np.array([[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]], np.float32)
"""(which of two equal rows, row of the new kernel, row of the kernel): 1 where the latter meets the former; columns
likewise."""
FOLDING: Final[Float32Array] = np.einsum("arh,bsw->hwabrs", _OF_ROWS, _OF_ROWS)
"""(row, column of the kernel, which of two equal rows, columns, row, column of the new kernel): the new kernels add up
the weights that meet the same pixel."""
FOLDING.setflags(write=False)
