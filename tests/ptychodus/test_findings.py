"""What is odd about a scan reaches the log of the real host, with what was done about it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.model import ModelCore

from tests.ptychodus.scenes import make_input, product_in


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return warnings of the engine in the log of the host."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("ptychopinn_backend") and record.levelno == logging.WARNING
    ]


def test_findings_of_a_reconstruction(
    host: ModelCore, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parameters, _ = make_input(step_px=9.0)
    patterns = parameters.diffraction_patterns.astype(np.uint32)
    patterns[7] *= 300
    patterns[:, 3, 5] = 2**32 - 1
    host.processing_core.processing_api.load_model_from_file(archive)
    product = product_in(host, replace(parameters, diffraction_patterns=patterns), tmp_path)
    with caplog.at_level(logging.INFO):
        product.reconstruct_local(block=True)
    told = said(caplog)
    assert [line for line in told if "Pattern 7 is at least" in line and "it is left out" in line], told
    assert [line for line in told if "1 detector pixel (row 3, column 5)" in line and "taken as bad" in line], told


def test_both_axes_negated(host: ModelCore, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Centres of mass do not show it; two searches from vacuum do."""
    parameters, _ = make_input(step_px=6.0)
    points = list(parameters.product.probe_positions)
    x, y = (np.array([getattr(point, name) for point in points]) for name in ("x_m", "y_m"))
    turned = [
        ProbePosition(point.index, x.min() + x.max() - point.x_m, y.min() + y.max() - point.y_m) for point in points
    ]
    wrong = replace(parameters, product=replace(parameters.product, probe_positions=ProbePositionSequence(turned)))
    host.processing_core.processing_api.load_model_from_file(archive)
    words = "The patterns fit the positions better with both x and y negated"
    for given, is_said in ((parameters, False), (wrong, True)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            product_in(host, given, tmp_path).reconstruct_local(block=True)
        assert any(words in line for line in said(caplog)) == is_said, said(caplog)
