"""Run the topics, each in a process of its own, and write results/latest.json and results/latest.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.comparisons import PRECISIONS, backends_compared, precisions_joined
from benchmarks.machine import describe
from benchmarks.tables import markdown
from benchmarks.turns import Outcome, join, run_in_turns

RESULTS = Path(__file__).parent / "results"
QUICK_RESULTS = Path(__file__).parents[1] / "build" / "benchmarks"
"""Apart, because they mean nothing."""
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
ON_REQUEST = ("choices", "onnx_backend", "live", "shared_machine")
"""Topics that only `--only` measures: they would take a run of all beyond ten minutes."""
FRAMEWORKS = {"pytorch": "torch", "tensorflow": "tensorflow"}


def run_topic(topic: str, precision: str | None, quick: bool) -> list[dict[str, Any]]:
    """Measure a topic in this process."""
    if precision is not None:
        from benchmarks.networks import measure

        return [table.as_json() for table in measure(topic, precision, quick)]
    return [table.as_json() for table in import_module(f"benchmarks.{topic}").measure(quick)]


def run_apart(topics: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """Measure topics in turn, each in a process of its own; a failure is a result too: the others are still written."""
    commands = {}
    for topic in topics:
        command = [sys.executable, "-m", "benchmarks", "--topic", topic, *(["--quick"] if quick else [])]
        for precision in PRECISIONS if topic in FRAMEWORKS else ("",):
            commands[topic, precision] = [*command, *(["--precision", precision] if precision else [])]
    load = round(os.getloadavg()[0], 2)
    outcomes = run_in_turns(commands, {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ})
    return [
        _result(topic, load, {precision: outcome for (name, precision), outcome in outcomes.items() if name == topic})
        for topic in topics
    ]


def _result(topic: str, load: float, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    failed = [f"ended with {outcome.status}" for outcome in outcomes.values() if outcome.status]
    tables: list[dict[str, Any]] = []
    if not failed:
        found = {precision: json.loads(outcome.lines[-1]) for precision, outcome in outcomes.items()}
        tables = precisions_joined(topic, found) if topic in FRAMEWORKS else found[""]
    return {
        "topic": topic,
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": load,
        "seconds": round(sum(outcome.seconds for outcome in outcomes.values()), 1),
        "tables": tables,
        "error": "; ".join(failed) or None,
    }


def as_markdown(result: dict[str, Any]) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items() if value)
    seconds = sum(topic["seconds"] for topic in result["topics"])
    lines = [
        "# Benchmarks",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{' '.join(machine['instructions'])}. Python {machine['python']}, {versions}. {seconds:.0f} s in all.",
        "",
        "Medians, first to third quartile in brackets. What is compared ran in turn, in one process or, the backends "
        "and precisions, in four. Made by `make bench`; `python -m benchmarks --only TOPIC` renews a part.",
        "",
    ]
    for topic in result["topics"]:
        lines += [
            f"## {topic['topic']}",
            "",
            f"{topic['when']}, load {topic['load']} before, {topic['seconds']} s.",
            "",
        ]
        if topic["error"]:
            lines += [f"Failed: {topic['error']}.", ""]
        lines += [markdown(table) for table in topic["tables"]]
    compared = backends_compared(result["topics"])
    if compared.rows:
        lines += ["## backends compared", "", markdown(compared.as_json())]
    return "\n".join(lines)


def merged(before: dict[str, Any] | None, machine: dict[str, Any], topics: list[dict[str, Any]]) -> dict[str, Any]:
    """Put new topics in the place of old ones of the same machine."""
    kept = before["topics"] if before is not None and before["machine"] == machine else []
    found = {topic["topic"]: topic for topic in [*kept, *topics]}
    return {"machine": machine, "topics": [found[name] for name in (*TOPICS, *ON_REQUEST) if name in found]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=(*TOPICS, *ON_REQUEST), help="measure this topic; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds, to see that it runs; the numbers mean nothing"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for latest.json and latest.md")
    parser.add_argument("--topic", choices=(*TOPICS, *ON_REQUEST), help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.topic is not None:
        join()
        print(json.dumps(run_topic(arguments.topic, arguments.precision, arguments.quick)))
        return 0
    wanted = [topic for topic in arguments.only or TOPICS if find_spec(FRAMEWORKS.get(topic, "benchmarks"))]
    # Backends and precisions are compared with one another, so they take turns.
    backends = tuple(topic for topic in wanted if topic in FRAMEWORKS)
    topics = []
    for together in dict.fromkeys(backends if topic in backends else (topic,) for topic in wanted):
        print(f"{' and '.join(together)} ...", end=" ", flush=True)
        measured = run_apart(together, arguments.quick)
        print(f"{sum(topic['seconds'] for topic in measured):.1f} s", flush=True)
        topics += measured
    if all(topic["error"] for topic in topics):
        print("Nothing was measured; the results stay as they were.")
        return 1
    output = arguments.output or (QUICK_RESULTS if arguments.quick else RESULTS)
    latest = output / "latest.json"
    before = json.loads(latest.read_text()) if arguments.only and latest.is_file() else None
    result = merged(before, describe(), topics)
    output.mkdir(parents=True, exist_ok=True)
    latest.write_text(json.dumps(result, indent=1) + "\n")
    (output / "latest.md").write_text(as_markdown(result))
    print(f"Written to {output / 'latest.md'}.")
    return int(any(topic["error"] for topic in topics))


if __name__ == "__main__":
    sys.exit(main())
