"""TensorFlow starts without writing to the terminal."""

import os
import subprocess
import sys


def test_importing_says_nothing() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    words = [sys.executable, "-c", "import ptychopinn_backend.tf_backend.framework"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
