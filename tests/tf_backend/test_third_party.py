"""A generator that somebody else registers by an entry point trains like a built-in one."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from tests.factory.interpreters import ROOT, run

MODULE = """
import numpy as np
import tensorflow as tf

class OneKernel:
    def __init__(self, model):
        self._channels = model.channels

    def initial_weights(self, seed):
        kernel = np.random.default_rng(seed).normal(size=(3, 3, self._channels, self._channels))
        return {"only/kernel": kernel.astype(np.float32)}

    def patches(self, inputs, weights):
        maps = tf.nn.conv2d(inputs, weights["only/kernel"], 1, "SAME")
        return tf.complex(1 + 0.1 * tf.tanh(maps), 0.1 * maps)
"""
PROGRAM = """
model, training, execution = split_options({"architecture": "one_kernel", "gridsize": 2, "nepochs": 3})
source = source_for({"gridsize": 2}, n_groups=8)
backend = create_backend("tensorflow", BackendSetup(model, training, execution, INTENSITY_SCALE, source.probes))
history = backend.fit(source).history["loss"]
try:
    create_backend("pytorch", backend.setup)
except Exception as error:
    refusal = str(error)
print(json.dumps([sorted(backend.weight_shapes()), history[-1] < history[0], refusal]))
"""


def test_an_entry_point_adds_a_generator(tmp_path: Path) -> None:
    (tmp_path / "one_kernel.py").write_text(MODULE)
    metadata = tmp_path / "one_kernel-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: one-kernel\nVersion: 1.0\n")
    entry = "[ptychopinn_backend.config.generators]\ntensorflow.one_kernel = one_kernel:OneKernel\n"
    (metadata / "entry_points.txt").write_text(entry)
    names, learned, refusal = run(PROGRAM, [str(tmp_path), str(ROOT), sysconfig.get_path("purelib")])
    assert names == ["only/kernel", "physics/log_scale"]
    assert learned
    assert "'one_kernel' is not offered by the pytorch backend (it is by tensorflow)" in refusal
