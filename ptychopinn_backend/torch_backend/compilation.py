"""Compiling the network, where it is asked for and the machine has what that needs."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Final, cast

import torch
from torch import nn

from ptychopinn_backend.errors import ConfigError

_DEFAULT_COMPILER: Final = "clang++" if sys.platform == "darwin" else "g++"


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Compile a network in place by `torch.compile`; names and values of its weights stay as they are.

    The first pass for every batch length compiles, which takes up to a minute. On a CUDA device the passes are
    replayed as CUDA graphs, without a launch from Python for every operation.

    Args:
        network: called with tensors and returning tensors.
        device: where it runs.

    Raises:
        ConfigError: a CPU run without a C++ compiler.
    """
    if device.type == "cpu":
        _require_compiler()
    # One graph for each batch length, of which there are few: those of unknown length are slower.
    cast(Any, network).compile(dynamic=False, mode="reduce-overhead" if device.type == "cuda" else "default")


def _require_compiler() -> None:
    compiler = os.environ.get("CXX", _DEFAULT_COMPILER)
    if shutil.which(compiler) is None:
        raise ConfigError(
            f"compile_model = True needs a C++ compiler on the CPU, and '{compiler}' is not found. Install one, name "
            "it in the environment variable CXX, or set compile_model to False."
        )
