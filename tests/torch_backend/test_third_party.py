"""A generator that somebody else registers by an entry point trains, is saved and is opened like a built-in one."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from tests.factory.interpreters import ROOT, run

MODULE = """
import numpy as np
import torch
from ptychopinn_backend.torch_backend.patch_generator import PatchGenerator

class Normed(PatchGenerator):
    def __init__(self, model):
        super().__init__()
        self.only = torch.nn.Conv2d(model.channels, 2 * model.channels, 3, padding="same")
        self.norm = torch.nn.BatchNorm2d(2 * model.channels)

    def forward(self, patterns):
        real, imaginary = self.norm(self.only(patterns)).chunk(2, dim=1)
        return 1 + 0.1 * torch.tanh(real), 0.1 * imaginary

    def initial_weights(self, seed):
        maps = self.only.in_channels
        kernel = np.random.default_rng(seed).normal(size=(3, 3, maps, 2 * maps))
        zeros, ones = np.zeros(2 * maps, np.float32), np.ones(2 * maps, np.float32)
        return {"only/kernel": kernel.astype(np.float32), "only/bias": zeros, "norm/kernel": ones, "norm/bias": zeros}
"""
PROGRAM = """
import numpy as np
from ptychopinn_backend.runs.trained_model import TrainedModel
model, training, execution = split_options({"architecture": "normed", "gridsize": 2, "nepochs": 3})
source = source_for({"gridsize": 2}, n_groups=8)
backend = create_backend("pytorch", BackendSetup(model, training, execution, INTENSITY_SCALE, source.probes))
history = backend.fit(source).history
opened = TrainedModel.load(TrainedModel(backend, history, {}).save("wts.h5.zip"), "pytorch").backend
before, after = backend.dump_weights(), opened.dump_weights()
same = all(np.array_equal(after[name], before[name]) for name in before)
equal = np.array_equal(next(opened.predict(source, 8)), next(backend.predict(source, 8)))
refusals = []
for attempt in (lambda: create_backend("tensorflow", backend.setup), lambda: TrainedModel.load(".", "tensorflow")):
    try:
        attempt()
    except Exception as error:
        refusals.append(str(error))
loss = history["loss"]
steps = float(before["norm/num_batches_tracked"])
print(json.dumps([sorted(before), loss[-1] < loss[0], same, equal, steps, refusals]))
"""


def test_an_entry_point_adds_a_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "normed.py").write_text(MODULE)
    metadata = tmp_path / "normed-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: normed\nVersion: 1.0\n")
    entry = "[ptychopinn_backend.generators]\npytorch.normed = normed:Normed\n"
    (metadata / "entry_points.txt").write_text(entry)
    paths = [str(tmp_path), str(ROOT), sysconfig.get_path("purelib")]
    names, learned, same, equal, steps, refusals = run(PROGRAM, paths)
    statistics = ["norm/num_batches_tracked", "norm/running_mean", "norm/running_var"]
    assert names == ["norm/bias", "norm/kernel", *statistics, "only/bias", "only/kernel", "physics/log_scale"]
    assert learned
    assert same
    assert equal
    assert 2 <= steps <= 6
    assert len(refusals) == 2
    for refusal in refusals:
        assert "'normed' is not offered by the tensorflow backend (it is by pytorch)" in refusal
        assert "pytorch has cnn, backprojection_unet" in refusal
        assert "fno_vanilla, normed. Choose one that tensorflow has" in refusal
