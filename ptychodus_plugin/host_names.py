"""All names of Ptychodus this package uses; they, and not a version, decide whether it can be put into one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import FunctionType, MappingProxyType
from typing import Any, Final

TESTED: Final = ("1.6.0", "1.7.0")
"""Versions every release of this package is tested with."""

LIBRARY_NAMES: Final = (
    "ptychodus.model.core:PtychoPINNReconstructorLibrary(settings_registry, ...)",
    "ptychodus.model.core:ModelCore.__exit__",
    "ptychodus.model.core:ModelCore#ptychopinn_reconstructor_library",
    "ptychodus.model.ptychopinn.settings:PtychoPINNModelSettings(registry)",
    "ptychodus.model.ptychopinn.settings:PtychoPINNTrainingSettings(registry)",
    "ptychodus.model.ptychopinn.settings:PtychoPINNInferenceSettings(registry)",
    "ptychodus.model.ptychopinn.enums:PtychoPINNEnumerators",
    "ptychodus.api.settings:SettingsRegistry.__getitem__",
    "ptychodus.api.settings:SettingsRegistry.__iter__",
    "ptychodus.api.settings:SettingsRegistry.create_group(name)",
    "ptychodus.api.observer:Observable.add_observer(observer)",
    "ptychodus.api.observer:Observer",
    "ptychodus.api.observer:Observer._update(observable)",
    "ptychodus.api.parameters:ParameterGroup.create_boolean_parameter(name, value)",
    "ptychodus.api.parameters:ParameterGroup.create_integer_parameter(name, value, minimum, maximum)",
    "ptychodus.api.parameters:ParameterGroup.create_real_parameter(name, value, minimum, maximum)",
    "ptychodus.api.parameters:ParameterGroup.create_path_parameter(name, value)",
    "ptychodus.api.parameters:ParameterGroup.create_string_parameter(name, value)",
    "ptychodus.api.parameters:ParameterGroup.parameters",
    "ptychodus.api.parameters:Parameter.get_value",
    "ptychodus.api.parameters:Parameter.set_value(value)",
    "ptychodus.api.reconstruct:ReconstructInput(diffraction_patterns, bad_pixels, product)",
    "ptychodus.api.reconstruct:ReconstructOutput(product, progress)",
    "ptychodus.api.reconstruct:TrainOutput(training_loss, validation_loss, progress)",
    "ptychodus.api.reconstruct:TrainableReconstructor",
    "ptychodus.api.reconstruct:ReconstructorLibrary(logger_name)",
    "ptychodus.api.object:Object(array, pixel_geometry, center)",
    "ptychodus.api.object:Object.get_geometry",
    "ptychodus.api.object:Object.get_layer(number)",
    "ptychodus.api.object:Object.get_pixel_geometry",
    "ptychodus.api.object:Object.get_center",
    "ptychodus.api.object:Object.num_layers",
    "ptychodus.api.object:Object.height_px",
    "ptychodus.api.object:Object.width_px",
    "ptychodus.api.object:ObjectGeometry.map_coordinates_probe_to_object(position)",
    "ptychodus.api.probe:ProbeSequence(array, opr_weights, pixel_geometry)",
    "ptychodus.api.probe:ProbeSequence.get_array",
    "ptychodus.api.probe:ProbeSequence.get_opr_weights_or_none",
    "ptychodus.api.probe:ProbeSequence.get_pixel_geometry",
    "ptychodus.api.probe_positions:ProbePosition(index, x_m, y_m)",
    "ptychodus.api.probe_positions:ProbePositionSequence",
    "ptychodus.api.product:LossValue(epoch, value)",
    "ptychodus.api.product:Product(metadata, probe_positions, probes, object_, losses)",
)
"""Used without a window.

