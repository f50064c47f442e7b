"""Which backend, and how to get it: a table of strings, so that choosing one never imports the other."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Final, NamedTuple, cast

from ptychopinn_backend.config import BACKENDS, INFERENCE_BACKENDS, ONNX
from ptychopinn_backend.data.decisions import tell
from ptychopinn_backend.errors import BackendUnavailableError, ConfigError, UnsupportedOptionError, nearest_name
from ptychopinn_backend.seam.arguments import warn_of_unused_options
from ptychopinn_backend.seam.interface import Backend, BackendSetup
from ptychopinn_backend.seam.thread_policy import Look, threads_to_use, waiting_environment

logger = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE: Final = "PTYCHOPINN_BACKEND"
DEFAULT_BACKEND: Final = "tensorflow"
"""Backend where nobody names one, on the command line, in Python and in Ptychodus (specs/decisions)."""


class _Provider(NamedTuple):
    module: str
    class_name: str
    title: str
    packages: tuple[str, ...]
    extra: str


_PROVIDERS: Final = {
    "tensorflow": _Provider(
        "ptychopinn_backend.tf_backend.backend",
        "TensorFlowBackend",
        "TensorFlow",
        ("tensorflow", "keras"),
        "tensorflow",
    ),
    "pytorch": _Provider(
        "ptychopinn_backend.torch_backend.backend", "TorchBackend", "PyTorch", ("torch", "lightning"), "torch"
    ),
    ONNX: _Provider(
        "ptychopinn_backend.onnx_backend.backend", "OnnxBackend", "ONNX Runtime", ("onnxruntime", "onnx"), "onnx"
    ),
}


class BackendChoice(NamedTuple):
    """A backend and who chose it."""

    name: str
    """'tensorflow', 'pytorch' or 'onnx'."""
    origin: str
    """'the argument', 'the environment variable PTYCHOPINN_BACKEND', 'the setting', 'the archive', 'default', or why
    another one takes the place of that."""


def resolve_backend(
    explicit: str | None = None, setting: str | None = None, archive: str | None = None, *, to_train: bool = False
) -> str:
    """Return the backend to use: explicit > PTYCHOPINN_BACKEND > setting > archive > `DEFAULT_BACKEND`.

    Where nobody names one and `DEFAULT_BACKEND` is not installed, it is the one that is. One that somebody names is
    never replaced; only for that of the archive ONNX Runtime takes over, and says so, where it alone is installed.

    Args:
        explicit: argument or command-line flag.
        setting: value of a settings or YAML file.
        archive: backend recorded in the archive to be opened.
        to_train: refuse one that only predicts.

    Returns:
        'tensorflow', 'pytorch' or 'onnx'.

    Raises:
        ConfigError: the value that decides is not a backend; names its origin and the valid ones.
        UnsupportedOptionError: it cannot train.
    """
    return choose_backend(explicit, setting, archive, to_train=to_train).name


def choose_backend(
    explicit: str | None = None, setting: str | None = None, archive: str | None = None, *, to_train: bool = False
) -> BackendChoice:
    """Do what `resolve_backend` does, and say who decided.

    Args:
        explicit: argument or command-line flag.
        setting: value of a settings or YAML file.
        archive: backend recorded in the archive to be opened.
        to_train: refuse one that only predicts.

    Returns:
        The backend and who chose it.

    Raises:
        ConfigError: the value that decides is not a backend; names its origin and the valid ones.
        UnsupportedOptionError: it cannot train.
    """
    candidates = (
        ("the argument", explicit),
        (f"the environment variable {ENVIRONMENT_VARIABLE}", os.environ.get(ENVIRONMENT_VARIABLE)),
        ("the setting", setting),
        ("the archive", archive),
    )
    for origin, value in candidates:
        if value is None or value == "":
            continue
        name = value.strip().lower()
        _require_backend(name, f"{value!r} from {origin}", BACKENDS if to_train else INFERENCE_BACKENDS)
        if origin == "the archive":
            name, origin = _standing_in(name)
        logger.info("Backend %s, chosen by %s.", name, origin)
        return BackendChoice(name, origin)
    installed = installed_backends()
    others = [name for name in BACKENDS if installed[name] and name != DEFAULT_BACKEND]
    if others and not installed[DEFAULT_BACKEND]:
        logger.info("Backend %s: nobody named one, and %s is not installed.", others[0], DEFAULT_BACKEND)
        return BackendChoice(others[0], "default, the one that is installed")
    return BackendChoice(DEFAULT_BACKEND, "default")


def _require_backend(name: str, said: str, valid: tuple[str, ...]) -> None:
    if name in valid:
        return
    if name == ONNX:
        raise UnsupportedOptionError(
            f"Backend {said} only predicts: it cannot train. Set it to {' or '.join(valid)} to train; their models "
            "open in it afterwards."
        )
    raise ConfigError(
        f"Backend {said} is not one of {', '.join(valid)}.{nearest_name(name, valid)} Set it to one of these."
    )


def _standing_in(name: str) -> tuple[str, str]:
    """Return the backend of an archive, or ONNX Runtime where that alone is there, and who chose it."""
    installed = installed_backends()
    if installed[name] or not installed[ONNX]:
        return name, "the archive"
    title = _PROVIDERS[name].title
    tell([f"The model is one of {title}, which is not installed: ONNX Runtime takes its place. --backend chooses."])
    return ONNX, f"the archive, whose {title} is not installed"


def installed_backends() -> dict[str, bool]:
    """Return for every backend whether its framework is installed; imports none."""
    return {
        name: all(find_spec(package) is not None for package in provider.packages)
        for name, provider in _PROVIDERS.items()
    }


def require_installed(name: str) -> None:
    """Raise unless the framework of a backend is installed; imports none.

    Args:
        name: 'tensorflow', 'pytorch' or 'onnx'.

    Raises:
        BackendUnavailableError: says what to install.
    """
    provider = _PROVIDERS[name]
    missing = [package for package in provider.packages if find_spec(package) is None]
    if missing:
        raise _unavailable(provider, missing[0])


def backend_class(name: str) -> type[Backend]:
    """Import a backend.

    Args:
        name: 'tensorflow', 'pytorch' or 'onnx'.

    Returns:
        Its class.

    Raises:
        ConfigError: unknown name.
        BackendUnavailableError: its framework is not installed; says what to install.
    """
    if name not in _PROVIDERS:
        raise ConfigError(
            f"Backend {name!r} is not one of {', '.join(INFERENCE_BACKENDS)}."
            f"{nearest_name(name, INFERENCE_BACKENDS)} Use one of these."
        )
    provider = _PROVIDERS[name]
    # A package that is imported only to train must be missed here, not after hours of preparing data.
    require_installed(name)
    # Whoever loaded the framework before has decided how it computes.
    is_first = not any(package in sys.modules for package in provider.packages)
    look = Look() if is_first else None
    if is_first:
        os.environ.update(waiting_environment(os.environ))
    try:
        module = import_module(provider.module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in provider.packages:
            raise
        raise _unavailable(provider, error.name or "") from error
    backend = cast(type[Backend], getattr(module, provider.class_name))
    threads = None if look is None else threads_to_use(os.environ, look)
    if threads is not None:
        logger.debug("%s computes with %d thread(s).", provider.title, threads)
        backend.use_threads(threads)
    return backend


def fast_transforms(*, load: bool = False) -> AbstractContextManager[None]:
    """Return a context in which `scipy.fft` computes with PyTorch's transforms, three times as fast as its own.

    Args:
        load: load PyTorch for it where it is installed; else only where it is loaded already.

    Returns:
        The context; it changes nothing where PyTorch is not to be had.
    """
    loaded = "torch" in sys.modules
    if not loaded and not (load and installed_backends()["pytorch"]):
        return nullcontext()
    import scipy.fft

    backend_class("pytorch")
    transforms = import_module("ptychopinn_backend.torch_backend.transforms").TorchTransforms
    return cast(AbstractContextManager[None], scipy.fft.set_backend(transforms))


def _unavailable(provider: _Provider, package: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"{provider.title} backend selected, but the package '{package}' is not installed. "
        f"Install it with: pip install 'ptychopinn-backend[{provider.extra}]', or select another backend."
    )


def create_backend(name: str, setup: BackendSetup) -> Backend:
    """Build a backend with freshly initialised weights.

    Args:
        name: 'tensorflow', 'pytorch' or 'onnx'.
        setup: configuration and constants.

    Returns:
        The backend.

    Raises:
        ConfigError: unknown name.
        BackendUnavailableError: its framework is not installed.
        UnsupportedOptionError: an option the backend does not offer.

    Warns:
        UserWarning: an option that has no effect with this backend.
    """
    backend = backend_class(name)
    warn_of_unused_options(setup.execution, name)
    return backend(setup)
