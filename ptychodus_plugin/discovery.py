"""Lets Ptychodus find the plugin: adds a folder of ours to those in which it looks for plugins, once it is imported.

A file in the folder of Ptychodus itself would make `import ptychodus` succeed where Ptychodus is not installed, as an
empty namespace. `ptychopinn_backend_ptychodus.pth` imports this module when Python starts, so it must stay cheap.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_FOLDER = __file__.rpartition("discovery")[0] + "host_plugins"


class PluginFinder:
    """Finds `ptychodus.plugins` as Python does, with one folder more."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module lies; None for all others than the plugins of Ptychodus.

        Args:
            name: of the module.
            path: folders of its package.
            target: as Python gives it.

        Returns:
            Its specification.
        """
        if name != "ptychodus.plugins":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.submodule_search_locations is not None:
            spec.submodule_search_locations = [*spec.submodule_search_locations, _FOLDER]
        return spec


if PluginFinder not in sys.meta_path:
    sys.meta_path.insert(0, PluginFinder)
