"""What 'auto' would choose is shown when a product is chosen: as a training chooses, and the window does not wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ptychodus.api.assemble import AssembledDiffractionData
from PyQt5.QtWidgets import QLabel

from ptychodus_plugin.foresight import foreseen_choice
from ptychodus_plugin.product import raw_data_of
from ptychopinn_backend.config.presets import AUTO, fitted_preset
from ptychopinn_backend.data.counted_scan import CountedScan
from ptychopinn_backend.errors import DataError
from tests.ptychodus.scenes import assembled, make_input
from tests.ptychodus.window import Window


@pytest.fixture
def window() -> Iterator[Window]:
    with Window() as window:
        window.choose_algorithm("ptychopinn_pinn")
        yield window


def label_of(window: Window) -> QLabel:
    found = window.form.findChild(QLabel, "chosen_preset")
    assert found is not None
    return found


@pytest.mark.parametrize("how", [{}, {"photons": 200.0}, {"step_px": 14.0}, {"bad_pixels": True}, {"modes": 2}])
def test_it_is_the_choice_of_a_training(how: dict[str, Any]) -> None:
    parameters, _ = make_input(**{"step_px": 9.5, **how})
    assert len(parameters.diffraction_patterns) <= 64
    chosen = foreseen_choice(parameters.product, assembled(parameters))
    of_training = fitted_preset(AUTO, [CountedScan.of(raw_data_of(parameters))])
    assert (chosen.preset, chosen.why) == (of_training.name, of_training.reason)


class Guarded(AssembledDiffractionData):
    """Patterns of the host that count how many are read, and wait before the first."""

    def __init__(self, like: AssembledDiffractionData, gate: threading.Event | None = None) -> None:
        super().__init__(like.get_indexes(), like.get_patterns(), like.get_pixel_geometry(), like.get_bad_pixels())
        self.read, self.gate, self.guarded = 0, gate, True

    def get_pattern(self, index: int) -> Any:
        if self.gate is not None:
            self.gate.wait(30)
        self.read += 1
        return super().get_pattern(index)

    def get_patterns(self) -> Any:
        assert not getattr(self, "guarded", False), "all patterns are copied"
        return super().get_patterns()


def test_few_patterns_are_read_and_none_is_copied_whole() -> None:
    parameters, _ = make_input(step_px=4.0)
    data = Guarded(assembled(parameters))
    foreseen_choice(parameters.product, data)
    assert data.read == 64 < len(parameters.diffraction_patterns)


def test_only_patterns_with_a_position_count() -> None:
    parameters, _ = make_input(step_px=9.0)
    whole = assembled(parameters)
    later = AssembledDiffractionData(
        whole.get_indexes() + 3, whole.get_patterns(), whole.get_pixel_geometry(), whole.get_bad_pixels()
    )
    n_patterns = len(parameters.diffraction_patterns)
    assert foreseen_choice(parameters.product, whole).why.startswith(f"{n_patterns} patterns")
    assert foreseen_choice(parameters.product, later).why.startswith(f"{n_patterns - 3} patterns")


def test_a_product_that_cannot_be_trained_on_has_no_choice() -> None:
    parameters, _ = make_input(N=32, step_px=12.0)
    narrow = replace(parameters, diffraction_patterns=parameters.diffraction_patterns[:, 1:-1, 1:-1])
    with pytest.raises(DataError, match="PtychoPINN takes"):
        foreseen_choice(parameters.product, assembled(replace(narrow, bad_pixels=np.zeros((30, 30), bool))))


def test_it_is_shown_when_a_product_is_chosen(window: Window, tmp_path: Path) -> None:
    label = label_of(window)
    assert not label.isVisible()
    window.load_scan(tmp_path, step_px=9.0)
    assert window.wait_until(lambda: label.isVisible() and label.text().startswith("fast: "), 20)
    first = label.text()
    assert "neighbours are trained together" in first
    assert "this product" in label.toolTip()
    (tmp_path / "sparse").mkdir()
    window.load_scan(tmp_path / "sparse", step_px=16.0)
    products = window.controller._processing_controller._product_view_controller.get_widget()
    products.setCurrentIndex(1)
    assert window.wait_until(lambda: "one by one" in label.text(), 20)
    products.setCurrentIndex(0)
    assert window.wait_until(lambda: label.text() == first, 20)
    window.pick(window.drop_down("Preset"), "fine")
    assert not label.isVisible()
    window.pick(window.drop_down("Preset"), "auto")
    assert label.isVisible()
    assert label.text() == first


def test_the_form_catches_up_when_it_comes_into_sight(window: Window, tmp_path: Path) -> None:
    label = label_of(window)
    window.choose_algorithm("ptychopinn_supervised")
    window.load_scan(tmp_path, step_px=12.0)
    window.settle(0.5)
    assert label.text() == ""
    window.choose_algorithm("ptychopinn_pinn")
    assert window.wait_until(lambda: label.text().startswith("fast: "), 20)


def test_the_window_does_not_wait_for_it(window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label = label_of(window)
    product = window.load_scan(tmp_path, step_px=12.0)
    assert window.wait_until(lambda: label.text() != "", 20)
    repository = window.model.product_core.product_repository
    dataset = repository[0].get_dataset()
    assert dataset is not None
    gate = threading.Event()
    data = Guarded(dataset.get_assembled_data(), gate)
    monkeypatch.setattr(type(dataset), "get_assembled_data", lambda self: data)
    label.setText("")
    assert product is not None
    window.choose_algorithm("ptychopinn_supervised")
    window.choose_algorithm("ptychopinn_pinn")
    # Events are handled, and the text stays away, for as long as the patterns do.
    window.settle(1.0)
    assert label.text() == ""
    gate.set()
    assert window.wait_until(lambda: label.text().startswith("fast: "), 20)
