"""Run the topics, each in a process of its own, and write results/latest.json and results/latest.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.machine import describe
from benchmarks.tables import markdown

RESULTS = Path(__file__).parent / "results"
TOPICS = (
    "startup",
    "grouping",
    "datasets",
    "stitching",
    "archives",
    "pytorch",
    "tensorflow",
    "end_to_end",
    "growth",
)
FRAMEWORKS = {"pytorch": "torch", "tensorflow": "tensorflow"}


def run_topic(topic: str, quick: bool) -> list[dict[str, Any]]:
    """Measure a topic in this process."""
    if topic in FRAMEWORKS:
        from benchmarks.networks import measure

        return [table.as_json() for table in measure(topic, quick)]
    return [table.as_json() for table in import_module(f"benchmarks.{topic}").measure(quick)]


def run_apart(topic: str, quick: bool) -> dict[str, Any]:
    """Measure a topic in a process of its own; a failure is a result too, so that the others are still written."""
    command = [sys.executable, "-m", "benchmarks", "--topic", topic, *(["--quick"] if quick else [])]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    started = perf_counter()
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    found = {"topic": topic, "seconds": round(perf_counter() - started, 1), "tables": [], "error": None}
    if finished.returncode == 0:
        found["tables"] = json.loads(finished.stdout.splitlines()[-1])
    else:
        found["error"] = f"ended with {finished.returncode}"
    return found


def as_markdown(result: dict[str, Any]) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items() if value)
    lines = [
        "# Benchmarks",
        "",
        f"{result['when']}, {result['seconds']:.0f} s in all. {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {' '.join(machine['instructions'])}; load {machine['load_before']} before. "
        f"Python {machine['python']}, {versions}.",
        "",
        "Medians, first to third quartile in brackets. What is compared ran in turn, in one process unless said "
        "otherwise. Made by `make bench`.",
        "",
    ]
    for topic in result["topics"]:
        if topic["error"]:
            lines += [f"### {topic['topic']}", "", f"Failed: {topic['error']}.", ""]
        lines += [markdown(table) for table in topic["tables"]]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=TOPICS, help="measure this topic; may be repeated")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds, to see that it runs; the numbers mean nothing"
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder for latest.json and latest.md")
    parser.add_argument("--topic", choices=TOPICS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.topic is not None:
        print(json.dumps(run_topic(arguments.topic, arguments.quick)))
        return 0
    started = perf_counter()
    result: dict[str, Any] = {"when": datetime.now(UTC).isoformat(timespec="minutes"), "machine": describe()}
    result["topics"] = []
    for topic in arguments.only or TOPICS:
        if topic in FRAMEWORKS and find_spec(FRAMEWORKS[topic]) is None:
            continue
        print(f"{topic} ...", end=" ", flush=True)
        result["topics"].append(run_apart(topic, arguments.quick))
        print(f"{result['topics'][-1]['seconds']} s", flush=True)
    result["seconds"] = perf_counter() - started
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "latest.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.output / "latest.md").write_text(as_markdown(result))
    print(f"Written to {arguments.output / 'latest.md'}.")
    return int(any(topic["error"] for topic in result["topics"]))


if __name__ == "__main__":
    sys.exit(main())
