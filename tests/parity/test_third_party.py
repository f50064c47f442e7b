"""A generator that somebody else registers by an entry point has one contract, and trains alike in both backends."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from tests.factory.interpreters import ROOT, run

MODULE = """
import numpy as np

class TwoLayers:
    first_kernel = "encoder/hidden/kernel"

    def __init__(self, model):
        self._channels = model.channels

    def initial_weights(self, seed):
        rng, channels = np.random.default_rng(seed), self._channels
        shapes = {"encoder/hidden/kernel": (3, 3, channels, 6), "encoder/hidden/bias": (6,)}
        shapes["out/weight"] = (3, 3, 6, channels)
        return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}

    def patches(self, inputs, weights):
        hidden = self.convolve(inputs, weights["encoder/hidden/kernel"]) + weights["encoder/hidden/bias"]
        return self.complex(self.convolve(self.tanh(hidden), weights["out/weight"]))

class ForTensorFlow(TwoLayers):
    def convolve(self, maps, kernel):
        import tensorflow as tf
        return tf.nn.conv2d(maps, kernel, 1, "SAME")

    def tanh(self, maps):
        import tensorflow as tf
        return tf.tanh(maps)

    def complex(self, maps):
        import tensorflow as tf
        return tf.complex(1 + 0.1 * tf.tanh(maps), 0.1 * maps)

class ForTorch(TwoLayers):
    def convolve(self, maps, kernel):
        import torch
        found = torch.nn.functional.conv2d(maps.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), padding="same")
        return found.permute(0, 2, 3, 1)

    def tanh(self, maps):
        return maps.tanh()

    def complex(self, maps):
        import torch
        return torch.complex(1 + 0.1 * torch.tanh(maps), 0.1 * maps)

class WithoutFactor(ForTorch):
    first_kernel = property()

class Unfinished:
    def __init__(self, model):
        pass

"""
PROGRAM = """
import numpy as np
from ptychopinn_backend.runs.trained_model import TrainedModel
options = {"architecture": "two_layers", "gridsize": 2, "nepochs": 3, "epochs_fine_tune": 1, "weight_decay": 0.1}

def built(name, architecture="two_layers"):
    model, training, execution = split_options({**options, "architecture": architecture})
    return create_backend(name, BackendSetup(model, training, execution, INTENSITY_SCALE, source.probes))

source = source_for({"gridsize": 2}, n_groups=8)
histories, patches, opened_alike = [], [], []
for name in ("tensorflow", "pytorch"):
    backend = built(name)
    histories.append(backend.fit(source).history["loss"])
    patches.append(np.concatenate(list(backend.predict(source, 8))))
    opened = TrainedModel.load(TrainedModel(backend, {}, {}).save(name + ".zip"), name).backend
    opened_alike.append(np.array_equal(next(opened.predict(source, 8)), patches[-1]))
without = built("pytorch", "without_factor")
found, expected = (b.losses(source.batch(np.arange(8)), source)["loss"] for b in (without, built("pytorch")))
refusals = []
for name, architecture in (("tensorflow", "unfinished"), ("pytorch", "unfinished"), ("tensorflow", "without_factor")):
    try:
        built(name, architecture)
    except Exception as error:
        refusals.append(type(error).__name__ + ": " + str(error))
difference = float(np.abs(patches[0] - patches[1]).max())
names = sorted(backend.weight_shapes())
print(json.dumps([names, histories, difference, opened_alike, found / expected, refusals]))
"""
ENTRIES = """
[ptychopinn_backend.generators]
tensorflow.two_layers = two_layers:ForTensorFlow
pytorch.two_layers = two_layers:ForTorch
pytorch.without_factor = two_layers:WithoutFactor
tensorflow.unfinished = two_layers:Unfinished
pytorch.unfinished = two_layers:Unfinished
"""


def test_an_entry_point_adds_a_generator_to_either_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two_layers.py").write_text(MODULE)
    metadata = tmp_path / "two_layers-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: two-layers\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    paths = [str(tmp_path), str(ROOT), sysconfig.get_path("purelib")]
    names, histories, difference, opened_alike, ratio, refusals = run(PROGRAM, paths)
    assert names == ["encoder/hidden/bias", "encoder/hidden/kernel", "out/weight", "physics/log_scale"]
    assert histories[0][-1] < histories[0][0]
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)
    assert difference < 1e-4
    assert opened_alike == [True, True]
    assert ratio == pytest.approx(1, rel=1e-5)
    for refusal in refusals[:2]:
        assert "ConfigError: architecture = 'unfinished': 'two_layers:Unfinished' makes a Unfinished" in refusal
        assert "has the methods initial_weights(seed) and patches(inputs, weights)" in refusal
    assert "'without_factor' is not offered by the tensorflow backend (it is by pytorch)" in refusals[2]
