"""What a computing process is told; it imports nothing of the host, whose modules take longer than small scans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.runs.request import RunRequest


@dataclass(frozen=True)
class ReconstructPayload:
    """All that a child needs to reconstruct one scan; crosses the process boundary."""

    backend: str
    archive: Path
    execution: ExecutionConfig
    neighbor_count: int
    groups_per_position: int
    assembly: str
    calibrate: str
    polish_steps: int | None
    """None takes as many as held-out patterns ask for."""
    use_all_patterns: bool
    halves_resolution: bool
    crop_px: int | None
    parameters: Any
    """The host's `ReconstructInput`."""


@dataclass(frozen=True)
class TrainPayload:
    """All that a child needs to train one model; crosses the process boundary."""

    request: RunRequest
    """What is asked for; the child makes the plan of it, once it has seen the scans."""
    output_path: Path
    parameters: Any = None
    """The host's `ReconstructInput` to train on; None trains on the scans of the request."""
