"""The numbers of every epoch, as a table or for TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.util.event_pb2 import Event

from tests.tf_backend.runs import fitted


def test_the_table_holds_the_history_of_interrupted_and_resumed_runs(tmp_path: Path) -> None:
    fitted(tmp_path, nepochs=2)
    _, result = fitted(tmp_path, nepochs=3, resume=True)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for name, values in result.history.items():
        assert [float(row[name]) for row in rows] == values


def test_tensorboard_gets_every_series(tmp_path: Path) -> None:
    _, result = fitted(tmp_path, nepochs=2, logger_backend="tensorboard")
    (events,) = (tmp_path / "tensorboard").iterdir()
    found: dict[str, list[float]] = {}
    for record in tf.data.TFRecordDataset(str(events)):
        for value in Event.FromString(record.numpy()).summary.value:
            found.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    assert found.keys() == result.history.keys()
    for name, values in result.history.items():
        assert found[name] == pytest.approx(values, rel=1e-6)
    assert not (tmp_path / "metrics.csv").exists()


def test_no_log_leaves_checkpoints_only(tmp_path: Path) -> None:
    fitted(tmp_path, nepochs=1, logger_backend="none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-epoch0001.npz", "last.npz"]
