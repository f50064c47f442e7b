"""Prints the lowest versions that pyproject.toml claims, as pins: of what the base package needs, or of those named.

`floors.py` prints numpy==1.26.0 and so on; `floors.py torch lightning numpy` prints these three.
"""

import itertools
import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
floors = {}
for requirement in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
    if match := re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement):
        floors[match[1]] = match[2]
base = [re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]]
for name in sys.argv[1:] or base:
    print(f"{name}=={floors[name]}")
