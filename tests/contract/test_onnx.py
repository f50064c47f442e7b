"""The backend of ONNX Runtime keeps the part of the contract that is about prediction, and refuses to train."""

from __future__ import annotations

import numpy as np
import pytest

from ptychopinn_backend.errors import UnsupportedOptionError
from tests.contract.builders import backend_for, source_for
from tests.contract.prediction import PredictionContract, same_weights


class TestOnnxBackend(PredictionContract):
    backend_name = "onnx"

    def test_training_is_refused_and_changes_nothing(self) -> None:
        source = source_for({})
        backend = backend_for(self.backend_name, source)
        before = backend.dump_weights()
        with pytest.raises(UnsupportedOptionError, match=r"onnx backend only predicts.*Train with backend"):
            backend.fit(source)
        with pytest.raises(UnsupportedOptionError, match="no gradients"):
            backend.gradients(source.batch(np.arange(2)), source)
        assert same_weights(backend.dump_weights(), before)
