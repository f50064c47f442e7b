"""The Processing view of the unmodified host, with our widgets in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ptychodus.api.reconstruct import TrainOutput
from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QComboBox, QFormLayout, QGroupBox, QLabel

from ptychodus_plugin.devices import known_devices
from ptychodus_plugin.messages import Begun, Chosen, FreeFits, Judged
from ptychodus_plugin.product import losses_of
from tests.ptychodus.window import Window


@pytest.fixture
def window() -> Iterator[Window]:
    with Window() as window:
        window.choose_algorithm("ptychopinn_pinn")
        yield window


BACKENDS = [("TensorFlow", True), ("PyTorch", True), ("ONNX Runtime (inference only)", True)]


def shown_rows(window: Window) -> dict[str, list[str]]:
    """Group box -> labels of the rows a user sees."""
    rows = {}
    for box in window.form.findChildren(QGroupBox):
        form = box.layout()
        assert isinstance(form, QFormLayout)
        labels = [form.itemAt(row, QFormLayout.ItemRole.LabelRole).widget() for row in range(form.rowCount())]
        rows[box.title()] = [label.text() for label in labels if isinstance(label, QLabel) and label.isVisible()]
    return rows


def entries(box: QComboBox) -> list[tuple[str, bool]]:
    """Text of every entry and whether it can be picked."""
    return [
        (box.itemText(index), bool(box.model().flags(box.model().index(index, 0)) & Qt.ItemFlag.ItemIsEnabled))
        for index in range(box.count())
    ]


def test_backend_is_chosen_by_the_user_and_reaches_the_settings(window: Window) -> None:
    box = window.drop_down("Backend")
    assert entries(box) == BACKENDS
    assert box.currentText() == "TensorFlow"
    window.pick(box, "PyTorch")
    assert window.model.settings_registry["PtychoPINNModel"].parameters()["Backend"].get_value() == "pytorch"


def test_setting_from_a_file_is_shown(window: Window, tmp_path: Path) -> None:
    (tmp_path / "settings.ini").write_text("[PtychoPINNModel]\nBackend = pytorch\n")
    window.model.settings_registry.open_settings(tmp_path / "settings.ini")
    assert window.drop_down("Backend").currentText() == "PyTorch"


def test_unknown_value_of_a_file_is_shown_as_such(window: Window) -> None:
    window.set("Model", Backend="jax")
    assert entries(window.drop_down("Backend"))[-1] == ("jax (unknown)", False)
    assert window.drop_down("Backend").currentText() == "jax (unknown)"
    window.set("Model", Backend="pytorch")
    assert entries(window.drop_down("Backend")) == BACKENDS


def test_environment_variable_locks_the_backend_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTYCHOPINN_BACKEND", "pytorch")
    with Window() as window:
        window.choose_algorithm("ptychopinn_pinn")
        box = window.drop_down("Backend")
        assert box.currentText() == "PyTorch"
        assert not box.isEnabled()
        assert "PTYCHOPINN_BACKEND" in box.toolTip()
        assert window.model.settings_registry["PtychoPINNModel"].parameters()["Backend"].get_value() == "tensorflow"


def test_rows_follow_the_backend(window: Window) -> None:
    assert "Devices:" not in shown_rows(window)["Backend"]
    assert ("16-mixed (not with TensorFlow)", False) in entries(window.drop_down("Precision"))
    window.pick(window.drop_down("Backend"), "PyTorch")
    assert "Devices:" in shown_rows(window)["Backend"]
    assert ("16-mixed", True) in entries(window.drop_down("Precision"))
    window.pick(window.drop_down("Backend"), "ONNX Runtime (inference only)")
    assert not {"Devices:", "Compile Network:"} & set(shown_rows(window)["Backend"])
    assert ("bf16-mixed (not with ONNX Runtime)", False) in entries(window.drop_down("Precision"))
    accelerators = entries(window.drop_down("Accelerator"))
    assert ("tensorrt", True) in accelerators
    assert ("mps (not with ONNX Runtime)", False) in accelerators
    window.pick(window.drop_down("Backend"), "PyTorch")
    assert ("tensorrt (not with PyTorch)", False) in entries(window.drop_down("Accelerator"))


def test_rows_follow_the_architecture(window: Window) -> None:
    window.pick(window.drop_down("Preset"), "custom")
    assert "Batch Normalisation:" not in shown_rows(window)["Model"]
    window.pick(window.drop_down("Backend"), "PyTorch")
    assert "Batch Normalisation:" in shown_rows(window)["Model"]
    window.pick(window.drop_down("Architecture"), "hybrid_resnet")
    rows = shown_rows(window)["Model"]
    assert {"Fourier Modes:", "Bottleneck Width:"} <= set(rows)
    assert not {"Batch Normalisation:", "Num. Filters Scale Factor:"} & set(rows)
    window.pick(window.drop_down("Architecture"), "backprojection_unet")
    rows = shown_rows(window)["Model"]
    assert not {"Fourier Modes:", "Amplitude Activation Function:", "Pad Object:", "Object Big:"} & set(rows)


def test_rows_follow_the_scheduler(window: Window) -> None:
    window.pick(window.drop_down("Preset"), "custom")
    assert "Warm-up Epochs:" not in shown_rows(window)["Training"]
    window.pick(window.drop_down("Scheduler"), "WarmupCosine")
    assert "Warm-up Epochs:" in shown_rows(window)["Training"]
    assert "Plateau Factor:" not in shown_rows(window)["Training"]


def test_automatic_preset_gives_way_to_a_changed_option(window: Window) -> None:
    box = window.drop_down("Preset")
    assert box.currentText() == "auto"
    assert "Grid Size:" not in shown_rows(window)["Model"]
    window.set("Model", GridSize=2)
    assert box.currentText() == "auto (own options)"
    assert "Grid Size:" in shown_rows(window)["Model"]
    window.set("Model", GridSize=1)
    assert box.currentText() == "auto"


def test_preset_hides_what_it_decides(window: Window) -> None:
    window.pick(window.drop_down("Preset"), "fast")
    rows = shown_rows(window)
    assert "Grid Size:" not in rows["Model"]
    assert "Number of Epochs:" not in rows["Training"]
    assert {"Seed:", "Number of Groups:"} <= set(rows["Training"])
    window.pick(window.drop_down("Preset"), "custom")
    assert "Grid Size:" in shown_rows(window)["Model"]


def test_supervised_shows_neither_physics_nor_its_losses(window: Window) -> None:
    window.choose_algorithm("ptychopinn_supervised")
    rows = shown_rows(window)
    assert "Probe Scale Factor:" not in rows["Model"]
    assert "Weight for NLL loss:" not in rows["Training"]
    assert {"Architecture:", "Grid Size:"} <= set(rows["Model"])
    assert "Learning Rate:" in rows["Training"]


def shown_label(window: Window, name: str) -> QLabel:
    found = window.view.findChild(QLabel, name)
    assert found is not None
    return found


def test_form_shows_what_auto_chose_and_why(window: Window) -> None:
    label = window.form.findChild(QLabel, "chosen_preset")
    assert not label.isVisible()
    window.form.notices.told.emit(Chosen("fast", "39% overlap: neighbours are trained together"))
    assert label.isVisible()
    assert label.text() == "fast: 39% overlap: neighbours are trained together"
    window.pick(window.drop_down("Preset"), "fine")
    assert not label.isVisible()


@pytest.mark.parametrize(("training", "shift"), [([2.0, 1.0], 0.0), ([-2.0, -3.0], 3.06)])
def test_both_losses_are_drawn_while_training(window: Window, training: list[float], shift: float) -> None:
    curves = [losses_of({"loss": training}), losses_of({"loss": [3.0, 2.5]})]
    for epochs in (1, 2):
        output = TrainOutput(*(curve[:epochs] for curve in curves), progress=epochs)
        window.form.notices.told.emit(output)
    axes = window.view.processing_status_view.axes
    assert window.wait_until(lambda: len(axes.lines) == 2, 5)
    for line, curve in zip(axes.lines, (training, [3.0, 2.5]), strict=True):
        assert list(line.get_ydata()) == pytest.approx([value + shift for value in curve])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Training", "Validation"]
    assert (axes.get_yscale(), axes.get_title()) == ("log", "Training, epoch 2")


@pytest.mark.parametrize("training", [[2.0, 1.5, 1.0], [-2.0, -3.0, -4.0]])
def test_held_out_patterns_are_the_second_curve_where_nothing_validates(window: Window, training: list[float]) -> None:
    tell = window.form.notices.told.emit
    tell(TrainOutput(losses_of({"loss": training}), progress=3))
    tell(FreeFits((1, 3), (0.2, 0.1)))
    axes = window.view.processing_status_view.axes
    assert window.wait_until(lambda: len(axes.lines) == 2, 5)
    assert list(axes.lines[1].get_xdata()) == [1, 3]
    (right,) = axes.child_axes
    assert right.get_ylabel() == "R of held-out patterns"
    window.view.processing_status_view.figure_canvas.draw()
    low, high = axes.get_ylim()
    shown = axes.lines[1].get_ydata() / axes.lines[0].get_ydata()[0] * 0.2
    assert list(shown) == pytest.approx([0.2, 0.1])
    assert right.get_ylim() == pytest.approx([edge / axes.lines[0].get_ydata()[0] * 0.2 for edge in (low, high)])
    # The next training begins without them.
    tell(TrainOutput(losses_of({"loss": training[:1]}), progress=1))
    assert window.wait_until(lambda: len(axes.lines) == 1 and not axes.child_axes, 5)


def test_panel_shows_how_good_the_result_is(window: Window) -> None:
    panel = shown_label(window, "result_pinn")
    assert not panel.isVisible()
    judged = Judged(0.1234, 0.05, 0.13, 2.5, 8, refined=True, pixel_nm=8.0)
    window.form.notices.told.emit(judged)
    assert panel.isVisible()
    assert "2.5 s, 8 steps" in panel.text()
    assert all(word in panel.text() for word in ("0.1234", "0.0500", "0.1300", "2.5 s", "refined", "not measured"))
    window.form.notices.told.emit(judged._replace(resolution_px=1.5))
    assert "1.50 px = 12 nm" in panel.text()
    window.form.notices.told.emit(
        judged._replace(elapsed_s=1234.5, resolution_px=12.34, pixel_nm=10.1, deviance=123.4, noise_deviance=1.002)
    )
    assert "123.4" in panel.text()
    assert "1.002" in panel.text()
    window.settle()
    assert panel.sizeHint().width() <= panel.width(), "the figures leave the panel"
    window.choose_algorithm("ptychopinn_supervised")
    assert not panel.isVisible()
    window.choose_algorithm("ptychopinn_pinn")
    assert panel.isVisible()
    # Another reconstruction begins, and may end without figures.
    window.form.notices.told.emit(Begun())
    assert not panel.isVisible()
    window.choose_algorithm("ptychopinn_supervised")
    window.choose_algorithm("ptychopinn_pinn")
    assert not panel.isVisible()


def test_devices_are_named_by_a_child_when_the_list_is_opened(window: Window) -> None:
    window.pick(window.drop_down("Backend"), "PyTorch")
    box = window.drop_down("VisibleDevices")
    assert entries(box)[0] == ("all", True)
    before = "torch" in sys.modules
    box.showPopup()
    assert window.wait_until(lambda: known_devices("pytorch") is not None, 60)
    names = known_devices("pytorch") or ()
    shown = [(f"{number}: {name}", True) for number, name in enumerate(names)] or [
        ("(no GPU that PyTorch sees)", False)
    ]
    # The list hears of them in a later turn of the event loop.
    assert window.wait_until(lambda: entries(box)[1:] == shown, 10), entries(box)
    box.hidePopup()
    assert ("torch" in sys.modules) == before


def test_devices_of_a_settings_file_are_shown(window: Window) -> None:
    window.set("Model", VisibleDevices="0,1")
    assert window.drop_down("VisibleDevices").currentText() == "0,1"
    window.set("Model", VisibleDevices="fast")
    assert window.drop_down("VisibleDevices").currentText() == "fast (unknown)"


def test_every_widget_has_a_tool_tip(window: Window) -> None:
    for box in window.form.findChildren(QGroupBox):
        form = box.layout()
        for row in range(form.rowCount()):
            widget = form.itemAt(row, QFormLayout.ItemRole.FieldRole).widget()
            tips = [
                widget.toolTip(),
                *(child.toolTip() for child in widget.findChildren(object) if hasattr(child, "toolTip")),
            ]
            assert any(tips), form.labelForField(widget).text()


def test_infer_needs_a_model(window: Window, archive: Path) -> None:
    assert window.actions.reconstruct_button.text() == "Infer"
    assert not window.actions.reconstruct_button.isEnabled()
    window.set("Inference", ModelPath=archive)
    window.settle()
    assert window.actions.reconstruct_button.isEnabled()


def test_the_other_library_of_the_host_is_used_beside_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = pytest.importorskip("ptychodus.model.ptychopinn_torch.core", reason="this version of Ptychodus has none")
    # Its forms and its task are the host's; what it computes with is not installed here.
    monkeypatch.setattr(core, "_ptychopinn_torch_available", lambda: True)
    with Window() as window:
        assert type(window.model.ptychopinn_torch_reconstructor_library) is core.PtychoPINNTorchReconstructorLibrary
        window.choose_algorithm("ptychopinn-torch_unsupervised")
        assert window.form.findChildren(QGroupBox)
        window.load_scan(tmp_path, step_px=16.0)
        window.answer_folder_dialog(tmp_path)
        window.run(lambda: window.click(window.actions.train_button), 60)
        error = window.monitor.get_last_error()
        assert error is not None
        assert "ptycho_torch" in str(error)
        assert "PtychoPINNReconstructor" not in str(error)
