"""The reconstructors: the host's subprocess adapter with checked archives, readable errors and notices."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ptychodus.api.reconstruct import ReconstructInput, ReconstructOutput, TrainOutput
from ptychodus.model.processing._subprocess_protocol import ChildError
from ptychodus.model.processing.subprocess_reconstructor import (
    TAG_MODEL_SAVED,
    TAG_OUTPUT,
    TAG_TRAIN_OUTPUT,
    SubprocessReconstructor,
)

from ptychodus_plugin.child_process import run_child
from ptychodus_plugin.configuration import (
    ReconstructPayload,
    TrainPayload,
    reconstruct_payload,
    require_model,
    train_payload,
)
from ptychodus_plugin.options import decided_by
from ptychodus_plugin.settings import LibrarySettings
from ptychodus_plugin.training_folder import (
    BEST_MODEL_FILE,
    CHECKPOINT_FOLDER,
    best_model_time_ns,
    remove_temporary_files,
)
from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.errors import OutputError, PtychoPINNError, lack_of_memory, sentence_of

logger = logging.getLogger("ptychopinn_backend.ptychodus")

RECONSTRUCT_ENTRY_POINT: Final = "ptychodus_plugin.child:run_reconstruct"
TRAIN_ENTRY_POINT: Final = "ptychodus_plugin.child:run_train"
TAG_GOAL: Final = "goal"
"""Our own message: the number of epochs, which the child knows once it has seen the data."""
RECONSTRUCT_GOAL: Final = 100
"""Progress of a reconstruction is in per cent, so that the last file of a batch run always has the same name."""

FailureListener = Callable[[str, Exception], None]
"""Called with what failed ('Train' or 'Infer') and the error, in the thread that runs the task."""
ModelListener = Callable[[], None]
"""Called when another model is in use, in the thread that runs the task."""


class PtychoPINNReconstructor(SubprocessReconstructor):
    """One reconstructor; the backend is read from the settings at every call."""

    def __init__(self, name: str, settings: LibrarySettings) -> None:
        """Bind the settings to the host's adapter.

        Args:
            name: 'PINN' or 'Supervised'.
            settings: the library's settings.
        """
        super().__init__(
            name=name,
            reconstruct_entry_point=RECONSTRUCT_ENTRY_POINT,
            progress_goal_fn=self._current_goal,
            build_reconstruct_payload=self._reconstruct_payload,
            is_trainable=True,
            train_entry_point=TRAIN_ENTRY_POINT,
            build_train_payload=self._train_payload,
            model_file_filter="PtychoPINN Model (*.zip)",
            model_file_extension=".zip",
            training_data_file_filter="NumPy Zipped Archive (*.npz)",
            export_training_data=_export_training_data,
        )
        self._loaded_model_path: Path | None = None
        self._settings = settings
        self._goal = RECONSTRUCT_GOAL
        self._stop = threading.Event()
        self._failure_listeners: list[FailureListener] = []
        self._model_listeners: list[ModelListener] = []

    def add_listeners(self, on_failure: FailureListener, on_model: ModelListener) -> None:
        """Let a view hear of failed tasks and of new models.

        Args:
            on_failure: called when training or reconstruction fails.
            on_model: called when another model is in use.
        """
        self._failure_listeners.append(on_failure)
        self._model_listeners.append(on_model)

    def reconstruct(self, parameters: ReconstructInput) -> Iterator[ReconstructOutput]:
        """Reconstruct the whole scan with the loaded model in a child process.

        Args:
            parameters: counts, bad pixels and product.

        Yields:
            The product as far as it is predicted, progress in per cent; the last one is complete.

        Raises:
            PtychoPINNError: what went wrong, in one sentence.
        """
        self._goal = RECONSTRUCT_GOAL
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
        preset = decided_by(self._settings.selection(self.name.lower()).preset)
        self._goal = preset.get("nepochs", self._settings.value("Training", "NumEpochs"))
        before = self._loaded_model_path
        try:
            yield from self._readable("Train", self._train(input_path, output_path))
        finally:
            if self._loaded_model_path != before:
                self._tell_model()

    def stop(self) -> None:
        """End the call that runs, within the host's grace period; may be called from any thread.

        The host itself looks for a stop request only after an output, which a long epoch keeps it waiting for.
        """
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
        super().load_model_from_file(file_path)
        self._settings.inference.model_path.set_value(file_path)
        self._tell_model()

    def save_model(self, file_path: Path) -> None:
        """Copy the archive of the model in use.

        Args:
            file_path: where to.

        Raises:
            ConfigError: there is no model.
        """
        archive = require_model(self._model())
        if archive.resolve() != file_path.resolve():
            shutil.copyfile(archive, file_path)

    def _model(self) -> Path | None:
        if self._loaded_model_path is not None:
            return self._loaded_model_path
        named: Path = self._settings.value("Inference", "ModelPath")
        return named if named.is_file() else None

    def _reconstruct_payload(self, parameters: ReconstructInput, loaded: Path | None) -> ReconstructPayload:
        return reconstruct_payload(self._settings, self.name.lower(), parameters, self._model())

    def _reconstruct(self, parameters: ReconstructInput) -> Iterator[ReconstructOutput]:
        payload = self._reconstruct_payload(parameters, self._loaded_model_path)
        for tag, content in self._messages(RECONSTRUCT_ENTRY_POINT, payload):
            if tag == TAG_OUTPUT:
                yield content

    def _train(self, input_path: Path, output_path: Path) -> Iterator[TrainOutput]:
        payload = self._train_payload(input_path, output_path)
        earlier, told = best_model_time_ns(output_path), False
        try:
            for tag, content in self._messages(TRAIN_ENTRY_POINT, payload):
                if tag == TAG_GOAL:
                    self._goal = content
                elif tag == TAG_MODEL_SAVED:
                    self._loaded_model_path, told = Path(content), True
                elif tag == TAG_TRAIN_OUTPUT:
                    yield content
        finally:
            # A child may be killed when it has written its first model and not yet said so.
            if not told and best_model_time_ns(output_path) != earlier:
                self._loaded_model_path = output_path / CHECKPOINT_FOLDER / BEST_MODEL_FILE
            remove_temporary_files(output_path)

    def _messages(self, entry_point: str, payload: Any) -> Iterator[tuple[Any, ...]]:
        self._stop.clear()
        return run_child(entry_point, payload, self._stop)

    def _train_payload(self, input_path: Path, output_path: Path) -> TrainPayload:
        return train_payload(self._settings, self.name.lower(), input_path, output_path, self._model())

    def _current_goal(self) -> int:
        return self._goal

    def _readable(self, action: str, outputs: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from outputs
        except ChildError as error:
            cause = _explained(error.child_exception)
            if cause is None:
                self._tell_failure(action, error)
                raise
            self._tell_failure(action, cause)
            raise cause from None
        except Exception as error:
            self._tell_failure(action, error)
            raise

    def _tell_failure(self, action: str, error: Exception) -> None:
        logger.error("%s failed: %s", action, error)
        for listener in self._failure_listeners:
            listener(action, error)

    def _tell_model(self) -> None:
        for listener in self._model_listeners:
            listener()


def _explained(cause: BaseException | None) -> PtychoPINNError | None:
    if isinstance(cause, PtychoPINNError):
        return cause
    return lack_of_memory(cause) or (OutputError(sentence_of(cause)) if isinstance(cause, OSError) else None)


def _export_training_data(file_path: Path, parameters: ReconstructInput) -> None:
    from ptychodus_plugin.product import save_training_data

    save_training_data(file_path, parameters)
