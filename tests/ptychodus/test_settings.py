"""Settings: the host's keys stay, ours join them, and all of them reach the engine's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, reject
from hypothesis import settings as effort
from hypothesis import strategies as st
from ptychodus.api.settings import SettingsRegistry
from ptychodus.model.ptychopinn.settings import (
    PtychoPINNInferenceSettings,
    PtychoPINNModelSettings,
    PtychoPINNTrainingSettings,
)

from ptychodus_plugin.configuration import (
    execution_config,
    neighbor_count,
    reconstruct_payload,
    training_config,
    training_request,
)
from ptychodus_plugin.model_options import MODEL_OPTIONS
from ptychodus_plugin.options import Option, Value
from ptychodus_plugin.product import raw_data_of
from ptychodus_plugin.settings import LibrarySettings
from ptychodus_plugin.training_options import TRAINING_OPTIONS
from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.inputs import InputConfig
from ptychopinn_backend.config.presets import PRESETS
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.factory import DEFAULT_BACKEND
from ptychopinn_backend.runs.plan import RunPlan
from ptychopinn_backend.runs.planning import prepare
from ptychopinn_backend.runs.scan_input import scan_input
from tests.ptychodus.scenes import make_input


@pytest.fixture
def settings() -> LibrarySettings:
    return LibrarySettings(SettingsRegistry())


def plan_of(settings: LibrarySettings, step_px: float, init: Path | None = None) -> RunPlan:
    """What is trained on a scan with these settings."""
    scan = raw_data_of(make_input(step_px=step_px)[0])
    return prepare(training_request(settings, "pinn", InputConfig(init=init)), scan_input([scan])).plan


def host_registry() -> SettingsRegistry:
    """A registry with the host's own settings only."""
    registry = SettingsRegistry()
    for settings in (PtychoPINNModelSettings, PtychoPINNTrainingSettings, PtychoPINNInferenceSettings):
        settings(registry)
    return registry


def test_every_key_of_the_host_is_kept_with_its_default() -> None:
    ours = SettingsRegistry()
    LibrarySettings(ours)
    theirs = host_registry()
    for group in theirs:
        for key, parameter in theirs[group].parameters().items():
            assert ours[group].parameters()[key].get_value_as_string() == parameter.get_value_as_string()


def test_table_names_every_key_of_the_three_groups(settings: LibrarySettings) -> None:
    for table in settings.tables:
        assert {option.key for option in table.options} == set(table.group.parameters())
        for option in table.options:
            assert str(table.parameter(option.key).get_value()) == str(option.default)


def test_file_saved_without_the_plugin_opens_unchanged(tmp_path: Path) -> None:
    theirs = host_registry()
    theirs["PtychoPINNModel"].parameters()["GridSize"].set_value(2)
    theirs["PtychoPINNTraining"].parameters()["NumEpochs"].set_value(7)
    theirs.save_settings(tmp_path / "settings.ini")
    registry = SettingsRegistry()
    settings = LibrarySettings(registry)
    registry.open_settings(tmp_path / "settings.ini")
    assert settings.value("Model", "GridSize") == 2
    assert settings.value("Training", "NumEpochs") == 7
    assert settings.value("Model", "Backend") == DEFAULT_BACKEND == "tensorflow"


def test_new_keys_are_saved_and_restored(tmp_path: Path) -> None:
    registry = SettingsRegistry()
    settings = LibrarySettings(registry)
    settings.tables[0].parameter("Backend").set_value("pytorch")
    settings.tables[2].parameter("LearningRate").set_value(3e-4)
    registry.save_settings(tmp_path / "settings.ini")
    reopened = SettingsRegistry()
    restored = LibrarySettings(reopened)
    reopened.open_settings(tmp_path / "settings.ini")
    assert restored.value("Model", "Backend") == "pytorch"
    assert restored.value("Training", "LearningRate") == 3e-4


