"""Processes that can be killed cheaply: a server loads the slow packages once and forks for every request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class ForkServer:
    """Runs functions in processes of their own; use it as a context."""

    def __init__(self, modules: Sequence[str], log: Path) -> None:
        # Appending, because the server writes to the same file.
        self._log = log.open("a+b")
        self._before = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=users_environment(),
        )

    def __enter__(self) -> Self:
        assert self._answer() == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def run(self, function: str, *arguments: Any, meanwhile: Callable[[int], None] | None = None) -> int:
        """Run 'module:function' and return its exit code, minus the signal where it was killed.

        `meanwhile` is called with the id of the process, which no other one takes before it returns.
        """
        self._before = self._log.seek(0, os.SEEK_END)
        self._ask(json.dumps([function, arguments]))
        pid = int(self._answer())
        if meanwhile is not None:
            meanwhile(pid)
        # Only now the server waits for the process.
        self._ask("")
        code = int(self._answer())
        assert not has_processes(pid), "it left a process behind"
        return code

    def said(self) -> str:
        """Return what the last process wrote."""
        self._log.seek(self._before)
        return self._log.read().decode(errors="replace")

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def users_environment() -> dict[str, str]:
    """Return the environment without what the test suite sets for its own sake."""
    return {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


def killed_after(seconds: float, file: Path | None = None, number: int = signal.SIGKILL) -> Callable[[int], None]:
    """Return what sends a signal after a while, counted from when a file is there; sooner if it never comes."""

    def kill(pid: int) -> None:
        for _ in range(600):
            if file is None or file.exists():
                break
            time.sleep(0.05)
        time.sleep(seconds)
        os.kill(pid, number)

    return kill


def has_processes(group: int) -> bool:
    """Return whether a process group is still there after a moment; a worker looks every 5 s whether it is orphaned."""
    for _ in range(120):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def _serve(modules: Sequence[str]) -> None:
    for module in modules:
        import_module(module)
    _say("ready")
    while request := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            os.setsid()
            _child(*json.loads(request))
        _say(pid)
        sys.stdin.readline()
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _child(function: str, arguments: Sequence[Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    # A suite that a shell started in the background ignores interrupts, and its children would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        module, _, name = function.partition(":")
        code = getattr(import_module(module), name)(*arguments) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])
