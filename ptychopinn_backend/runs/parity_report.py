"""Comparison of the two backends, trained on the same groups from the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from ptychopinn_backend.config import BACKENDS, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import DataError
from ptychopinn_backend.evaluation import evaluate
from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.pictures import drawn
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_scans
from ptychopinn_backend.seam.interface import EpochCallback
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

THRESHOLDS: Final = {"amplitude_psnr_db": 0.5, "amplitude_ssim": 0.01, "amplitude_mae": 0.005}
"""Limits for the differences between the backends; smaller differences count as parity."""

COLUMNS: Final = {
    "amplitude_psnr_db": "amplitude PSNR (dB)",
    "amplitude_ssim": "amplitude SSIM",
    "amplitude_mae": "amplitude MAE",
    "phase_psnr_db": "phase PSNR (dB)",
    "phase_correlation": "phase correlation",
    "frc_half_bit_px": "FRC half-bit (px)",
    "r_factor": "R-factor",
    "poisson_floor_r_factor": "R-factor of photon noise alone",
    "deviance": "deviance per pixel",
    "poisson_deviance": "deviance of photon noise alone",
    "final_loss": "final loss",
    "training_s": "training (s)",
    "inference_s": "inference (s)",
}
"""Title of each result in the table, by its key."""


@dataclass(frozen=True)
class ParityReport:
    """Results of both backends and their differences."""

    results: Mapping[str, Mapping[str, float]]
    """Value of each result, by backend and by key of `COLUMNS`."""
    reconstructions: Mapping[str, Reconstruction]
    """Reconstruction of the test scan, by backend."""
    settings: Mapping[str, Any]
    """Options of the training, for the heading of the report."""

    @property
    def differences(self) -> dict[str, float]:
        """Absolute difference of each result that has a limit, by its key."""
        first, second = (self.results[name] for name in BACKENDS)
        return {key: abs(first[key] - second[key]) for key in THRESHOLDS}

    @property
    def passed(self) -> bool:
        """Whether every difference is below its limit."""
        return all(self.differences[key] < limit for key, limit in THRESHOLDS.items())


def split_scan(scan: RawData, n_training: int, n_test: int, seed: int) -> tuple[RawData, RawData]:
    """Split a scan at random into points to train on and points to reconstruct.

    Args:
        scan: the scan.
        n_training: number of points to train on.
        n_test: number of points to reconstruct.
        seed: seed of the draw.

    Returns:
        Training scan and test scan, which share no points.

    Raises:
        DataError: the scan has fewer points.
    """
    if scan.n_patterns < n_training + n_test:
        raise DataError(
            f"The scan has {scan.n_patterns} points; {n_training} for training and {n_test} for the test need "
            f"{n_training + n_test}. Ask for fewer, or give a larger scan."
        )
    order = np.random.default_rng(seed).permutation(scan.n_patterns)
    return scan.select(np.sort(order[:n_training])), scan.select(np.sort(order[n_training : n_training + n_test]))


def compare_backends(
    training: RawData,
    test: RawData,
    config: TrainingConfig,
    execution: ExecutionConfig,
    *,
    on_epoch: Callable[[str], EpochCallback | None] = lambda _: None,
) -> ParityReport:
    """Train both backends on one scan, one after the other, and reconstruct another scan with each.

    Args:
        training: scan to train on; every point gives one group.
        test: scan to reconstruct; its objectGuess is the truth.
        config: training options; the backend in them is ignored.
        execution: run-time options, with the seed.
        on_epoch: returns the epoch callback for the name of a backend, or None.

    Returns:
        The report.

    Raises:
        DataError: the test scan has no true object.
        BackendUnavailableError: a framework is not installed.
    """
    if test.objectGuess is None:
        raise DataError("The test scan has no objectGuess to compare with. Use a simulated scan.")
    results: dict[str, dict[str, float]] = {}
    reconstructions: dict[str, Reconstruction] = {}
    for name in BACKENDS:
        started = perf_counter()
        model = train_scans(
            [training],
            replace(config, backend=name),
            execution,
            backend=name,
            every_point=True,
            on_epoch=on_epoch(name),
        )
        trained = perf_counter()
        # A polish would hide the differences between the backends.
        reconstructions[name] = reconstruct(model, test, polish_steps=0, uncertainty=False)
        inferred = perf_counter()
        found = evaluate(reconstructions[name], test, truth=(test.objectGuess, (0.0, 0.0)))
        found |= {
            "final_loss": model.history["loss"][-1],
            "training_s": trained - started,
            "inference_s": inferred - trained,
        }
        results[name] = {key: float(found[key]) for key in COLUMNS if key in found}
    settings = {
        "training groups": training.n_patterns,
        "test groups": test.n_patterns,
        "epochs": config.nepochs,
        "architecture": config.model.architecture,
        "N": config.model.N,
        "gridsize": config.model.gridsize,
        "n_filters_scale": config.model.n_filters_scale,
        "seed": execution.seed,
    }
    return ParityReport(results, reconstructions, settings)


def write_parity_report(report: ParityReport, folder: Path, truth: RawData) -> list[Path]:
    """Write `parity_report.md`, `parity_report.json` and `parity_report.png`.

    Args:
        report: the results.
        folder: folder of the files; it is made if it is missing.
        truth: scan with the true object.

    Returns:
        The files that were written. The picture is left out if the scan has no true object.
    """
    from ptychopinn_backend.evaluation.figures import save_comparison_figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"parity_report.{suffix}" for suffix in ("md", "json", "png")]
    with atomic_file(paths[0], "w") as file:
        file.write(as_markdown(report))
    content = {
        "settings": dict(report.settings),
        "results": {name: dict(found) for name, found in report.results.items()},
        "differences": report.differences,
        "thresholds": THRESHOLDS,
        "passed": report.passed,
    }
    with atomic_file(paths[1], "w") as file:
        json.dump(content, file, indent=2)
    true_object = truth.objectGuess
    if true_object is None:
        return paths[:2]
    return paths[:2] + drawn(
        lambda path: save_comparison_figure(report.reconstructions, path, truth=true_object), paths[2]
    )


def as_markdown(report: ParityReport) -> str:
    """Return the report as a page in Markdown.

    Args:
        report: the results.

    Returns:
        Markdown text with the settings, one row per result, and the verdict.
    """
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    lines = [
        "# Parity of the backends",
        "",
        f"Same scan, same initial weights, same order of groups: {settings}.",
        "",
        f"| measure | {' | '.join(BACKENDS)} | difference | limit |",
        "|---|---|---|---|---|",
    ]
    for key, title in COLUMNS.items():
        values = [report.results[name].get(key) for name in BACKENDS]
        if any(value is None for value in values):
            continue
        shown = " | ".join(f"{value:.4g}" for value in values)
        limit = f"{report.differences[key]:.2g} | {THRESHOLDS[key]}" if key in THRESHOLDS else " | "
        lines.append(f"| {title} | {shown} | {limit} |")
    verdict = "Every difference is below its limit." if report.passed else "A difference exceeds its limit."
    return "\n".join([*lines, "", verdict, "", "![Both reconstructions beside the truth](parity_report.png)", ""])
