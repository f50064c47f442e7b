"""What a run leaves beside its weights, as files, for TensorBoard or MLflow: numbers of every epoch, and pictures.

Everything lies below the folder of the run; no server is needed to write or to read it.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

from ptychopinn_backend.config.logged_runs import MODEL_FOLDER, STORE
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.files.atomic_file import atomic_file

CSV_NAME: Final = "history.csv"
PICTURE_FOLDER: Final = "reconstructions"
TENSORBOARD_FOLDER: Final = "tensorboard"
CONFIGURATION_NAME: Final = "configuration.yaml"
EXPERIMENT: Final = "ptychopinn"


class EpochLog(Protocol):
    """Takes note of epochs."""

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write the epoch that `history` ends with.

        Args:
            history: one value per epoch for each name.
        """

    def picture(self, name: str, epoch: int, png: bytes) -> None:
        """Write a picture.

        Args:
            name: what it shows.
            epoch: 1-based epoch.
            png: the file.
        """


def write_history(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """Write a history as CSV, one row per epoch.

    Args:
        history: one value per epoch for each name.
        path: the file; its folder exists.
    """
    with atomic_file(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("epoch", *history))
        for epoch, row in enumerate(zip_longest(*history.values(), fillvalue=""), start=1):
            writer.writerow((epoch, *row))


class CsvLog:
    """The whole history as a table, rewritten every epoch so that a resumed run continues it; pictures beside it."""

    def __init__(self, folder: Path) -> None:
        """Choose the place.

        Args:
            folder: where `history.csv` goes.
        """
        self._folder = folder

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write the table."""
        write_history(history, self._folder / CSV_NAME)

    def picture(self, name: str, epoch: int, png: bytes) -> None:
        """Write `reconstructions/<name>-epoch<number>.png`."""
        folder = self._folder / PICTURE_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / f"{name}-epoch{epoch:04d}.png") as file:
            file.write(png)


class TensorBoardLog:
    """Scalars and images for TensorBoard, in an event file of its own; needs neither framework."""

    def __init__(self, folder: Path) -> None:
        """Choose the place; the file is opened with the first event.

        Args:
            folder: its parent folder.
        """
        self._folder = folder / TENSORBOARD_FOLDER
        self._path: Path | None = None

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write the last value of every series."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        epoch = max(len(values) for values in history.values())
        values = [Summary.Value(tag=name, simple_value=series[-1]) for name, series in history.items()]
        self._write(epoch, Summary(value=values))

    def picture(self, name: str, epoch: int, png: bytes) -> None:
        """Write an image."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
        image = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=4)
        self._write(epoch, Summary(value=[Summary.Value(tag=name, image=image)]))

    def _write(self, step: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        events = [Event(wall_time=time.time(), step=step, summary=summary)]
        if self._path is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
            events.insert(0, Event(wall_time=time.time(), file_version="brain.Event:2"))
        # Opened for each epoch: a killed process leaves whole records, and no file stays open.
        with self._path.open("ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())


class MlflowLog:
    """A training in an MLflow store of files: metrics, images, options and the model.

    There is one run for each training, continued when that is resumed.
    """

    def __init__(self, folder: Path) -> None:
        """Choose the place; the store is opened with the first epoch.

        Args:
            folder: its parent folder.
        """
        self._folder = folder / STORE
        self._client: Any = None
        self._run = ""

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write the last value of every series."""
        epoch = max(len(values) for values in history.values())
        with _mlflow_environment():
            run = self._open(new=epoch == 1)
            for name, values in history.items():
                self._client.log_metric(run, name, values[-1], step=epoch)

    def picture(self, name: str, epoch: int, png: bytes) -> None:
        """Write an image as an artefact of the run."""
        self._keep(f"{name}-epoch{epoch:04d}.png", png, PICTURE_FOLDER)

    def configuration(self, options: Mapping[str, Any], text: str) -> None:
        """Write the options of the run, after its first epoch.

        Args:
            options: name -> value; one that a resumed run has otherwise than its earlier part stays as it was.
            text: all of them as a configuration file, kept as `configuration.yaml`.
        """
        with _mlflow_environment():
            run = self._open(new=False)
            known = self._client.get_run(run).data.params
            for name, value in options.items():
                if name not in known:
                    self._client.log_param(run, name, value)
        self._keep(CONFIGURATION_NAME, text.encode(), None)

    def model(self, archive: Path) -> None:
        """Write the model, which `load_inference_bundle("runs:/<id>")` opens.

        Args:
            archive: `wts.h5.zip`.
        """
        with _mlflow_environment():
            self._client_of_run().log_artifact(self._run, str(archive), MODEL_FOLDER)

    def _keep(self, name: str, content: bytes, place: str | None) -> None:
        with _mlflow_environment(), TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(content)
            self._client_of_run().log_artifact(self._run, str(file), place)

    def _client_of_run(self) -> Any:
        self._open(new=False)
        return self._client

    def _open(self, new: bool) -> str:
        from mlflow.tracking import MlflowClient

        if self._client is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(tracking_uri=self._folder.resolve().as_uri())
        if self._run and not new:
            return self._run
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = self._client.create_experiment(EXPERIMENT) if experiment is None else experiment.experiment_id
        runs = [] if new else self._client.search_runs([number], order_by=["attributes.start_time DESC"], max_results=1)
        self._run = (runs[0] if runs else self._client.create_run(number)).info.run_id
        return self._run


class NoLog:
    """Keeps nothing."""

    def record(self, history: Mapping[str, Sequence[float]]) -> None:
        """Do nothing."""

    def picture(self, name: str, epoch: int, png: bytes) -> None:
        """Do nothing."""


def open_log(logger_backend: str, folder: Path | None) -> EpochLog:
    """Return the log of a run; nothing is written before the first epoch.

    Args:
        logger_backend: csv, tensorboard, mlflow or none.
        folder: of the run; None writes nothing anywhere.

    Returns:
        The log.

    Raises:
        ConfigError: the package of the logger is not installed.
    """
    if folder is None or logger_backend == "none":
        return NoLog()
    if logger_backend == "csv":
        return CsvLog(folder)
    if find_spec(logger_backend) is None:
        raise ConfigError(
            f"logger_backend = '{logger_backend}', but the package '{logger_backend}' is not installed. "
            "Install it with: pip install 'ptychopinn-backend[tracking]', or set logger_backend to 'csv'."
        )
    return TensorBoardLog(folder) if logger_backend == "tensorboard" else MlflowLog(folder)


@contextmanager
def _mlflow_environment() -> Iterator[None]:
    # MLflow 3 wants a database, which its slim package lacks, and reports its use to its makers unless told not to.
    wanted = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
