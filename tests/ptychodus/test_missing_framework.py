"""Ptychodus where only one framework is installed: an environment without the other's packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "pytorch": ("torch", "lightning", "pytorch_lightning", "torchmetrics"),
    "tensorflow": ("tensorflow", "keras"),
}

PROGRAM = """
import sys
from pathlib import Path
# Python reads no .pth files here.
import ptychodus_plugin.discovery
from tests.ptychodus.window import Window

def main(folder, backend):
    with Window() as window:
        window.choose_algorithm("ptychopinn_pinn")
        window.set("Model", Backend=backend)
        print("shown:", window.drop_down("Backend").currentText())
        product = window.load_scan(folder, step_px=12.0)
        product.export_training_data(folder / "train_data.npz")
        window.answer_folder_dialog(folder)
        window.click(window.actions.train_button)
        title, sentence = window.read_and_close_message(200)
        print("message:", sentence)
        window.grab(folder / "window.png")

if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
"""


def environment_without(backend: str, folder: Path) -> Path:
    """A folder of links to every installed package but those of one framework."""
    site = Path(np.__file__).parents[1]
    folder.mkdir()
    for entry in site.iterdir():
        if entry.name.partition("-")[0] not in PACKAGES[backend]:
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "title", "extra"), [("pytorch", "PyTorch", "torch"), ("tensorflow", "TensorFlow", "tensorflow")]
)
def test_window_explains_what_is_missing(backend: str, title: str, extra: str, tmp_path: Path) -> None:
    packages = environment_without(backend, tmp_path / "packages")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-S", str(tmp_path / "program.py"), str(tmp_path), backend],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), str(PROJECT_ROOT)])},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if line.startswith(("shown: ", "message: ")))
    assert said["shown"] == f"{title} (not installed)"
    assert f"{title} backend selected, but the package" in said["message"]
    assert f"pip install 'ptychopinn-backend[{extra}]'" in said["message"]
