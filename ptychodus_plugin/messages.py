"""What the computing process tells the host's process."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

RECONSTRUCT_GOAL: Final = 100
"""Progress of a reconstruction is in per cent, so that the last file of a batch run always has the same name."""


class Goal(NamedTuple):
    """The number of epochs, which the child knows once it has seen the data."""

    n_epochs: int


class ModelSaved(NamedTuple):
    """Another model is in use."""

    archive: Path


class Chosen(NamedTuple):
    """What the preset became for the scans that are trained on."""

    preset: str
    """Name of the preset in force, or 'none'."""
    why: str
    """Why 'auto' chose it; empty where it was named."""


class FreeFits(NamedTuple):
    """How a training explains patterns that it never saw, which it asks after some of its epochs."""

    epochs: tuple[int, ...]
    """Those epochs, counted from 1."""
    r_free: tuple[float, ...]
    """R of the held-out patterns after them."""


class Judged(NamedTuple):
    """How good a reconstruction is; sent again when more is known."""

    r_factor: float
    """Of the counts under object and probe."""
    noise_r_factor: float
    """Of photon noise alone."""
    r_free: float | None
    """Of patterns that were held out; None where none was."""
    elapsed_s: float
    """Of the reconstruction, without what judges it."""
    polish_steps: int
    """Steps of polish that were taken."""
    refined: bool
    """Probe or positions are not those that were given."""
    pixel_nm: float
    """Side of an object pixel."""
    resolution_px: float | None = None
    """To which even and odd patterns agree, half-period; None where that is not known (yet)."""
    deviance: float | None = None
    """Poisson deviance per pixel, which tells more than R where a pixel holds less than a photon."""
    noise_deviance: float | None = None
    """Of photon noise alone."""
    free_deviance: float | None = None
    """Of patterns that were held out; None where none was."""


class Begun(NamedTuple):
    """A reconstruction begins; for the window."""


class Failed(NamedTuple):
    """A task failed; for the window."""

    action: str
    """'Train' or 'Infer'."""
    error: Exception


class ModelChanged(NamedTuple):
    """Another model is in use; for the window."""


def in_words(judged: Judged) -> str:
    """Return how good a reconstruction is as one line."""
    free = "" if judged.r_free is None else f", of held-out patterns {judged.r_free:.4f}"
    parts = [f"R {judged.r_factor:.4f}, of photon noise {judged.noise_r_factor:.4f}{free}"]
    if judged.deviance is not None:
        free = "" if judged.free_deviance is None else f", of held-out patterns {judged.free_deviance:.4g}"
        parts.append(f"deviance per pixel {judged.deviance:.4g}, of photon noise {judged.noise_deviance:.4g}{free}")
    if judged.resolution_px is not None:
        parts.append(
            f"even and odd patterns agree to {judged.resolution_px:.2f} px = "
            f"{judged.resolution_px * judged.pixel_nm:.3g} nm"
        )
    parts.append(f"{judged.elapsed_s:.1f} s, {judged.polish_steps} steps of polish")
    if judged.refined:
        parts.append("with refined probe and positions")
    return "; ".join(parts) + "."
