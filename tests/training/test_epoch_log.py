"""The numbers and pictures of every epoch, as files, for TensorBoard and for MLflow."""

from __future__ import annotations

import csv
import io
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.seam import epoch_log
from ptychopinn_backend.seam.epoch_log import open_log

FIRST = {"loss": [3.0], "learning_rate": [0.1]}
SECOND = {"loss": [3.0, 2.0], "learning_rate": [0.1, 0.05]}


@pytest.fixture(scope="module")
def png() -> bytes:
    stream = io.BytesIO()
    Figure(figsize=(2, 1), dpi=50).savefig(stream, format="png")
    return stream.getvalue()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_table_holds_the_whole_history_and_pictures_lie_beside_it(tmp_path: Path, png: bytes) -> None:
    open_log("csv", tmp_path).record(FIRST)
    log = open_log("csv", tmp_path)  # as a resumed run opens it
    log.record(SECOND)
    log.picture("patches", 2, png)
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["loss"]) for row in rows] == SECOND["loss"]
    assert (tmp_path / "reconstructions" / "patches-epoch0002.png").read_bytes() == png


def events(folder: Path) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_tensorboard_gets_every_series_and_images(tmp_path: Path, png: bytes) -> None:
    log = open_log("tensorboard", tmp_path)
    log.record(FIRST)
    log.record(SECOND)
    log.picture("patches", 2, png)
    assert {name.split("/")[0] for name in files(tmp_path)} == {"tensorboard"}
    first, *rest = events(tmp_path / "tensorboard")
    assert first.file_version == "brain.Event:2"
    scalars = [(event.step, value.tag, value.simple_value) for event in rest[:2] for value in event.summary.value]
    assert [item[:2] for item in scalars] == [(1, "loss"), (1, "learning_rate"), (2, "loss"), (2, "learning_rate")]
    assert [item[2] for item in scalars] == pytest.approx([3.0, 0.1, 2.0, 0.05])
    (image,) = rest[2].summary.value
    assert (rest[2].step, image.tag, image.image.width, image.image.height) == (2, "patches", 100, 50)
    assert image.image.encoded_image_string == png


def test_mlflow_keeps_one_run_a_training_in_files(tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow-skinny is an extra")
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    folder = tmp_path / "run"
    open_log("mlflow", folder).record(FIRST)
    log = open_log("mlflow", folder)  # as a resumed run opens it
    log.record(SECOND)
    log.picture("patches", 2, png)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = tracking.MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("ptychopinn").experiment_id
    (run,) = client.search_runs([experiment])
    assert [(item.step, item.value) for item in client.get_metric_history(run.info.run_id, "loss")] == [(1, 3), (2, 2)]
    assert [item.path for item in client.list_artifacts(run.info.run_id, "reconstructions")] == [
        "reconstructions/patches-epoch0002.png"
    ]
    open_log("mlflow", folder).record(FIRST)
    assert len(client.search_runs([experiment])) == 2
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("folder", [None, "run"])
def test_without_a_logger_or_a_folder_nothing_is_written(folder: str | None, tmp_path: Path, png: bytes) -> None:
    log = open_log("csv", None) if folder is None else open_log("none", tmp_path / folder)
    log.record(FIRST)
    log.picture("patches", 1, png)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_log, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"package 'tensorboard' is not installed.*\[tracking\].*set logger_backend"):
        open_log("tensorboard", tmp_path)


def test_no_framework_is_needed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from ptychopinn_backend.seam.epoch_log import open_log;"
        "open_log('tensorboard', pathlib.Path(sys.argv[1])).record({'loss': [1.0]});"
        "sys.exit(len({'torch', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0
    assert files(tmp_path)
