"""Groups kept on the device give the batches that are gathered on the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.torch_backend.data import GroupDataset
from ptychopinn_backend.torch_backend.resident import ResidentGroups, is_worth_residing
from tests.contract.builders import source_for


@pytest.mark.parametrize(
    ("architecture", "gridsize", "with_labels"), [("cnn", 2, True), ("backprojection_unet", 1, False)]
)
def test_batches_are_those_of_the_source(architecture: str, gridsize: int, with_labels: bool) -> None:
    options = {"N": 32, "gridsize": gridsize, "architecture": architecture}
    source, model = source_for(options, n_groups=7), ModelConfig(**options)
    gathered = GroupDataset(source, model, with_labels)
    resident = ResidentGroups(source, model, with_labels, torch.device("cpu"))
    indices = np.array([5, 0, 6])
    expected, found = gathered[indices], resident[indices]
    assert (found.inputs is found.patterns) == (expected.inputs is expected.patterns)
    for name, tensor in expected._asdict().items():
        if tensor is None:
            assert getattr(found, name) is None
            continue
        torch.testing.assert_close(getattr(found, name), tensor, rtol=0, atol=0)
        assert getattr(found, name).is_contiguous()
        assert tensor.is_contiguous()


def test_the_host_needs_no_copy() -> None:
    source = source_for({}, n_groups=3)
    assert not is_worth_residing(GroupDataset(source, ModelConfig(N=32), False), 3, 300, torch.device("cpu"))
