"""The settings of the group `PtychoPINNInference`; see `ptychodus_plugin.options`."""

from __future__ import annotations

from typing import Final

from ptychodus_plugin.options import Option
from ptychopinn_backend.config.inputs import CALIBRATE

BY_EVIDENCE: Final = -1
"""Stands for as many steps as held-out patterns ask for."""

INFERENCE_OPTIONS: Final = (
    Option(
        "ModelPath",
        "/path/to/model.zip",
        "Model File:",
        "Archive to reconstruct with as long as none was trained or loaded in this session; set by Load Model.",
        is_path=True,
    ),
    Option(
        "NumNearestNeighbors",
        7,
        "Number of Neighbors:",
        "Nearest scan positions from which a position draws its group; raised where the grid size needs more.",
        minimum=0,
    ),
    Option(
        "NumSamples",
        1,
        "Samples per Position:",
        "Groups drawn around every scan position, all averaged: 1 reconstructs the whole scan once. "
        "No effect with grid size 1.",
        minimum=1,
    ),
    Option(
        "PatchAssembly",
        "probe",
        "Patch Assembly:",
        "How patches become one object: weighted by the probe, or only their central part.",
        choices=("probe", "central"),
    ),
    Option(
        "PatchCrop",
        0,
        "Patch Crop:",
        "Side in pixels of the centre of each patch that is put together; 0 leaves it to Patch Assembly.",
        minimum=0,
    ),
    Option(
        "Calibrate",
        "auto",
        "Calibrate:",
        "Probe and positions: 'auto' takes those training refined for this scan, or refines them where the fit is far "
        "above photon noise; 'always' refines, 'never' takes them as given.",
        choices=CALIBRATE,
    ),
    Option(
        "PolishSteps",
        BY_EVIDENCE,
        "Polish Steps:",
        "Steps that bring the finished object closer to the measured counts; -1 takes as many as held-out patterns ask "
        "for, 0 leaves it as the network made it.",
        minimum=BY_EVIDENCE,
        at_minimum="by held-out patterns",
    ),
    Option(
        "UseAllPatterns",
        False,
        "Use All Patterns:",
        "A last pass uses the patterns that were held out to judge the object too.",
    ),
    Option(
        "HalvesResolution",
        True,
        "Resolution from Halves:",
        "Reconstructs the even and the odd patterns by themselves at the end, and tells to what resolution both agree.",
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
