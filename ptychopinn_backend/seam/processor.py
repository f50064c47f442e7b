"""What the processor can do that decides how to compute."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

_DESCRIPTION: Final = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


@cache
def multiplies_bfloat16(description: Path = _DESCRIPTION) -> bool:
    """Return whether the processor multiplies numbers of bfloat16 by itself.

    Others must convert every number to float32 and back, and are slower with bfloat16 than without.

    Args:
        description: what the system says about the processor.

    Returns:
        True where it says so; False where it does not, or where there is no description.
    """
    try:
        lines = description.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _BFLOAT16_FLAGS.isdisjoint(flags)
