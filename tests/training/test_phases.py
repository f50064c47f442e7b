"""Rules of the configuration of stages and fine-tuning."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ptychopinn_backend.config import ModelConfig, TrainingConfig
from ptychopinn_backend.errors import ConfigError, UnsupportedOptionError
from ptychopinn_backend.networks.cnn import cnn_plan
from ptychopinn_backend.networks.encoder import encoder_weights


def test_epochs_are_the_sum_of_the_stages() -> None:
    training = TrainingConfig(stage_1_epochs=2, stage_2_epochs=3, stage_3_epochs=4, epochs_fine_tune=5)
    assert (training.nepochs, training.total_epochs, training.is_staged) == (9, 14, True)
    assert TrainingConfig(stage_1_epochs=2, stage_3_epochs=4, nepochs=6).nepochs == 6
    assert dataclasses.replace(training, epochs_fine_tune=0).total_epochs == 9
    plain = TrainingConfig(nepochs=7, epochs_fine_tune=1)
    assert (plain.nepochs, plain.total_epochs, plain.is_staged) == (7, 8, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage_1_epochs": -1}, r"stage_1_epochs = -1 must be a whole number of at least 0"),
        ({"stage_2_epochs": 1.5}, r"stage_2_epochs = 1.5 must be a whole number of at least 0"),
        ({"epochs_fine_tune": -2}, r"epochs_fine_tune = -2 must be a whole number of at least 0"),
        ({"fine_tune_gamma": 0}, r"fine_tune_gamma = 0 must be a finite number above 0"),
        ({"stage_3_lr_factor": 0}, r"stage_3_lr_factor = 0 must be a finite number above 0"),
        ({"physics_weight_schedule": "linaer"}, r"physics_weight_schedule = 'linaer'.*Did you mean 'linear'"),
        (
            {"stage_1_epochs": 2, "stage_3_epochs": 4, "nepochs": 20},
            r"nepochs = 20 contradicts stage_1_epochs \+ stage_2_epochs \+ stage_3_epochs = 6. Leave nepochs out",
        ),
        (
            {"stage_1_epochs": 2, "model": ModelConfig(model_type="supervised")},
            r"model_type = 'supervised' trains without it. Set them to 0, or model_type to 'pinn'",
        ),
        ({"scheduler": "MultiStage"}, r"scheduler = 'MultiStage' follows the stages.*has none. Set stage_1_epochs"),
        ({"scheduler": "Adaptive"}, r"scheduler = 'Adaptive' follows the stages.*or choose another scheduler"),
    ],
)
def test_what_breaks_a_rule_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainingConfig(**options)


def test_the_encoder_is_what_the_plan_of_the_network_says() -> None:
    names = [name for layer in cnn_plan(ModelConfig()).layers for name in layer.shapes]
    found = encoder_weights("cnn", names)
    assert found == {name for name in names if name.startswith("encoder/")}
    assert 0 < len(found) < len(names)
    assert encoder_weights("backprojection_unet", ["down0/conv0/kernel", "up0/conv0/kernel"]) == {"down0/conv0/kernel"}


def test_a_network_without_an_encoder_cannot_be_fine_tuned() -> None:
    with pytest.raises(UnsupportedOptionError, match=r"architecture = 'perceptron' has none.*epochs_fine_tune to 0"):
        encoder_weights("perceptron", ["layer0/kernel"])
