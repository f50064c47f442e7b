"""Looks at an installed ptychopinn-backend, in an environment that has nothing but it and what it needs."""

import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

SITE = Path(sysconfig.get_paths()["purelib"])
PROGRAM = Path(sys.executable).parent / "ptychopinn"
IMPORT_LIMIT_S = 0.5
WATCH = "import time; t = time.process_time(); import ptychopinn_backend; print(time.process_time() - t)"
ALLOWED = {
    "ptychopinn_backend",
    "ptychodus_plugin",
    "ptychopinn_backend_ptychodus.pth",
    "ptychopinn_backend-{}.dist-info",
    "..",
}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def require(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"not true: {what}")
    print(f"  {what}")


def main() -> None:
    installed = distribution("ptychopinn-backend")
    names = [str(file) for file in installed.files or ()]
    tops = {name.split("/")[0] for name in names}
    allowed = {name.format(installed.version) for name in ALLOWED}
    require(
        tops <= allowed,
        f"only the two packages and the file that makes the plugin found are installed, no tests ({len(names)} files)",
    )
    require(installed.metadata["License-Expression"] == "BSD-3-Clause", "the licence is named")
    require(any(name.endswith("licenses/LICENSE") for name in names), "the licence text is there")
    for package in ("ptychopinn_backend", "ptychodus_plugin"):
        require((SITE / package / "py.typed").is_file(), f"{package} is marked as typed")
    require("ptychodus_plugin.discovery" in sys.modules, "Ptychodus would find the plugin")
    require(find_spec("ptychodus") is None, "no trace of Ptychodus where it is not installed")
    require(not any(map(find_spec, ("torch", "tensorflow"))), "no framework is installed")
    seconds = min(float(run(sys.executable, "-I", "-c", WATCH).stdout) for _ in range(3))
    require(seconds < IMPORT_LIMIT_S, f"the import takes less than {IMPORT_LIMIT_S} s ({seconds:.3f} s)")
    require("evaluate" in run(str(PROGRAM), "--help").stdout, "ptychopinn --help lists the commands")
    require(installed.version in run(str(PROGRAM), "--version").stdout, "ptychopinn --version tells the version")
    made = run(str(PROGRAM), "simulate", "-o", "scan.npz", "--patterns", "20", "--size", "32")
    require(made.returncode == 0, "ptychopinn simulate works without a framework")
    refused = run(str(PROGRAM), "train", "scan.npz", "-o", "model")
    words = refused.stderr.splitlines()[-1]
    require(refused.returncode == 2 and "pip install" in words, "ptychopinn train says which framework to install")


if __name__ == "__main__":
    main()
