"""What a drop-down list offers, and what it says about choices that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ptychodus_plugin.devices import ALL, are_devices, known_devices
from ptychodus_plugin.options import CUSTOM, Option, Selection
from ptychopinn_backend.config import INFERENCE_BACKENDS, ONNX
from ptychopinn_backend.config.generators import backends_of, offers
from ptychopinn_backend.config.presets import AUTO
from ptychopinn_backend.factory import installed_backends

BACKEND_TITLES: Final = {"tensorflow": "TensorFlow", "pytorch": "PyTorch", ONNX: "ONNX Runtime"}
_EXTRAS: Final = {"tensorflow": "tensorflow", "pytorch": "torch", ONNX: "onnx"}

_ABOUT_ONNX: Final = "Reconstructs with a model that TensorFlow or PyTorch trained, without either; it cannot train."


@dataclass(frozen=True)
class Choice:
    """One entry of a drop-down list."""

    value: str
    """What the settings file holds."""
    text: str
    """What the user reads."""
    help: str = ""
    """Tool tip of the entry."""
    usable: bool = True
    """Whether the user may pick it."""


def choices_of(option: Option, value: str, selection: Selection) -> list[Choice]:
    """Return the entries for an option; a present value that is not valid is appended and says so.

    Args:
        option: an option with choices.
        value: its present value.
        selection: the choices in force, which decide what can be used.

    Returns:
        The entries in the order of the table.
    """
    if option.key == "Backend":
        choices = _backends()
    elif option.key == "Preset":
        choices = [_preset(name, selection) for name in option.choices]
    elif option.key == "VisibleDevices":
        choices = _devices(selection.backend, value)
    elif option.key == "Architecture":
        choices = [_architecture(name, selection.backend) for name in option.choices]
    else:
        choices = [_plain(name, option, selection.backend) for name in option.choices]
    if value not in {choice.value for choice in choices}:
        valid = ", ".join(option.choices)
        choices.append(Choice(value, f"{value} (unknown)", f"Not one of {valid}.", usable=False))
    return choices


def _backends() -> list[Choice]:
    choices = []
    for name, installed in installed_backends().items():
        title, only = BACKEND_TITLES[name], ["inference only"] if name == ONNX else []
        if installed:
            choices.append(Choice(name, _noted(title, only), _ABOUT_ONNX if name == ONNX else ""))
        else:
            remedy = f"Install it with: pip install 'ptychopinn-backend[{_EXTRAS[name]}]'"
            choices.append(Choice(name, _noted(title, [*only, "not installed"]), remedy, usable=False))
    return choices


def _noted(title: str, notes: list[str]) -> str:
    return f"{title} ({', '.join(notes)})" if notes else title


def _devices(backend: str, value: str) -> list[Choice]:
    """Return all devices, and each by its name once it is known."""
    title = BACKEND_TITLES.get(backend, backend)
    choices = [Choice(ALL, "all")]
    names = known_devices(backend)
    if names is None:
        choices.append(Choice("?", f"(asking {title} for its devices)", usable=False))
    elif not names:
        choices.append(Choice("?", f"(no GPU that {title} sees)", usable=False))
    else:
        choices += [Choice(str(number), f"{number}: {name}") for number, name in enumerate(names)]
    if are_devices(value) and value not in {choice.value for choice in choices}:
        choices.append(Choice(value, value, "Of the settings file."))
    return choices


def _preset(name: str, selection: Selection) -> Choice:
    if name == AUTO and selection.preset == CUSTOM:
        return Choice(
            name,
            "auto (own options)",
            "An option differs from its default, so yours are used. Choose 'fast' or 'fine' to have them decided.",
        )
    return Choice(name, name)


def _architecture(name: str, backend: str) -> Choice:
    return Choice(name, name) if offers(backend, name) else _refused(name, backend, backends_of(name))


def _plain(name: str, option: Option, backend: str) -> Choice:
    offered = option.offered_by.get(name, INFERENCE_BACKENDS)
    # A backend that is unknown is told where it is chosen.
    is_refused = backend in INFERENCE_BACKENDS and backend not in offered
    return _refused(name, backend, offered) if is_refused else Choice(name, name)


def _refused(name: str, backend: str, offered: tuple[str, ...]) -> Choice:
    title = BACKEND_TITLES.get(backend, backend)
    others = ", ".join(BACKEND_TITLES.get(other, other) for other in offered)
    return Choice(name, f"{name} (not with {title})", f"Offered by {others}.", usable=False)
