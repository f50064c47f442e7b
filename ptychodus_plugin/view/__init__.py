"""The library's widgets in the window; the only room that imports PyQt5."""

from ptychodus_plugin.view.factory import PtychoPINNViewFactory

__all__ = ["PtychoPINNViewFactory"]
