"""Parts of the PyTorch backend on their own: sampling, devices, optimisers."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.seam.schedule import epoch_order
from ptychopinn_backend.torch_backend import devices
from ptychopinn_backend.torch_backend.data import BatchIndexSampler
from ptychopinn_backend.torch_backend.optimizers import clip_gradients
from tests.contract.builders import backend_for, source_for


def test_an_epoch_visits_every_group_in_the_order_of_the_schedule() -> None:
    sampler = BatchIndexSampler(10, 4, seed=3, limit=None, rank=0, world_size=1)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [4, 4, 2] == [4] * (len(sampler) - 1) + [2]
        np.testing.assert_array_equal(np.concatenate(batches), epoch_order(10, 3, epoch + 1))


@pytest.mark.parametrize(("n_groups", "limit", "processes"), [(11, None, 2), (13, 9, 2), (12, None, 3), (5, None, 4)])
def test_the_batches_of_several_processes_are_those_of_one(n_groups: int, limit: int | None, processes: int) -> None:
    def sampler(rank: int, world_size: int, batch_size: int) -> BatchIndexSampler:
        made = BatchIndexSampler(n_groups, batch_size, seed=3, limit=limit, rank=rank, world_size=world_size)
        made.set_epoch(4)
        return made

    alone = sampler(0, 1, 2 * processes)
    shares = [sampler(rank, processes, 2) for rank in range(processes)]
    assert {len(share) for share in shares} == {len(alone)}
    counted = [list(share) for share in shares]
    for index, batch in enumerate(alone):
        parts = []
        for share, batches in zip(shares, counted, strict=True):
            own, together = share.groups_in(index)
            assert together == len(batch)
            assert len(batches[index]) == max(own, 1)
            parts += batches[index][:own].tolist()
        assert sorted(parts) == sorted(batch.tolist())


def test_a_limited_epoch_visits_other_groups_every_time() -> None:
    sampler = BatchIndexSampler(20, 4, seed=3, limit=6, rank=0, world_size=1)
    visited = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        visited.append(np.concatenate(list(sampler)).tolist())
    assert [len(set(groups)) for groups in visited] == [6, 6]
    assert len(sampler) == 2
    assert set(visited[0]) != set(visited[1])


def test_validation_keeps_the_order_of_the_source() -> None:
    sampler = BatchIndexSampler(5, 2, seed=None, limit=None, rank=0, world_size=1)
    assert np.concatenate(list(sampler)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_a_missing_device_is_refused(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"accelerator = '{accelerator}'.*'auto' or 'cpu'"):
        devices.resolve_device(ExecutionConfig(accelerator=accelerator))


def test_automatic_choice_of_the_cpu_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    devices._say_once.cache_clear()
    with caplog.at_level(logging.INFO, logger=devices.__name__):
        for _ in range(3):
            assert devices.resolve_device(ExecutionConfig()).type == "cpu"
    assert len(caplog.records) == 1
    assert "computing on the CPU" in caplog.text


def test_half_precision_on_the_cpu_becomes_bfloat16() -> None:
    execution = ExecutionConfig(precision="16-mixed")
    assert devices.resolve_precision(execution, torch.device("cpu")) == "bf16-mixed"
    assert devices.resolve_precision(execution, torch.device("cuda", 0)) == "16-mixed"


def _parameter(values: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    parameter = values.clone().requires_grad_()
    parameter.grad = gradient.clone()
    return parameter


def test_clipping_limits_norm_or_value() -> None:
    by_norm = _parameter(torch.ones(4), torch.full((4,), 3.0))
    clip_gradients([by_norm], 1.0, "norm")
    assert float(by_norm.grad.norm()) == pytest.approx(1.0, rel=1e-5)
    by_value = _parameter(torch.ones(2), torch.tensor([-5.0, 0.2]))
    clip_gradients([by_value], 0.5, "value")
    assert by_value.grad.tolist() == pytest.approx([-0.5, 0.2])


def test_adaptive_clipping_compares_each_output_map_with_its_weights() -> None:
    weight, gradient = torch.ones(2, 1, 3, 3), torch.ones(2, 1, 3, 3)
    gradient[1] *= 100
    kernel = _parameter(weight, gradient)
    clip_gradients([kernel], 2.0, "agc")
    assert float(kernel.grad[0].norm()) == pytest.approx(3.0)
    assert float(kernel.grad[1].norm()) == pytest.approx(6.0)
    bias = _parameter(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]))
    clip_gradients([bias], 0.5, "agc")
    assert bias.grad.tolist() == pytest.approx([5e-4, 0.5])


def test_weight_decay_acts_on_kernels_only() -> None:
    source = source_for({}, n_groups=4)
    # Without gradients worth mentioning, a step of AdamW shrinks what decays by learning rate times decay.
    options = {"optimizer": "adamw", "nepochs": 1, "learning_rate": 1e-2, "model_type": "supervised"}
    plain = backend_for("pytorch", source, **options)
    decayed = backend_for("pytorch", source, weight_decay=0.5, **options)
    start = plain.dump_weights()
    for backend in (plain, decayed):
        backend.fit(source)
    expected = plain.dump_weights()
    for name, array in decayed.dump_weights().items():
        shrunk = expected[name] - 0.005 * start[name] if name.endswith("/kernel") else expected[name]
        np.testing.assert_allclose(array, shrunk, atol=1e-6, err_msg=name)
