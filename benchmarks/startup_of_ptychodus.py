"""What the plugin adds to the start of Ptychodus, without and with its window.

    python -m benchmarks.startup_of_ptychodus --repeats 9

Starts the unmodified host with the plugin and, in turn, with the plugin's module hidden from it, each in a process of
its own, and prints the medians and the median of the differences round by round. The rule is less than 0.3 s. Of the
time by the clock and the time of the processor, the second is the one to read on a machine that has other work too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from statistics import median
from time import time

from benchmarks.measuring import Figure

HIDE = "import sys; sys.modules['ptychodus.plugins.ptychopinn_backend'] = None; "
"""The host then skips the module, as it skips any plugin that lacks what it imports."""
MARK = "started at"
REPORT = f"import time; print({MARK!r}, time.time(), time.process_time(), flush=True)"
COMMAND = (
    "import sys; sys.argv = ['ptychodus']; from PyQt5.QtWidgets import QApplication; "
    "settle = lambda: [QApplication.processEvents() for _ in range(10)]; "
    "from ptychodus.__main__ import main; "
    f"QApplication.exec = staticmethod(lambda: (settle(), exec({REPORT!r}), 0)[-1]); main()"
)
STARTS = {
    "import ptychodus.model": f"import ptychodus.model; {REPORT}",
    "without a window": f"from ptychodus.model import ModelCore; ModelCore(); {REPORT}",
    "the command, until its window is idle": COMMAND,
    # The host collects garbage six or seven times while it starts, 0.2 s each: a few objects more decide how often.
    "the same, garbage not collected": f"import gc; gc.disable(); {COMMAND}",
}
LIMIT_S = 0.3


def run(code: str) -> tuple[float, float]:
    """Run a program; return its seconds, by the clock and of the processor, until it reported that it had started."""
    started = time()
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if process.returncode != 0:
        raise RuntimeError(f"the program ended with {process.returncode}: {code}")
    line = next(line for line in process.stdout.splitlines() if line.startswith(MARK))
    ready, of_processor = line.removeprefix(MARK).split()
    return float(ready) - started, float(of_processor)


def in_turn(start: str, plugin_first: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """Start without and with the plugin, the one or the other first; return what they took."""
    if plugin_first:
        plugin = run(start)
        return run(HIDE + start), plugin
    return run(HIDE + start), run(start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print("| start of Ptychodus | measured by | without, s | with, s | added, s (quartiles) |\n|---|---|---|---|---|")
    for name, start in STARTS.items():
        run(HIDE + start), run(start)
        rounds = [in_turn(start, plugin_first=index % 2 == 1) for index in range(repeats)]
        for index, clock in enumerate(("clock", "processor")):
            without, plugin = [less[index] for less, _ in rounds], [more[index] for _, more in rounds]
            added = Figure.of([more - less for less, more in zip(without, plugin, strict=True)])
            print(
                f"| {name} | {clock} | {median(without):.3f} | {median(plugin):.3f} | "
                f"{added.median:+.3f} ({added.low:+.3f} to {added.high:+.3f}) |"
            )
    print(f"\nMedians of {repeats} rounds; the rule is less than {LIMIT_S} s.")


if __name__ == "__main__":
    main()
