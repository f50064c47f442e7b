"""The runner of the benchmarks; what it measures is not asserted."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_quick_run_writes_json_and_markdown(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "grouping", "-o", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    result = json.loads((tmp_path / "latest.json").read_text())
    (topic,) = result["topics"]
    assert topic["error"] is None
    (table,) = topic["tables"]
    assert table["columns"][0] == "positions"
    assert table["rows"][0][0] == 1000
    assert table["rows"][0][3]["median"] > 0
    written = (tmp_path / "latest.md").read_text()
    assert "| positions | group s |" in written
    assert result["machine"]["processor"] in written