def any_value(option: Option) -> st.SearchStrategy[Value]:
    """Draw what the widget of an option can be set to."""
    if isinstance(option.default, bool):
        return st.booleans()
    if isinstance(option.default, str):
        return st.sampled_from(option.choices or (option.default,))
    low, high = option.minimum or 0.0, option.maximum if option.maximum is not None else 1000.0
    if isinstance(option.default, float):
        return st.floats(low, high)
    if option.power_of_two:
        return st.integers(0, 10).map(lambda power: 2**power)
    return st.integers(int(low), int(min(high, 1000)))


OPTIONS = {option.key: option for option in (*MODEL_OPTIONS, *TRAINING_OPTIONS)}


@given(
    values=st.fixed_dictionaries({}, optional={key: any_value(option) for key, option in OPTIONS.items()}),
    reconstructor=st.sampled_from(["pinn", "supervised"]),
)
@effort(max_examples=60, deadline=None)
def test_any_configuration_survives_the_settings_file(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Value], reconstructor: str
) -> None:
    registry = SettingsRegistry()
    settings = LibrarySettings(registry)
    for table in settings.tables:
        for option in table.options:
            if option.key in values and table.title != "Inference":
                table.parameter(option.key).set_value(values[option.key])
    try:
        config, execution = training_config(settings, reconstructor), execution_config(settings, reconstructor)
    except ConfigError:  # values that the engine refuses together
        reject()
    file = tmp_path_factory.mktemp("settings") / "settings.ini"
    registry.save_settings(file)
    reopened = SettingsRegistry()
    restored = LibrarySettings(reopened)
    reopened.open_settings(file)
    assert training_config(restored, reconstructor) == config
    assert execution_config(restored, reconstructor) == execution
    # The host's parameters may have clamped what was set, so they are asked for what they hold.
    if settings.selection(reconstructor).preset == "custom" and not config.is_staged:
        assert config.nepochs == settings.value("Training", "NumEpochs")
        assert execution.seed == settings.value("Training", "Seed")


def test_defaults_of_new_keys_are_those_of_the_engine(settings: LibrarySettings) -> None:
    settings.tables[0].parameter("Preset").set_value("custom")
    config = training_config(settings, "pinn")
    assert config.model == ModelConfig()
    assert execution_config(settings, "pinn") == ExecutionConfig(logger_backend="none")
    different = {
        name for name in TrainingConfig.__dataclass_fields__ if getattr(config, name) != getattr(TrainingConfig(), name)
    }
    # The host's own default of the neighbours; the seed is one setting for all that is drawn.
    assert different == {"neighbor_count", "subsample_seed"}


def test_evidence_decides_by_default_as_on_the_command_line(settings: LibrarySettings, archive: Path) -> None:
    request = training_request(settings, "pinn", InputConfig(calibrate=settings.value("Training", "Calibrate")))
    assert request.inputs.calibrate == "auto"
    parameters, _ = make_input(step_px=10.0)
    payload = reconstruct_payload(settings, "pinn", parameters, archive)
    assert (payload.calibrate, payload.polish_steps, payload.use_all_patterns) == ("auto", None, False)
    for key, value in (("Calibrate", "never"), ("PolishSteps", 0), ("UseAllPatterns", True)):
        settings.tables[1].parameter(key).set_value(value)
    payload = reconstruct_payload(settings, "pinn", parameters, archive)
    assert (payload.calibrate, payload.polish_steps, payload.use_all_patterns) == ("never", 0, True)


