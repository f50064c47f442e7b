"""Scans as Ptychodus holds them, simulated with a forward model of their own so that nothing of ours is trusted."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ptychodus.api import io
from ptychodus.api.assemble import AssembledDiffractionData
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import save_diffraction_data, save_product
from ptychodus.api.object import Object, ObjectCenter
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import Product, ProductMetadata
from ptychodus.api.reconstruct import ReconstructInput
from scipy.ndimage import gaussian_filter, map_coordinates

PIXEL_M = 8e-9
DETECTOR_PIXEL_M = 75e-6
WAVELENGTH_M = 1.2398419843320026e-10
"""Of 10 keV photons."""
CENTRE = ObjectCenter(x_m=3.2e-7, y_m=-1.5e-7)

Complex = npt.NDArray[np.complex128]


def analytic_object(height: int = 100, width: int = 112) -> Complex:
    """A smooth object whose rows and columns differ, (height, width)."""
    rng = np.random.default_rng(3)
    texture = gaussian_filter(rng.standard_normal((2, height, width)), (0, 2.5, 2.5))
    texture /= np.abs(texture).max(axis=(1, 2), keepdims=True)
    return np.asarray((0.75 + 0.2 * texture[0]) * np.exp(0.9j * texture[1]), np.complex128)


def probe_modes(N: int, modes: int = 1, photons: float = 1e5) -> Complex:
    """A soft disk and, as further modes, weaker skewed ones, (mode, N, N), photons in all."""
    axis = np.arange(N) - (N - 1) / 2
    radius = np.hypot(axis[:, None], axis[None, :])
    disk = 1 / (1 + np.exp((radius - N / 5) / 1.0)) * np.exp(0.02j * radius**2)
    stack = [disk, *(0.3 * disk * axis[:, None] / (N / 5) for _ in range(modes - 1))]
    probe = np.stack(stack)
    return np.asarray(probe * np.sqrt(photons / np.sum(np.abs(probe) ** 2)), np.complex128)


def far_field_counts(obj: Complex, probe: Complex, x_px: float, y_px: float) -> npt.NDArray[np.float64]:
    """Expected counts (N, N) of one position, which names the pixel under the probe's centre (N - 1) / 2."""
    N = probe.shape[-1]
    grid = np.arange(N) - (N - 1) / 2
    rows, columns = np.meshgrid(grid + y_px, grid + x_px, indexing="ij")
    patch = map_coordinates(obj.real, [rows, columns], order=1) + 1j * map_coordinates(
        obj.imag, [rows, columns], order=1
    )
    waves = np.fft.fft2(np.fft.ifftshift(probe * patch, axes=(-2, -1)), norm="ortho")
    return np.asarray(np.fft.fftshift(np.sum(np.abs(waves) ** 2, axis=0)))


