"""The GPU program passes without a GPU, on tiny sizes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_quick_run_compares_and_measures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "-o", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert result["errors"] == {}
    tables = {table["title"]: table for table in result["tables"]}
    assert list(tables) == ["Correctness", "Training", "Options", "Inference", "Profile"]
    assert [row[-1] for row in tables["Correctness"]["rows"]] == ["yes"] * 6
    assert all(row[4] > 0 for row in tables["Training"]["rows"])
    assert "| network | what |" in (tmp_path / "gpu.md").read_text()
