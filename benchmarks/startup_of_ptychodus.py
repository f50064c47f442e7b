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
from time import perf_counter

from benchmarks.measuring import Figure

HIDE = "import sys; sys.modules['ptychodus.plugins.ptychopinn_backend'] = None; "
"""The host then skips the module, as it skips any plugin that lacks what it imports."""
STARTS = {
    "import ptychodus.model": "import ptychodus.model",
    "without a window": "from ptychodus.model import ModelCore; ModelCore()",
    "with its window": (
        "from PyQt5.QtWidgets import QApplication; app = QApplication(['ptychodus']); "
        "from ptychodus.model import ModelCore; from ptychodus.view import ViewCore; "
        "from ptychodus.controller import ControllerCore; model = ModelCore(); "
        "view = ViewCore(is_developer_mode_enabled=False); "
        "ControllerCore(model, view).show_main_window('Ptychodus'); app.processEvents()"
    ),
}
LIMIT_S = 0.3


def run(code: str) -> tuple[float, float]:
    """Run a program; return its seconds by the clock and of the processor."""
    started = perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"the program ended with {process.returncode}: {code}")
    return seconds, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print("| start of Ptychodus | measured by | without, s | with, s | added, s (quartiles) |\n|---|---|---|---|---|")
    for name, start in STARTS.items():
        run(HIDE + start), run(start)
        rounds = [(run(HIDE + start), run(start)) for _ in range(repeats)]
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
