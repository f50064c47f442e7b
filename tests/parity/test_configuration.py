"""What lies above the seam does not depend on the backend: `params.cfg`, groups, probe, mask."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend import params
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.legacy.params_bridge import update_legacy_dict
from ptychopinn_backend.physics.probe import normalise_probe, probe_mask
from ptychopinn_backend.runs.train import train_scans
from tests.contract.builders import INTENSITY_SCALE, backend_for, source_for
from tests.parity.comparison import Comparison

QUICK = ExecutionConfig(accelerator="cpu", enable_checkpointing=False, logger_backend="none")
BACKENDS = ("tensorflow", "pytorch")


@cache
def scan() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=40, photons=1e5), seed=3)


@cache
def seen(backend: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train for one epoch on a scan; return `params.cfg` as archived and the arrays the backend was given."""
    given: dict[str, Any] = {}
    original = PtychoDataContainer.batch

    def recorded(self: PtychoDataContainer, indices: Any) -> Any:
        batch = original(self, indices)
        given.update(X=batch.X, local_offsets=batch.local_offsets, probes=self.probes)
        return batch

    config = TrainingConfig(
        model=ModelConfig(N=32, gridsize=2, n_filters_scale=1),
        nepochs=1,
        batch_size=32,
        n_groups=32,
        nphotons=1e5,
        validation_fraction=0.0,
        backend=backend,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PtychoDataContainer, "batch", recorded)
        model = train_scans([scan()], config, QUICK, backend=backend)
    return model.params, given


def test_params_cfg_is_the_same_but_for_the_backend() -> None:
    found, expected = (dict(seen(backend)[0]) for backend in BACKENDS)
    assert (found.pop("backend"), expected.pop("backend")) == BACKENDS
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in expected.items()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_bridge_writes_what_training_archives(backend: str) -> None:
    cfg = dict(params.DEFAULTS)
    update_legacy_dict(cfg, TrainingConfig(model=ModelConfig(N=32, gridsize=2, n_filters_scale=1), backend=backend))
    archived = seen(backend)[0]
    assert {key: archived[key] for key in ("N", "gridsize", "backend", "object.big")} == {
        "N": 32,
        "gridsize": 2,
        "backend": backend,
        "object.big": True,
    }
    assert cfg.keys() <= archived.keys()


def test_a_changed_setting_is_noticed() -> None:
    found, expected = (dict(seen(backend)[0]) for backend in BACKENDS)
    found["backend"] = expected["backend"]
    found["nepochs"] = 2
    assert found != expected


@cache
def groups() -> Comparison:
    """Bit for bit: the same NumPy code made them, whatever the backend."""
    return Comparison(seen("tensorflow")[1], seen("pytorch")[1], tolerance=1e-12)


def test_groups_and_probes_are_the_same() -> None:
    groups().check()


def test_a_nudged_group_is_noticed() -> None:
    groups().check_would_fail()


@cache
def masked_amplitude(sigma_px: float, diameter_px: float | None) -> Comparison:
    """With patches of 1 the far field is that of the masked, normalised probe alone: sum of intensity = sum |P|^2."""
    options: dict[str, Any] = {"probe_mask": True, "probe_mask_sigma": sigma_px, "probe_mask_diameter": diameter_px}
    source = source_for(options, n_groups=1, n_modes=2)
    probes = normalise_probe(source.probes[0], 4.0) * probe_mask(32, diameter_px, sigma_px)
    found, expected = {}, {}
    for name in BACKENDS:
        backend = backend_for(name, source, **options)
        result = backend.forward(source.batch(np.arange(1)), source)
        waves = probes * result.patches[0, ..., 0]
        found[name] = np.sum(result.amplitude.astype(np.float64) ** 2)
        expected[name] = INTENSITY_SCALE**2 * np.sum(np.abs(waves) ** 2)
    # Parseval's theorem in float32.
    return Comparison(found, expected, tolerance=1e-5)


MASKS = [(1.0, None), (0.0, None), (0.0, 20.0), (2.5, 12.0)]


@pytest.mark.parametrize(("sigma_px", "diameter_px"), MASKS)
def test_probe_normalisation_and_mask_agree(sigma_px: float, diameter_px: float | None) -> None:
    masked_amplitude(sigma_px, diameter_px).check()


@pytest.mark.parametrize(("sigma_px", "diameter_px"), MASKS)
def test_a_nudged_probe_is_noticed(sigma_px: float, diameter_px: float | None) -> None:
    masked_amplitude(sigma_px, diameter_px).check_would_fail()