An entry is 'module:name(parameters that are given)'. '(a, b, ...)' are the first ones of a class that one of ours
stands in for; 'Class#attribute' is one of its instances.
"""

TASK_NAMES: Final = (
    "ptychodus.model.processing.api:TrainBackgroundTask(trainer, reconstruct_input)",
    "ptychodus.model.processing.monitor:TrainBackgroundTask.__call__",
)
"""Used to train on the product that is chosen; without them a folder is trained on."""

VIEW_NAMES: Final = (
    "ptychodus.api.observer:Observable.add_observer(observer)",
    "ptychodus.api.observer:Observer",
    "ptychodus.api.observer:Observer._update(observable)",
    "ptychodus.controller.core:PtychoPINNViewControllerFactory(model, file_dialog_factory, ...)",
    "ptychodus.controller.ptychopinn:PtychoPINNViewControllerFactory",
    "ptychodus.controller.data:FileDialogFactory",
    "ptychodus.controller.parameters:CheckBoxParameterViewController(parameter, text, tool_tip)",
    "ptychodus.controller.parameters:DecimalLineEditParameterViewController(parameter, tool_tip)",
    "ptychodus.controller.parameters:DecimalSliderParameterViewController(parameter, tool_tip)",
    "ptychodus.controller.parameters:PowerTwoSpinBoxParameterViewController(parameter, tool_tip)",
    "ptychodus.controller.parameters:SpinBoxParameterViewController(parameter, tool_tip)",
    (
        "ptychodus.controller.parameters:PathParameterViewController.create_file_opener"
        "(parameter, caption, name_filters, tool_tip)"
    ),
    "ptychodus.controller.parameters:ParameterViewBuilder(file_dialog_factory)",
    "ptychodus.controller.parameters:ParameterViewBuilder.add_view_controller(view_controller, label, group)",
    "ptychodus.controller.parameters:ParameterViewBuilder.build_widget",
    "ptychodus.controller.parameters:ParameterViewController",
    "ptychodus.controller.parameters:ParameterViewController.get_widget",
    "ptychodus.view.processing:ProcessingActionsView#reconstruct_button",
    "ptychodus.view.processing:ProcessingStatusView#stop_button",
    "ptychodus.view.processing:ProcessingStatusView#axes",
    "ptychodus.view.processing:ProcessingStatusView#figure_canvas",
    "ptychodus.view.processing:ProcessingStatusView.widget",
    "ptychodus.view.widgets:ExceptionDialog.show_exception",
)
"""Used by the widgets; looking at them imports PyQt5."""

FORESIGHT_NAMES: Final = (
    "ptychodus.controller.core:ProcessingController(product_repository, view, view_controller_factories)",
    "ptychodus.controller.processing:ProcessingController",
    "ptychodus.controller.product.core:ProductRepositoryComboProxyModel",
    "ptychodus.model.product:ProductRepository.__getitem__",
    "ptychodus.model.product:ProductRepository.__len__",
    "ptychodus.model.product:ProductRepositoryItem.get_dataset",
    "ptychodus.model.product:ProductRepositoryItem.get_product",
    "ptychodus.model.product:ProductRepositoryItem.is_failed",
    "ptychodus.model.product:ProductRepositoryItem.is_pending",
    "ptychodus.model.diffraction.dataset:AssembledDiffractionDataset.get_assembled_data",
    "ptychodus.api.assemble:AssembledDiffractionData.get_bad_pixels",
    "ptychodus.api.assemble:AssembledDiffractionData.get_indexes",
    "ptychodus.api.assemble:AssembledDiffractionData.get_pattern(index)",
    "ptychodus.api.assemble:AssembledDiffractionData.get_patterns_shape",
)
"""Used to show what 'auto' would choose for the chosen product; without them a training says it."""

READER_NAMES: Final = (
    "ptychodus.api.diffraction:DiffractionArray",
    "ptychodus.api.diffraction:DiffractionDataset",
    "ptychodus.api.plugins:PluginChooser",
    "ptychodus.api.plugins:PluginRegistry.load_plugins",
)
"""Used where scans are read with the readers of the host, on the command line."""

_ANSWERED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "TrainableReconstructor": frozenset(
            [
                "name",
                "get_progress_goal",
                "reconstruct",
                "is_model_loaded",
                "get_model_file_filter",
                "load_model_from_file",
                "save_model",
                "train",
                "get_model_file_extension",
                "get_training_data_file_filter",
                "export_training_data",
            ]
        ),
        "ReconstructorLibrary": frozenset(["name", "__iter__"]),
        "PtychoPINNViewControllerFactory": frozenset(["name", "create_view_controller"]),
        "ParameterViewController": frozenset(["get_widget"]),
        "Observer": frozenset(["_update"]),
    }
)
"""Class that one of ours derives from -> what the host may ask of it, as far as this package answers."""


def host_version() -> str:
    """Return the version of the installed Ptychodus, for messages."""
    try:
        return version("ptychodus")
    except PackageNotFoundError:
        return "unknown"


def what_is_missing(names: tuple[str, ...]) -> str:
    """Return which name the installed Ptychodus lacks.

    Args:
        names: as in the tables above.

    Returns:
        The first that is missing, or has not the parameters that are given, in words; '' where all are there.
    """
    return next(filter(None, map(_missing, names)), "")


def _missing(entry: str) -> str:
    module, _, rest = entry.partition(":")
    whole, _, given = rest.partition("(")
    path, _, attribute = whole.partition("#")
    try:
        found: Any = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError):
        return f"{module} has no {path}"
    if attribute and not _has_instances_with(found, attribute):
        return f"{module}.{path} has no attribute '{attribute}'"
    wanted = [name.strip() for name in given.rstrip(")").split(",") if name.strip()]
    parameters = list(inspect.signature(found).parameters) if wanted else []
    if wanted[-1:] == ["..."]:
        wanted.pop()
        if parameters[: len(wanted)] != wanted:
            return f"{module}.{path} takes {_listed(parameters)}, and not {_listed(wanted)} first"
    for name in wanted:
        if name not in parameters:
            return f"{module}.{path} takes no '{name}'"
    further = sorted(getattr(found, "__abstractmethods__", frozenset()) - _ANSWERED.get(path, frozenset()))
    if path in _ANSWERED and further:
        return f"{module}.{path} asks for {_listed(further)}, which this version of ptychopinn-backend does not know"
    return ""


def _has_instances_with(found: type, attribute: str) -> bool:
    """Return whether the code of a class names an attribute, which no class shows that sets it in its instances."""
    if hasattr(found, attribute):
        return True
    values = (value for kind in found.__mro__ for value in vars(kind).values())
    return any(attribute in value.__code__.co_names for value in values if isinstance(value, FunctionType))


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"