def test_network_to_start_from_wins_over_preset_and_settings(settings: LibrarySettings, archive: Path) -> None:
    settings.tables[0].parameter("GridSize").set_value(1)
    for preset in ("custom", "fast"):
        settings.tables[0].parameter("Preset").set_value(preset)
        config = plan_of(settings, 5.0, archive).training
        assert (config.model.architecture, config.model.gridsize, config.model.n_filters_scale) == ("cnn", 2, 1)
    n_patterns = raw_data_of(make_input(step_px=5.0)[0]).n_patterns
    assert config.groups_per_epoch == -(-n_patterns // 4)


def test_photons_are_measured_unless_set(settings: LibrarySettings) -> None:
    scan = raw_data_of(make_input(step_px=10.0)[0])
    assert plan_of(settings, 10.0).training.nphotons == scan.mean_photons
    settings.tables[2].parameter("NumPhotons").set_value(2e6)
    plan = plan_of(settings, 10.0)
    assert (plan.training.nphotons, plan.decision("nphotons").by) == (2e6, "settings")


def test_settings_reach_the_configuration(settings: LibrarySettings) -> None:
    model, _, training = settings.tables
    for table, key, value in (
        (model, "Backend", "pytorch"),
        (model, "GridSize", 2),
        (model, "ProbeMaskDiameter", 20.0),
        (model, "Accelerator", "cpu"),
        (training, "NumEpochs", 3),
        (training, "NumGroups", 200),
        (training, "Scheduler", "WarmupCosine"),
        (training, "WarmupEpochs", 2),
        (training, "GradientClipValue", 0.5),
        (training, "Seed", 11),
    ):
        table.parameter(key).set_value(value)
    config = training_config(settings, "supervised")
    assert (config.backend, config.model.model_type, config.model.gridsize) == ("pytorch", "supervised", 2)
    assert (config.nepochs, config.n_groups, config.subsample_seed) == (3, 200, 11)
    assert (config.scheduler, config.lr_warmup_epochs, config.gradient_clip_val) == ("WarmupCosine", 2, 0.5)
    execution = execution_config(settings, "supervised")
    assert (execution.accelerator, execution.seed) == ("cpu", 11)


def test_stages_have_epochs_of_their_own(settings: LibrarySettings) -> None:
    training = settings.tables[2]
    for key, value in (("NumEpochs", 7), ("StageOneEpochs", 2), ("StageThreeEpochs", 3), ("FineTuneEpochs", 1)):
        training.parameter(key).set_value(value)
    config = training_config(settings, "pinn")
    assert (config.nepochs, config.total_epochs) == (5, 6)
    assert training_config(settings, "supervised").nepochs == 7


def test_option_that_does_not_apply_keeps_the_default_of_the_engine(settings: LibrarySettings) -> None:
    settings.tables[0].parameter("ProbeMaskDiameter").set_value(20.0)
    assert training_config(settings, "pinn").model.probe_mask_diameter == 20.0
    assert training_config(settings, "supervised").model.probe_mask_diameter is None


def test_unknown_backend_names_the_valid_ones(settings: LibrarySettings) -> None:
    settings.tables[0].parameter("Backend").set_value("foo")
    with pytest.raises(ConfigError, match="'foo' from the setting is not one of tensorflow, pytorch"):
        training_config(settings, "pinn")


def test_environment_overrides_the_setting(settings: LibrarySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTYCHOPINN_BACKEND", "pytorch")
    assert training_config(settings, "pinn").backend == "pytorch"
    assert settings.selection("pinn").backend == "pytorch"


def test_batch_size_that_is_no_power_of_two_names_the_nearest(settings: LibrarySettings) -> None:
    settings.tables[2].parameter("BatchSize").set_value(12)
    with pytest.raises(ConfigError, match="Use 8 or 16"):
        training_config(settings, "pinn")


NOT_SETTINGS = {
    # The last four are for networks of other programs, and come with their archives.
    "model": {"N", "model_type", "border_maps", "border_width", "shared_decoder", "cnn_output_mode"},
    "training": {
        "model", "backend", "train_data_file", "test_data_file", "output_dir", "neighbor_count", "n_images",
        "subsample_seed", "n_subsample", "sequential_sampling", "neighbor_pool_size", "torch_loss_mode", "adam_beta1",
        "adam_beta2", "plateau_threshold",
    },
    "execution": {
        "num_nodes", "strategy", "deterministic", "num_workers", "pin_memory", "persistent_workers", "prefetch_factor",
        "enable_progress_bar", "enable_checkpointing", "checkpoint_save_top_k", "checkpoint_monitor_metric",
        "checkpoint_mode", "logger_backend",
    },
}  # fmt: skip
"""Fields the data, the reconstructor or the plugin decides, and those that only a command line has a use for."""


def test_every_option_of_the_engine_is_a_setting_or_left_out_on_purpose(settings: LibrarySettings) -> None:
    shown: dict[str, set[str]] = {"model": set(), "training": set(), "execution": set()}
    for table in settings.tables:
        for option in table.options:
            owner, _, field = option.config.partition(".")
            if owner:
                shown[owner].add(field)
    for owner, config in (("model", ModelConfig), ("training", TrainingConfig), ("execution", ExecutionConfig)):
        names = {name for name in config.__dataclass_fields__ if not name.startswith("recon_log_")}
        assert shown[owner] | NOT_SETTINGS[owner] == names


def test_preset_decides_network_and_training(settings: LibrarySettings) -> None:
    settings.tables[0].parameter("Preset").set_value("fine")
    settings.tables[0].parameter("GridSize").set_value(2)
    config = training_config(settings, "pinn")
    assert (config.model.architecture, config.model.gridsize, config.nepochs) == ("backprojection_unet", 3, 60)
    assert config.neighbor_count >= 9
    assert execution_config(settings, "pinn").learning_rate == PRESETS["fine"]["learning_rate"]
    assert training_config(settings, "supervised").model.gridsize == 2


def test_fresh_settings_train_what_suits_the_data(settings: LibrarySettings, caplog: pytest.LogCaptureFixture) -> None:
    assert settings.value("Model", "Preset") == "auto"
    config = training_config(settings, "pinn")
    assert (config.model.architecture, config.nepochs) == ("backprojection_unet", PRESETS["fast"]["nepochs"])
    with caplog.at_level("INFO", "ptychopinn_backend"):
        fitted = plan_of(settings, 5.0).training
    assert fitted.model.gridsize == 3
    assert "Preset fast chosen: " in caplog.text
    assert plan_of(settings, 16.0).training.model.gridsize == 1


def test_settings_from_before_there_were_presets_mean_what_they_say(tmp_path: Path) -> None:
    theirs = host_registry()
    theirs["PtychoPINNTraining"].parameters()["NumEpochs"].set_value(7)
    theirs.save_settings(tmp_path / "settings.ini")
    registry = SettingsRegistry()
    settings = LibrarySettings(registry)
    registry.open_settings(tmp_path / "settings.ini")
    assert settings.selection("pinn").preset == "custom"
    config = training_config(settings, "pinn")
    assert (config.model.architecture, config.nepochs, config.batch_size) == ("cnn", 7, 16)


def test_preset_is_fitted_to_the_scan(settings: LibrarySettings) -> None:
    settings.tables[0].parameter("Preset").set_value("fast")
    config = plan_of(settings, 16.0).training
    assert config.model.gridsize == 3
    assert config.groups_per_epoch == -(-raw_data_of(make_input(step_px=16.0)[0]).n_patterns // 9)


def test_unknown_preset_names_the_valid_ones(settings: LibrarySettings) -> None:
    settings.tables[0].parameter("Preset").set_value("best")
    with pytest.raises(ConfigError, match=r"Preset = 'best'.*auto.*custom.*fast.*fine"):
        training_config(settings, "pinn")


@pytest.mark.parametrize(("setting", "channels", "expected"), [(7, 1, 7), (7, 4, 7), (7, 9, 9), (0, 1, 1)])
def test_neighbours_are_raised_to_what_a_group_needs(setting: int, channels: int, expected: int) -> None:
    assert neighbor_count(setting, channels) == expected
