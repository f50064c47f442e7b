"""SciPy's transforms computed by PyTorch are SciPy's transforms."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.fft

from ptychopinn_backend.factory import fast_transforms
from ptychopinn_backend.torch_backend.transforms import TorchTransforms


def waves() -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(0)
    return (rng.standard_normal((3, 2, 16, 16)) + 1j * rng.standard_normal((3, 2, 16, 16))).astype(np.complex64)


@pytest.mark.parametrize("name", ["fft2", "ifft2"])
@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
def test_values_are_those_of_scipy(name: str, norm: str | None) -> None:
    expected = getattr(scipy.fft, name)(waves(), norm=norm)
    with fast_transforms():
        found = getattr(scipy.fft, name)(waves(), norm=norm, overwrite_x=True)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_what_is_not_computed_there_is_left_to_scipy() -> None:
    double, strided = waves().astype(np.complex128), waves()[..., ::2]
    expected = [
        scipy.fft.fft2(double),
        scipy.fft.fft2(strided),
        scipy.fft.fft2(waves(), axes=(0, 1)),
        scipy.fft.rfft(double.real),
    ]
    with scipy.fft.set_backend(TorchTransforms):
        found = [
            scipy.fft.fft2(double),
            scipy.fft.fft2(strided),
            scipy.fft.fft2(waves(), axes=(0, 1)),
            scipy.fft.rfft(double.real),
        ]
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_pytorch_is_loaded_only_when_asked() -> None:
    code = (
        "from ptychopinn_backend.factory import fast_transforms\nwith fast_transforms(): pass\n"
        "import sys; print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
