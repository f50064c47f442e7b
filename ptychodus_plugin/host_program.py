"""How Python names the program it runs, which decides what a spawned process imports before it begins."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

HOST: Final = "ptychodus.__main__"


def name_host_program() -> None:
    """Let processes started by the command `ptychodus` import no more than those of `python -m ptychodus`.

    A spawned process first imports the file of the program it was started from, here the whole host with its plots and
    its agent; this takes longer than a framework. Python leaves out a program that is named by a module `__main__`,
    and the command runs that very module.
    """
    program, host = sys.modules["__main__"], sys.modules.get(HOST)
    if host is not None and program.__spec__ is None and getattr(program, "main", None) is host.main:
        program.__spec__ = find_spec(HOST)
