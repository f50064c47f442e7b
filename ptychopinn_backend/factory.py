"""Which backend, and how to get it: a table of strings, so that choosing one never imports the other."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Final, NamedTuple, cast

from ptychopinn_backend.config import BACKENDS
from ptychopinn_backend.errors import BackendUnavailableError, ConfigError, nearest_name
from ptychopinn_backend.seam.interface import Backend, BackendSetup
from ptychopinn_backend.seam.thread_policy import threads_to_use, waiting_environment

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
}


class BackendChoice(NamedTuple):
    """A backend and who chose it."""

    name: str
    """'tensorflow' or 'pytorch'."""
    origin: str
    """'the argument', 'the environment variable PTYCHOPINN_BACKEND', 'the setting', 'the archive' or 'default'."""


def resolve_backend(explicit: str | None = None, setting: str | None = None, archive: str | None = None) -> str:
    """Return the backend to use: explicit > PTYCHOPINN_BACKEND > setting > archive > `DEFAULT_BACKEND`.

    Where nobody names one and `DEFAULT_BACKEND` is not installed, it is the one that is. One that is named is never
    replaced.

    Args:
        explicit: argument or command-line flag.
        setting: value of a settings or YAML file.
        archive: backend recorded in the archive to be opened.

    Returns:
        'tensorflow' or 'pytorch'.

    Raises:
        ConfigError: the value that decides is not a backend; names its origin and the valid ones.
    """
    return choose_backend(explicit, setting, archive).name


def choose_backend(
    explicit: str | None = None, setting: str | None = None, archive: str | None = None
) -> BackendChoice:
    """Do what `resolve_backend` does, and say who decided.

    Args:
        explicit: argument or command-line flag.
        setting: value of a settings or YAML file.
        archive: backend recorded in the archive to be opened.

    Returns:
        The backend and who chose it.

    Raises:
        ConfigError: the value that decides is not a backend; names its origin and the valid ones.
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
        if name not in BACKENDS:
            raise ConfigError(
                f"Backend {value!r} from {origin} is not one of {', '.join(BACKENDS)}.{nearest_name(name, BACKENDS)} "
                "Set it to one of these."
            )
        logger.info("Backend %s, chosen by %s.", name, origin)
        return BackendChoice(name, origin)
    others = [name for name, is_there in installed_backends().items() if is_there and name != DEFAULT_BACKEND]
    if others and not installed_backends()[DEFAULT_BACKEND]:
        logger.info("Backend %s: nobody named one, and %s is not installed.", others[0], DEFAULT_BACKEND)
        return BackendChoice(others[0], "default, the one that is installed")
    return BackendChoice(DEFAULT_BACKEND, "default")


def installed_backends() -> dict[str, bool]:
    """Return for every backend whether its framework is installed; imports none."""
    return {
        name: all(find_spec(package) is not None for package in provider.packages)
        for name, provider in _PROVIDERS.items()
    }


def require_installed(name: str) -> None:
    """Raise unless the framework of a backend is installed; imports none.

    Args:
        name: 'tensorflow' or 'pytorch'.

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
        name: 'tensorflow' or 'pytorch'.

    Returns:
        Its class.

    Raises:
        ConfigError: unknown name.
        BackendUnavailableError: its framework is not installed; says what to install.
    """
    if name not in _PROVIDERS:
        raise ConfigError(
            f"Backend {name!r} is not one of {', '.join(BACKENDS)}.{nearest_name(name, BACKENDS)} Use one of these."
        )
    provider = _PROVIDERS[name]
    # A package that is imported only to train must be missed here, not after hours of preparing data.
    require_installed(name)
    # Whoever loaded the framework before has decided how it computes.
    is_first = not any(package in sys.modules for package in provider.packages)
    if is_first:
        os.environ.update(waiting_environment(os.environ))
    try:
        module = import_module(provider.module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in provider.packages:
            raise
        raise _unavailable(provider, error.name or "") from error
    backend = cast(type[Backend], getattr(module, provider.class_name))
    threads = threads_to_use(os.environ) if is_first else None
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
        name: 'tensorflow' or 'pytorch'.
        setup: configuration and constants.

    Returns:
        The backend.

    Raises:
        ConfigError: unknown name.
        BackendUnavailableError: its framework is not installed.
        UnsupportedOptionError: an option the backend does not offer.
    """
    return backend_class(name)(setup)
