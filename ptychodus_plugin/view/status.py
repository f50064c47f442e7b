"""What the window shows beside the form: the losses while they are made, and how good a result is."""

from __future__ import annotations

from typing import Any, Final

from ptychodus.api.reconstruct import TrainOutput
from ptychodus.view.processing import ProcessingStatusView
from PyQt5.QtCore import QObject, Qt, QTimer
from PyQt5.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from ptychodus_plugin.messages import FreeFits, Judged
from ptychodus_plugin.view.guarded import guarded

_DRAW_EVERY_MS: Final = 400
"""Short epochs come faster than a figure is drawn."""
_LEFT: Final = 0.2
"""Part of the figure's width for the numbers of the axis of losses and its name."""
_RIGHT: Final = 0.95
"""Where the axes end that have no numbers at their right."""
_CURVES: Final = (("training_loss", "Training", "o-"), ("validation_loss", "Validation", "s--"))


class LossPlot(QObject):
    """Draws both loss curves of a running training on the axes of the host, which draws losses of products alone."""

    def __init__(self, status: ProcessingStatusView, parent: QObject) -> None:
        """Keep the axes.

        Args:
            status: the host's view of the running task.
            parent: owner of this object.
        """
        super().__init__(parent)
        self._axes: Any = status.axes
        self._canvas: Any = status.figure_canvas
        self._waiting: TrainOutput | None = None
        self._free: FreeFits | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)

    def show(self, output: TrainOutput) -> None:
        """Draw the curves soon.

        Args:
            output: of the last epoch, with the curves as far as they go.
        """
        self._waiting = output
        if output.progress <= 1:
            self._free = None
        self._draw_soon()

    def show_free(self, fits: FreeFits) -> None:
        """Draw how held-out patterns are explained beside the losses.

        Args:
            fits: of the epochs so far after which they were asked.
        """
        self._free = fits
        self._draw_soon()

    def _draw_soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start(_DRAW_EVERY_MS)

    @guarded
    def _draw(self) -> None:
        axes, output = self._axes, self._waiting
        assert output is not None
        axes.clear()
        axes.set_title(f"Training, epoch {output.progress}")
        axes.set_xlabel("Epoch")
        curves = {label: getattr(output, name) for name, label, _ in _CURVES if getattr(output, name)}
        values = [loss.value for curve in curves.values() for loss in curve]
        # A Poisson likelihood without its constant is negative; the host's axis is logarithmic, and stays so.
        shift = 0.0 if not values or min(values) > 0 else 0.01 * (max(values) - min(values) or 1.0) - min(values)
        axes.set_ylabel("Loss" if shift == 0 else f"Loss + {shift:.4g}")
        for _, label, style in _CURVES:
            if label in curves:
                epochs, heights = zip(*((loss.epoch, loss.value + shift) for loss in curves[label]), strict=True)
                axes.semilogy(epochs, heights, style, label=label, linewidth=2.0, markersize=3.0)
        if self._free is not None and "Training" in curves:
            drawn = {loss.epoch: loss.value + shift for loss in curves["Training"]}
            self._draw_free(self._free, drawn)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(True)
        if values:
            axes.legend()
        # Numbers of a logarithmic axis that spans less than a decade are long, and hid the name of the axis.
        axes.figure.subplots_adjust(left=_LEFT, right=_RIGHT if self._free is None else 1 - _LEFT)
        self._canvas.draw_idle()

    def _draw_free(self, fits: FreeFits, losses: dict[int, float]) -> None:
        """Draw R of held-out patterns with an axis of its own at the right; both curves begin at the same height."""
        factor = losses[fits.epochs[0]] / fits.r_free[0]
        heights = [factor * value for value in fits.r_free]
        self._axes.semilogy(fits.epochs, heights, "s--", label="Held-out patterns", linewidth=2.0, markersize=4.0)
        # It belongs to the axes of the host, and goes when these are cleared.
        right = self._axes.secondary_yaxis("right", functions=(lambda y: y / factor, lambda r: r * factor))
        right.set_ylabel("R of held-out patterns")


class ResultPanel:
    """How good the last result is, below the losses; in sight as long as the form it belongs to is."""

    def __init__(self, status: ProcessingStatusView, name: str) -> None:
        """Add the panel to the host's view.

        Args:
            status: the host's view of the running task.
            name: of the reconstructor.
        """
        self._label = QLabel()
        self._label.setObjectName(f"result_{name.lower()}")
        self._label.setTextFormat(Qt.TextFormat.RichText)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._label.setToolTip(
            "R is the part of the measured amplitudes that object and probe do not explain. Photon noise alone gives "
            "the second number, and held-out patterns, which made no object, the third."
        )
        # It must not make the window wider, nor take room from the curves.
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._label.hide()
        upper: QWidget | None = status.widget(0)
        layout = None if upper is None else upper.layout()
        if isinstance(layout, QVBoxLayout):
            layout.addWidget(self._label)
        self._is_wanted = False

    def show(self, judged: Judged) -> None:
        """Show figures.

        Args:
            judged: figures of the last reconstruction.
        """
        self._label.setText(table_of(judged))
        self._is_wanted = True
        self._label.show()

    def clear(self) -> None:
        """Take the figures away: another reconstruction begins, and may end without any."""
        self._is_wanted = False
        self._label.hide()

    def set_in_sight(self, *, form_is_shown: bool) -> None:
        """Follow the form.

        Args:
            form_is_shown: whether it is shown.
        """
        self._label.setVisible(form_is_shown and self._is_wanted)


def table_of(judged: Judged) -> str:
    """Return figures as rich text."""
    free = "none held out" if judged.r_free is None else f"{judged.r_free:.4f}"
    resolution = "not measured"
    if judged.resolution_px is not None:
        nanometres = judged.resolution_px * judged.pixel_nm
        resolution = f"{judged.resolution_px:.2f} px = {nanometres:.3g} nm"
    # Wider words would leave the panel, which is as wide as the curves.
    how = f"{judged.elapsed_s:.1f} s, {judged.polish_steps} steps"
    rows = [
        ("R of the result", f"{judged.r_factor:.4f}", "Two halves agree to", resolution),
        ("of photon noise", f"{judged.noise_r_factor:.4f}", "Time, polish", how),
        ("of held-out patterns", free, "Probe and positions", "refined" if judged.refined else "as given"),
    ]
    if judged.deviance is not None:
        # Where a pixel holds less than a photon R is far above 0 whatever the object.
        rows.append(("Deviance a pixel", f"{judged.deviance:.4g}", "of photon noise", f"{judged.noise_deviance:.4g}"))
    cells = (
        f"<tr><td>{first}</td><td><b>{one}</b>&nbsp;&nbsp;&nbsp;</td><td>{second}</td><td><b>{other}</b></td></tr>"
        for first, one, second, other in rows
    )
    return f"<table cellspacing=4>{''.join(cells)}</table>"