def make_input(
    *,
    N: int = 32,
    step_px: float = 5.0,
    jitter_px: float = 1.5,
    modes: int = 1,
    photons: float = 1e5,
    obj: Complex | None = None,
    guess: Complex | None = None,
    bad_pixels: bool = False,
    seed: int = 1,
) -> tuple[ReconstructInput, Complex]:
    """A jittered raster scan over an object that is larger than the scan, and the object it was simulated from."""
    rng = np.random.default_rng(seed)
    truth = analytic_object() if obj is None else obj
    height, width = truth.shape
    probe = probe_modes(N, modes, photons)
    margin = N / 2 + 2
    rows, columns = np.meshgrid(
        np.arange(margin, height - margin, step_px), np.arange(margin, width - margin, step_px), indexing="ij"
    )
    x_px = columns.ravel() + rng.uniform(-jitter_px, jitter_px, rows.size)
    y_px = rows.ravel() + rng.uniform(-jitter_px, jitter_px, rows.size)
    counts = np.stack([far_field_counts(truth, probe, x, y) for x, y in zip(x_px, y_px, strict=True)])
    patterns = rng.poisson(counts).astype(np.uint32)
    mask = np.zeros((N, N), bool)
    if bad_pixels:
        mask[3:5, 7] = mask[N // 2 + 2, N // 2 - 3] = True
        patterns[:, mask] = 4_000_000
    positions = ProbePositionSequence(
        [
            ProbePosition(
                index,
                CENTRE.x_m + PIXEL_M * (x - (width - 1) / 2),
                CENTRE.y_m + PIXEL_M * (y - (height - 1) / 2),
            )
            for index, (x, y) in enumerate(zip(x_px, y_px, strict=True))
        ]
    )
    pixel = PixelGeometry(PIXEL_M, PIXEL_M)
    product = Product(
        metadata=ProductMetadata(
            "scan", "", PIXEL_M * N * DETECTOR_PIXEL_M / WAVELENGTH_M, 10_000.0, photons, 0.1, 0.0, 0.0
        ),
        probe_positions=positions,
        probes=ProbeSequence(probe, None, pixel),
        object_=Object(np.ones_like(truth) if guess is None else guess, pixel, CENTRE),
        losses=[],
    )
    return ReconstructInput(patterns, mask, product), truth


def write_batch_folder(folder: Path, parameters: ReconstructInput, settings: dict[str, dict[str, str]]) -> Path:
    """Write what `ptychodus -b` reads: settings.ini, diffraction.h5 and product.h5."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for group, values in settings.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    (folder / "settings.ini").write_text("\n".join(lines))
    save_diffraction_data(folder / "diffraction.h5", assembled(parameters))
    save_product(folder / "product.h5", parameters.product)
    return folder


WITHOUT_EVIDENCE = {
    "PtychoPINNTraining": {"Calibrate": "never"},
    "PtychoPINNInference": {"Calibrate": "never", "PolishSteps": 0, "HalvesResolution": False},
}
"""Settings by group: neither calibrate nor polish nor judge, which takes far longer than a small scan itself."""


def decide_nothing(host: Any) -> None:
    """Set a running host so that nothing is decided by the evidence, where a test is about something else."""
    for group, values in WITHOUT_EVIDENCE.items():
        for key, value in values.items():
            host.settings_registry[group].parameters()[key].set_value(value)


def product_in(host: Any, parameters: ReconstructInput, folder: Path) -> Any:
    """Hand a scan to a running host, as files in the folder."""
    save_diffraction_data(folder / "diffraction.h5", assembled(parameters))
    save_product(folder / "product.h5", parameters.product)
    patterns = host.workflow_api.load_assembled_diffraction_data(folder / "diffraction.h5")
    return host.workflow_api.load_product(folder / "product.h5", diffraction=patterns)


def assembled(parameters: ReconstructInput) -> AssembledDiffractionData:
    """The patterns of an input as the host keeps them."""
    patterns = parameters.diffraction_patterns
    return AssembledDiffractionData(
        np.arange(len(patterns)), patterns, PixelGeometry(DETECTOR_PIXEL_M, DETECTOR_PIXEL_M), parameters.bad_pixels
    )


def export_as_the_host(path: Path, parameters: ReconstructInput) -> None:
    """Write the host's own training NPZ."""
    asked = inspect.signature(io.save_ptychopinn_training_data).parameters
    # Ptychodus 1.6 leaves it to the caller how many modes are written.
    io.save_ptychopinn_training_data(
        path, parameters, **({"multimodal_probe": True} if "multimodal_probe" in asked else {})
    )


def shift_px(image: Complex, reference: Complex) -> tuple[float, float]:
    """Shift (row, column) in pixels by which `image` lies off `reference`, to a tenth of a pixel."""
    from skimage.registration import phase_cross_correlation

    shift, _, _ = phase_cross_correlation(reference, image, upsample_factor=10, normalization=None)
    return -float(shift[0]), -float(shift[1])
