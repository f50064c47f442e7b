"""The part of the contract that every backend keeps, also one that only predicts: weights, numbers, refusals.

Arguments are checked before a backend is asked, so that wrong ones are refused in the same words by all of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.arrays import AnyArray
from ptychopinn_backend.errors import ConfigError, DataError, UnfitWeightsError
from ptychopinn_backend.networks.cnn import cnn_plan
from ptychopinn_backend.networks.layers import initial_weights
from ptychopinn_backend.networks.weights import LOG_SCALE, PROBE
from tests.contract.builders import INTENSITY_SCALE, backend_for, source_for
from tests.contract.numbers import NumbersContract, perturb


def same_weights(one: dict[str, AnyArray], other: dict[str, AnyArray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


class PredictionContract(NumbersContract):
    """Subclass it with `backend_name` set; see test_onnx.py."""

    # Weights

    @pytest.mark.parametrize(
        "options",
        [{}, {"gridsize": 2, "probe_trainable": True}, {"pad_object": False}, {"gridsize": 2, "object_big": False}],
    )
    def test_initial_weights_are_those_of_the_plan(self, options: dict[str, Any]) -> None:
        source = source_for(options, n_modes=2)
        backend = backend_for(self.backend_name, source, **options)
        expected = initial_weights(cnn_plan(backend.setup.model).convolutions, backend.setup.execution.seed)
        expected[LOG_SCALE] = np.asarray(math.log(INTENSITY_SCALE), np.float32)
        if "probe_trainable" in options:
            expected[PROBE] = source.probes
        found = backend.dump_weights()
        assert same_weights(found, expected)
        assert backend.weight_shapes() == {name: array.shape for name, array in expected.items()}
        assert all(array.dtype == expected[name].dtype for name, array in found.items())

    def test_the_seed_decides_the_initial_weights(self) -> None:
        source = source_for({})
        first, second = (backend_for(self.backend_name, source, seed=seed).dump_weights() for seed in (1, 2))
        assert not same_weights(first, second)

    def test_weights_survive_dump_and_load_exactly(self) -> None:
        source = source_for({"gridsize": 2})
        options = {"gridsize": 2, "probe_trainable": True}
        one = backend_for(self.backend_name, source, **options)
        other = backend_for(self.backend_name, source, seed=7, **options)
        perturb(one, 0.1)
        weights = one.dump_weights()
        other.load_weights(weights)
        assert same_weights(other.dump_weights(), weights)
        batch = source.batch(np.arange(4))
        np.testing.assert_array_equal(one.forward(batch, source).patches, other.forward(batch, source).patches)

    def test_dumped_weights_are_a_copy(self) -> None:
        backend = backend_for(self.backend_name, source_for({}))
        before = backend.dump_weights()
        for array in backend.dump_weights().values():
            array[...] = 0
        assert same_weights(backend.dump_weights(), before)

    def test_wrong_weights_are_refused_and_change_nothing(self) -> None:
        backend = backend_for(self.backend_name, source_for({}))
        weights = backend.dump_weights()
        kernel = "encoder/stage0/conv0/kernel"
        with pytest.raises(UnfitWeightsError, match=f"lack '{kernel}'"):
            backend.load_weights({name: array for name, array in weights.items() if name != kernel})
        with pytest.raises(UnfitWeightsError, match="'encoder/stage9/conv0/kernel', which this model does not have"):
            backend.load_weights({**weights, "encoder/stage9/conv0/kernel": weights[kernel]})
        with pytest.raises(UnfitWeightsError, match=r"shape \(1, 1, 1, 64\); this model needs \(3, 3, 1, 64\)"):
            backend.load_weights({**weights, kernel: weights[kernel][:1, :1]})
        assert same_weights(backend.dump_weights(), weights)

    def test_versions_name_the_framework(self) -> None:
        backend = backend_for(self.backend_name, source_for({}))
        assert backend.name == self.backend_name
        assert backend.versions()
        assert all(text[0].isdigit() for text in backend.versions().values())

    # Prediction

    @pytest.mark.parametrize("options", [{}, {"gridsize": 2}, {"gridsize": 2, "object_big": False}])
    def test_prediction_does_not_depend_on_the_batch_size(self, options: dict[str, Any]) -> None:
        source = source_for(options, n_groups=70 if not options else 18, labels=False)
        backend = backend_for(self.backend_name, source, **options)
        perturb(backend, 0.05)
        whole = np.concatenate(list(backend.predict(source, 128)))
        batches = list(backend.predict(source, 7))
        channels = source.channels
        assert [len(batch) for batch in batches[:-1]] == [7] * (len(batches) - 1)
        assert whole.shape == (source.n_groups, 32, 32, channels)
        assert whole.dtype == np.complex64
        # Kernels chosen by batch size may round differently, at float32.
        np.testing.assert_allclose(np.concatenate(batches), whole, atol=5e-6 * np.abs(whole).max())
        forward = backend.forward(source.batch(np.arange(3)), source).patches
        np.testing.assert_allclose(forward, whole[:3], atol=5e-6 * np.abs(whole).max())

    def test_prediction_is_lazy(self) -> None:
        source = source_for({})
        patches = backend_for(self.backend_name, source).predict(source, 4)
        assert next(patches).shape == (4, 32, 32, 1)

    # Refusals

    @pytest.mark.parametrize(
        "options", [{"model_type": "supervised"}, {"realspace_weight": 1.0, "realspace_mae_weight": 1.0}]
    )
    def test_missing_labels_are_refused(self, options: dict[str, Any]) -> None:
        source = source_for(options, labels=False)
        backend = backend_for(self.backend_name, source, **options)
        with pytest.raises(DataError, match="no labels"):
            backend.fit(source)
        with pytest.raises(DataError, match="no labels"):
            backend.losses(source.batch(np.arange(2)), source)
        assert next(backend.predict(source, 2)).shape == (2, 32, 32, 1)

    def test_a_source_of_another_shape_is_refused(self) -> None:
        backend = backend_for(self.backend_name, source_for({}))
        with pytest.raises(DataError, match=r"side 64.*N = 32"):
            backend.predict(source_for({"N": 64}, n_groups=2), 2)
        with pytest.raises(DataError, match=r"4 patterns.*needs 1.*gridsize"):
            backend.fit(source_for({"gridsize": 2}))

    def test_a_batch_of_another_source_is_refused(self) -> None:
        source = source_for({})
        backend = backend_for(self.backend_name, source)
        batch = source.batch(np.arange(2))
        foreign = {
            r"X has shape \(2, 32, 32, 4\); expected \(any, 32, 32, 1\)": replace(
                batch, X=np.repeat(batch.X, 4, axis=-1)
            ),
            "The batch holds no groups": source.batch(np.arange(0)),
            "scan_index names scans 0 to 1; the source has 1": replace(batch, scan_index=np.arange(2)),
        }
        for words, other in foreign.items():
            for compute in (backend.forward, backend.losses, backend.gradients):
                with pytest.raises(DataError, match=words):
                    compute(other, source)

    def test_a_batch_size_below_one_is_refused(self) -> None:
        source = source_for({})
        with pytest.raises(ConfigError, match=r"batch_size = 0.*Set it to 1 or more"):
            backend_for(self.backend_name, source).predict(source, 0)

    def test_trainable_probes_need_the_scans_they_belong_to(self) -> None:
        backend = backend_for(self.backend_name, source_for({}), probe_trainable=True)
        with pytest.raises(DataError, match=r"2 scans.*trainable probe"):
            backend.fit(source_for({}, n_scans=2))
