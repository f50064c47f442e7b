"""The reconstructors: each call works in a process of its own, with checked archives, readable errors and notices."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from ptychodus.api.reconstruct import ReconstructInput, ReconstructOutput, TrainableReconstructor, TrainOutput

from ptychodus_plugin.configuration import reconstruct_payload, require_model, train_payload
from ptychodus_plugin.devices import visible_environment
from ptychodus_plugin.messages import (
    RECONSTRUCT_GOAL,
    Begun,
    Chosen,
    Failed,
    FreeFits,
    Goal,
    Judged,
    ModelChanged,
    ModelSaved,
    in_words,
)
from ptychodus_plugin.options import decided_by
from ptychodus_plugin.product_checks import check_product
from ptychodus_plugin.settings import LibrarySettings
from ptychodus_plugin.training_folder import (
    BEST_MODEL_FILE,
    CHECKPOINT_FOLDER,
    best_model_time_ns,
    remove_temporary_files,
)
from ptychopinn_backend.archive import is_foreign, read_archive, read_metadata, write_archive
from ptychopinn_backend.errors import OutputError, PtychoPINNError, lack_of_memory, sentence_of
from ptychopinn_backend.seam.child_process import ChildProcess, ParentLink
from ptychopinn_backend.seam.process_rank import environment

logger = logging.getLogger("ptychopinn_backend.ptychodus")

MODEL_FILE_FILTER: Final = "PtychoPINN Model (*.zip *.ckpt *.onnx)"
"""Of the window's file dialogs: archives, and checkpoints of the host's other PtychoPINN library."""
Notice: TypeAlias = Begun | Failed | ModelChanged | Chosen | FreeFits | Judged | TrainOutput
Listener: TypeAlias = Callable[[Notice], None]
"""Called in the thread that runs the task."""


class PtychoPINNReconstructor(TrainableReconstructor):
    """One reconstructor; the backend is read from the settings at every call."""

    def __init__(self, name: str, settings: LibrarySettings) -> None:
        """Bind the settings.

        Args:
            name: 'PINN' or 'Supervised'.
            settings: the library's settings.
        """
        super().__init__()
        self._name = name
        self._archive: Path | None = None
        self._settings = settings
        self._goal = RECONSTRUCT_GOAL
        self._stop = threading.Event()
        self._closing = False
        self._listeners: list[Listener] = []
        self._offered: ReconstructInput | None = None

    @property
    def name(self) -> str:
        """Name that settings files and the view use."""
        return self._name

    def get_progress_goal(self) -> int:
        """Return the epochs of a training, or 100 for a reconstruction."""
        return self._goal

    def get_model_file_filter(self) -> str:
        """Return what the host's dialogs show of models."""
        return MODEL_FILE_FILTER

    def get_model_file_extension(self) -> str:
        """Return the suffix of a model."""
        return ".zip"

    def get_training_data_file_filter(self) -> str:
        """Return what the host's dialogs show of training data."""
        return "NumPy Zipped Archive (*.npz)"

    def add_listener(self, listener: Listener) -> None:
        """Let a view hear of failed tasks, new models, losses, what the preset became, and how good results are.

        Args:
            listener: called with each.
        """
        self._listeners.append(listener)

    def offer(self, parameters: ReconstructInput) -> None:
        """Take the product that is chosen while *Train* is pressed, which the host does not pass on.

        Args:
            parameters: counts, bad pixels and product; the next training may train on them.
        """
        self._offered = parameters

    def reconstruct(self, parameters: ReconstructInput) -> Iterator[ReconstructOutput]:
        """Reconstruct the whole scan with the loaded model in a child process.

        Args:
            parameters: counts, bad pixels and product.

        Yields:
            The product as far as it is predicted, progress in per cent; the last one is complete.

        Raises:
            PtychoPINNError: what went wrong, in one sentence.
        """
        self._begin()
        self._goal = RECONSTRUCT_GOAL
        self._tell(Begun())
        yield from self._readable("Infer", self._reconstruct(parameters))

    def train(self, input_path: Path, output_path: Path) -> Iterator[TrainOutput]:
        """Train a model in a child process; it is in use afterwards.

        Args:
            input_path: folder with the training data.
            output_path: folder for the model.

        Yields:
            Both loss curves and the epochs done, after every epoch.

        Raises:
            PtychoPINNError: what went wrong, in one sentence.
        """
        self._begin()
        offered, self._offered = self._offered, None
        preset = decided_by(self._settings.selection(self.name.lower()).preset)
        self._goal = preset.get("nepochs", self._settings.value("Training", "NumEpochs"))
        before = self._archive
        try:
            yield from self._readable("Train", self._train(input_path, output_path, offered))
        finally:
            if self._archive != before:
                self._tell(ModelChanged())

    def stop(self) -> None:
        """End the call that runs, within the grace period of its process; may be called from any thread.

        The host itself looks for a stop request only after an output, which a long epoch keeps it waiting for.
        """
        self._stop.set()

    def close(self) -> None:
        """End the call that runs, and refuse further ones: the host ends.

        It would wait, without a window, until the last epoch.
        """
        self._closing = True
        self._stop.set()

    def is_model_loaded(self) -> bool:
        """Return whether a model was trained, loaded, or is named by the setting ModelPath."""
        return self._model() is not None

    def load_model_from_file(self, file_path: Path) -> None:
        """Use a model that either backend trained.

        Args:
            file_path: the archive.

        Raises:
            ArchiveError: it is not an archive of ours, or cannot be used; the message says what it is.
        """
        try:
            metadata = read_metadata(file_path)
        except PtychoPINNError as error:
            # The window shows the error too; a batch run of the host ends with a traceback, and needs the sentence.
            logger.error("Load failed: %s", error)
            raise
        model = metadata["model"]
        logger.info(
            "Model %s: trained with %s as %s, %d x %d patterns, grid size %d.",
            file_path.name,
            metadata["backend"],
            model["model_type"],
            model["N"],
            model["N"],
            model["gridsize"],
        )
        self._archive = file_path
        self._settings.parameter("Inference", "ModelPath").set_value(file_path)
        self._tell(ModelChanged())

    def save_model(self, file_path: Path) -> None:
        """Write the archive of the model in use; a model of another program becomes one of ours.

        Args:
            file_path: where to.

        Raises:
            ConfigError: there is no model.
        """
        archive = require_model(self._model())
        if archive.resolve() == file_path.resolve():
            return
        if is_foreign(archive):
            write_archive(file_path, read_archive(archive))
        else:
            shutil.copyfile(archive, file_path)

    def export_training_data(self, file_path: Path, parameters: ReconstructInput) -> None:
        """Write a scan as training data.

        Args:
            file_path: NPZ file to write.
            parameters: counts, bad pixels and product.
        """
        from ptychodus_plugin.product import save_training_data

        save_training_data(file_path, parameters)

    def _begin(self) -> None:
        """Forget what stopped an earlier call; a stop from now on counts, before there is a child too."""
        self._stop.clear()
        if self._closing:
            self._stop.set()

    def _model(self) -> Path | None:
        if self._archive is not None:
            return self._archive
        named: Path = self._settings.value("Inference", "ModelPath")
        return named if named.is_file() else None

    def _reconstruct(self, parameters: ReconstructInput) -> Iterator[ReconstructOutput]:
        from ptychodus_plugin.child import run_reconstruct

        check_product(parameters.product)
        payload = reconstruct_payload(self._settings, self.name.lower(), parameters, self._model())
        for message in self._messages(run_reconstruct, payload):
            if isinstance(message, Judged):
                logger.info("%s", in_words(message))
                self._tell(message)
            else:
                yield message

    def _train(self, input_path: Path, output_path: Path, offered: ReconstructInput | None) -> Iterator[TrainOutput]:
        from ptychodus_plugin.child import run_train

        kind = self.name.lower()
        payload = train_payload(self._settings, kind, input_path, output_path, self._model(), offered)
        earlier, told = best_model_time_ns(output_path), False
        try:
            for message in self._messages(run_train, payload):
                if isinstance(message, Goal):
                    self._goal = message.n_epochs
                elif isinstance(message, ModelSaved):
                    self._archive, told = message.archive, True
                else:
                    self._tell(message)
                    if not isinstance(message, Chosen | FreeFits):
                        yield message
        finally:
            # A child may be killed when it has written its first model and not yet said so.
            if not told and best_model_time_ns(output_path) != earlier:
                self._archive = output_path / CHECKPOINT_FOLDER / BEST_MODEL_FILE
            remove_temporary_files(output_path)

    def _messages(self, work: Callable[[ParentLink], None], payload: Any) -> Iterator[Any]:
        if self._stop.is_set():
            return
        with environment(visible_environment(self._settings.value("Model", "VisibleDevices"))):
            child = ChildProcess(work)
        try:
            if child.give(payload, self._stop):
                yield from child.messages(self._stop)
        finally:
            child.end()

    def _readable(self, action: str, outputs: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from outputs
        except Exception as error:
            explained = _explained(error)
            self._tell_failure(action, explained)
            if explained is error:
                raise
            raise explained from None

    def _tell_failure(self, action: str, error: Exception) -> None:
        logger.error("%s failed: %s", action, error)
        self._tell(Failed(action, error))

    def _tell(self, notice: Notice) -> None:
        for listener in self._listeners:
            listener(notice)


def _explained(cause: Exception) -> Exception:
    if isinstance(cause, PtychoPINNError):
        return cause
    return lack_of_memory(cause) or (OutputError(sentence_of(cause)) if isinstance(cause, OSError) else cause)
