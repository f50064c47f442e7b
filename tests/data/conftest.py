"""A small scan that tests of the data layer start from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

N = 32
POINTS = 20


@pytest.fixture
def members() -> dict[str, Any]:
    """Arrays of a scan file: 20 patterns of photon counts, one probe mode, and the object."""
    rng = np.random.default_rng(7)
    return {
        "diffraction": rng.poisson(3.0, (POINTS, N, N)).astype(np.uint16),
        "xcoords": rng.uniform(20, 76, POINTS),
        "ycoords": rng.uniform(20, 60, POINTS),
        "probeGuess": np.ones((N, N), np.complex64),
        "objectGuess": (rng.uniform(0.5, 1, (80, 96)) * np.exp(1j * rng.uniform(-1, 1, (80, 96)))).astype(np.complex64),
    }
