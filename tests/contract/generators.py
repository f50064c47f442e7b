"""The generators part of the contract: each one trains and survives its archive, or is refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ptychopinn_backend.config import BACKENDS
from ptychopinn_backend.config.generators import BUILTIN_GENERATORS, CNN_OPTION_BACKENDS, CNN_OPTIONS, generators_of
from ptychopinn_backend.errors import UnsupportedOptionError
from ptychopinn_backend.factory import installed_backends
from ptychopinn_backend.runs.trained_model import TrainedModel
from tests.contract.builders import backend_for, source_for

SMALL = {"fno_width": 8, "fno_modes": 4, "fno_blocks": 2, "fno_cnn_blocks": 1}

CASES: dict[str, dict[str, Any]] = {
    **{name: {"architecture": name} for name in BUILTIN_GENERATORS},
    **{f"{name}, groups of four": {"architecture": name, "gridsize": 2} for name in BUILTIN_GENERATORS},
    "one patch for the group": {"architecture": "fno", "gridsize": 2, "object_big": False},
    "amplitude and phase": {"architecture": "ffno", "generator_output_mode": "amp_phase"},
    "logits": {"architecture": "hybrid", "generator_output_mode": "amp_phase_logits", "amp_activation": "softplus"},
    "square root": {"architecture": "fno", "fno_input_transform": "sqrt"},
    "logarithm": {"architecture": "ffno", "fno_input_transform": "log1p"},
    "instances normalised": {"architecture": "hybrid", "fno_input_transform": "instancenorm"},
    "few maps": {"architecture": "hybrid_resnet", "max_hidden_channels": 10, "resnet_width": 6},
    **{f"cnn with {name}": {name: True} for name in CNN_OPTIONS},
    "cnn with everything": dict.fromkeys(CNN_OPTIONS, True) | {"decoder_spatial_kernel": 3, "gridsize": 2},
    "cnn with all attention": dict.fromkeys(CNN_OPTIONS[1:], True) | {"gridsize": 2, "object_big": False},
    "cnn with another border": {"architecture": "cnn", "border_maps": 7, "border_width": 5, "gridsize": 2},
    "cnn with one decoder": {"architecture": "cnn", "shared_decoder": True, "cbam_decoder": True},
    "cnn to real and imaginary part": {"architecture": "cnn", "cnn_output_mode": "real_imag", "gridsize": 2},
    "cnn with another border, whole patch": {"architecture": "cnn", "border_width": 5, "pad_object": False},
    "cnn with everything, whole patch": dict.fromkeys(CNN_OPTIONS, True) | {"pad_object": False},
}


def offering(options: dict[str, Any]) -> tuple[str, ...]:
    """Return the backends that offer a generator with its options."""
    chosen = set(options) & set(CNN_OPTIONS)
    if chosen:
        return tuple(name for name in BACKENDS if all(name in CNN_OPTION_BACKENDS[option] for option in chosen))
    return BUILTIN_GENERATORS[options["architecture"]].backends


def refusal(options: dict[str, Any], backend: str) -> str:
    """Return what a backend that lacks a generator, or an option of it, says."""
    for name in CNN_OPTIONS:
        if name in options and backend not in CNN_OPTION_BACKENDS[name]:
            return f"{name} = True is not offered by the {backend} backend (it is by pytorch). Set {name} to False"
    having = "; ".join(f"{name} has {', '.join(generators_of(name))}" for name in BACKENDS)
    return f"'{options['architecture']}' is not offered by the {backend} backend (it is by pytorch): {having}. Choose"


class GeneratorContract:
    """Part of `BackendContract`."""

    backend_name: ClassVar[str]

    @pytest.mark.parametrize("case", CASES)
    def test_a_generator_trains_and_survives_the_archive_or_is_refused(self, case: str, tmp_path: Path) -> None:
        options = {**SMALL, **CASES[case]}
        source = source_for(options, n_groups=8)
        if self.backend_name not in offering(CASES[case]):
            with pytest.raises(UnsupportedOptionError, match=re.escape(refusal(CASES[case], self.backend_name))):
                backend_for(self.backend_name, source, **options)
            return
        backend = backend_for(self.backend_name, source, nepochs=2, **options)
        # Batch normalisation sees other statistics at inference, so only the training loss must fall at once.
        history = backend.fit(source, source, checkpoint_folder=tmp_path / "run").history
        assert history["loss"][-1] < history["loss"][0]
        assert np.isfinite(history["val_loss"]).all()
        archive = TrainedModel(backend, history, {}).save(tmp_path / "wts.h5.zip")
        opened = TrainedModel.load(archive, self.backend_name)
        stored, found = backend.dump_weights(), opened.backend.dump_weights()
        assert stored.keys() == found.keys() == backend.weight_shapes().keys()
        for name, array in stored.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)
        before, after = (np.concatenate(list(item.predict(source, 3))) for item in (backend, opened.backend))
        np.testing.assert_array_equal(after, before)
        installed = {name for name in BACKENDS if installed_backends()[name]}
        for other in installed - set(offering(CASES[case])):
            with pytest.raises(UnsupportedOptionError, match=re.escape(refusal(CASES[case], other))):
                TrainedModel.load(archive, other)
