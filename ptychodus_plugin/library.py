"""The reconstructor library "PtychoPINN" as Ptychodus sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from ptychodus.api.reconstruct import ReconstructorLibrary
from ptychodus.api.settings import SettingsRegistry
from ptychodus.model.ptychopinn.enums import PtychoPINNEnumerators

from ptychodus_plugin.host_program import name_host_program
from ptychodus_plugin.reconstructor import PtychoPINNReconstructor
from ptychodus_plugin.settings import LibrarySettings
from ptychopinn_backend.archive import package_version
from ptychopinn_backend.factory import installed_backends

LOGGER_NAME: Final = "ptychopinn_backend"
"""The engine's loggers lie below it, so its messages reach the text box of the Processing view."""

logger = logging.getLogger("ptychopinn_backend.ptychodus")


class PtychoPINNLibrary(ReconstructorLibrary):
    """Replaces the host's library of the same name; its attributes keep their names."""

    def __init__(self, settings_registry: SettingsRegistry, *args: Any, **kwargs: Any) -> None:
        """Create settings and reconstructors; no framework is imported.

        Args:
            settings_registry: the host's settings.
            *args: what else the host gives.
            **kwargs: what else the host gives.
        """
        super().__init__(LOGGER_NAME)
        name_host_program()
        self.settings = LibrarySettings(settings_registry)
        self.model_settings = self.settings.model
        self.training_settings = self.settings.training
        self.inference_settings = self.settings.inference
        self.enumerators = PtychoPINNEnumerators()
        self._reconstructors = [PtychoPINNReconstructor(name, self.settings) for name in ("PINN", "Supervised")]
        found = ", ".join(f"{name} {'found' if there else 'not found'}" for name, there in installed_backends().items())
        logger.info("PtychoPINN backend %s (%s)", package_version(), found)

    @property
    def name(self) -> str:
        """Name that settings files and the view use."""
        return "PtychoPINN"

    def __iter__(self) -> Iterator[PtychoPINNReconstructor]:
        """Yield the reconstructors 'PINN' and 'Supervised'."""
        return iter(self._reconstructors)

    def close(self) -> None:
        """End the call that runs, and refuse further ones: the host is about to wait for it."""
        for reconstructor in self._reconstructors:
            reconstructor.close()

    def reconstructor(self, name: str) -> PtychoPINNReconstructor:
        """Return the reconstructor of that name, case ignored."""
        return next(item for item in self._reconstructors if item.name.casefold() == name.casefold())
