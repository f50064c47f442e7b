"""The settings of the group `PtychoPINNInference`; see `ptychodus_plugin.options`."""

from __future__ import annotations

from typing import Final

from ptychodus_plugin.options import Option

INFERENCE_OPTIONS: Final = (
    Option(
        "ModelPath",
        "/path/to/model.zip",
        "Model File:",
        "Archive to reconstruct with as long as none was trained or loaded in this session; set by Load Model.",
        inherited=True,
    ),
    Option(
        "NumNearestNeighbors",
        7,
        "Number of Neighbors:",
        "Nearest scan positions from which a position draws its group; raised where the grid size needs more.",
        inherited=True,
    ),
    Option(
        "NumSamples",
        1,
        "Samples per Position:",
        "Groups drawn around every scan position, all averaged: 1 reconstructs the whole scan once. "
        "No effect with grid size 1.",
        inherited=True,
    ),
    Option(
        "PatchAssembly",
        "probe",
        "Patch Assembly:",
        "How patches become one object: weighted by the probe, or only their central part.",
        choices=("probe", "central"),
    ),
    Option(
        "PolishSteps",
        8,
        "Polish Steps:",
        "Steps that bring the finished object closer to the measured counts; 0 leaves it as the network made it.",
        minimum=0,
    ),
    Option(
        "BatchSize",
        0,
        "Batch Size:",
        "Groups predicted at a time; 0 leaves it to the engine.",
        config="execution.inference_batch_size",
        minimum=0,
        zero_is_none=True,
    ),
)
