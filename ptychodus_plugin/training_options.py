"""The settings of the group `PtychoPINNTraining`; see `ptychodus_plugin.options`."""

from __future__ import annotations

from typing import Final

from ptychodus_plugin.evidence_options import EVIDENCE_OPTIONS
from ptychodus_plugin.options import TRAIN_ON, Option, Selection, pinn
from ptychopinn_backend.config import SCHEDULERS
from ptychopinn_backend.config.presets import AUTO


def _warmup_cosine(selection: Selection) -> bool:
    return selection.scheduler == "WarmupCosine"


def _plateau(selection: Selection) -> bool:
    return selection.scheduler == "ReduceLROnPlateau"


def _stages(selection: Selection) -> bool:
    return selection.scheduler in ("MultiStage", "Adaptive")


def _sgd(selection: Selection) -> bool:
    return selection.optimizer == "sgd"


def _weight(key: str, label: str, text: str, field: str, default: float = 0.0) -> Option:
    return Option(
        key,
        default,
        label,
        text,
        config=f"training.{field}",
        minimum=0.0,
        maximum=1.0,
        applies=pinn,
    )


_GROUPS: Final = (
    Option(
        "TrainOn",
        AUTO,
        "Train on:",
        "'product' is the product that is chosen, and the folder only takes the model; 'folder' are the scans in the "
        "folder; 'auto' takes those of the folder where it has any, else the product.",
        choices=TRAIN_ON,
    ),
    Option(
        "StartFromModel",
        False,
        "Start from Model:",
        "Training goes on from the weights of the model in use, whose network is taken over; off: from new ones.",
    ),
    Option(
        "BatchSize",
        16,
        "Batch Size:",
        "Groups per optimiser step; a power of two.",
        config="training.batch_size",
        power_of_two=True,
        minimum=1,
        maximum=1 << 30,
    ),
    Option(
        "NumEpochs",
        50,
        "Number of Epochs:",
        "Passes over the training groups.",
        config="training.nepochs",
        minimum=1,
    ),
    Option(
        "NumGroups",
        0,
        "Number of Groups:",
        "Groups drawn from every scan for training; 0 draws one around every scan position.",
        config="training.n_groups",
        minimum=0,
        zero_is_none=True,
    ),
    Option(
        "GroupsPerEpoch",
        0,
        "Groups per Epoch:",
        "Groups an epoch visits, drawn anew for every epoch; 0 visits all.",
        config="training.groups_per_epoch",
        minimum=0,
        zero_is_none=True,
    ),
    Option(
        "NumNearestNeighbors",
        7,
        "Number of Neighbors:",
        "Nearest scan positions from which a position draws its group; raised where the grid size needs more.",
        minimum=1,
    ),
    Option(
        "EnableOversampling",
        False,
        "Oversampling:",
        "Allows more groups than scan positions by drawing several from each neighbourhood (grid size 2 and more).",
        config="training.enable_oversampling",
    ),
    Option(
        "ValidationFraction",
        0.1,
        "Validation Fraction:",
        "Part of the groups kept for validation where the folder has no test_data.npz.",
        config="training.validation_fraction",
        minimum=0.0,
        maximum=0.9,
    ),
    Option(
        "Seed",
        42,
        "Seed:",
        "Seed of the initial weights, the drawn groups, their order and the validation split.",
        config="execution.seed",
        minimum=0,
    ),
)

_OPTIMISATION: Final = (
    Option(
        "LearningRate",
        1e-3,
        "Learning Rate:",
        "Learning rate at the start.",
        config="execution.learning_rate",
        minimum=1e-12,
    ),
    Option(
        "Scheduler",
        "Default",
        "Scheduler:",
        "How the learning rate changes from epoch to epoch; 'Default' keeps it.",
        config="training.scheduler",
        choices=SCHEDULERS,
    ),
    Option(
        "WarmupEpochs",
        0,
        "Warm-up Epochs:",
        "Epochs over which the learning rate rises linearly first.",
        config="training.lr_warmup_epochs",
        minimum=0,
        applies=_warmup_cosine,
    ),
    Option(
        "MinLearningRateRatio",
        0.1,
        "Final Learning Rate Ratio:",
        "Learning rate of the last epoch over that of the first.",
        config="training.lr_min_ratio",
        minimum=0.0,
        maximum=1.0,
        applies=_warmup_cosine,
    ),
    Option(
        "PlateauFactor",
        0.5,
        "Plateau Factor:",
        "Factor on the learning rate when the loss no longer falls.",
        config="training.plateau_factor",
        minimum=0.0,
        maximum=1.0,
        applies=_plateau,
    ),
    Option(
        "PlateauPatience",
        2,
        "Plateau Patience:",
        "Epochs without improvement before that happens.",
        config="training.plateau_patience",
        minimum=0,
        applies=_plateau,
    ),
    Option(
        "PlateauMinLearningRate",
        5e-5,
        "Plateau Minimum Rate:",
        "The learning rate is not lowered below this.",
        config="training.plateau_min_lr",
        minimum=0.0,
        applies=_plateau,
    ),
    Option(
        "StageThreeRateFactor",
        0.1,
        "Stage 3 Rate Factor:",
        "Learning rate of the last stage over that of the first.",
        config="training.stage_3_lr_factor",
        minimum=1e-6,
        applies=_stages,
    ),
    Option(
        "Optimizer",
        "adam",
        "Optimizer:",
        "Rule of the weight updates.",
        config="training.optimizer",
        choices=("adam", "adamw", "sgd"),
    ),
    Option(
        "Momentum",
        0.9,
        "Momentum:",
        "Momentum of sgd.",
        config="training.momentum",
        minimum=0.0,
        maximum=1.0,
        applies=_sgd,
    ),
    Option(
        "WeightDecay",
        0.0,
        "Weight Decay:",
        "Pull of the weights towards zero.",
        config="training.weight_decay",
        minimum=0.0,
    ),
    Option(
        "GradientClipValue",
        0.0,
        "Gradient Clip Value:",
        "Upper limit of the gradients; 0 is no limit.",
        config="training.gradient_clip_val",
        minimum=0.0,
        zero_is_none=True,
    ),
    Option(
        "GradientClipAlgorithm",
        "norm",
        "Gradient Clip Algorithm:",
        "What is limited: the norm of all gradients, each value, or the norm relative to the weights (agc).",
        config="training.gradient_clip_algorithm",
        choices=("norm", "value", "agc"),
    ),
    Option(
        "AccumulationSteps",
        1,
        "Gradient Accumulation:",
        "Batches whose gradients are averaged before an optimiser step.",
        config="execution.accum_steps",
        minimum=1,
    ),
    Option(
        "EarlyStopPatience",
        100,
        "Early Stop Patience:",
        "Epochs without improvement before training stops.",
        config="execution.early_stop_patience",
        minimum=1,
    ),
)

_PHASES: Final = (
    Option(
        "StageOneEpochs",
        0,
        "Stage 1 Epochs:",
        "Epochs on patterns divided by their own size, before the counts matter; 0 leaves the stage out. With stages, "
        "Number of Epochs is their sum.",
        config="training.stage_1_epochs",
        minimum=0,
        applies=pinn,
    ),
    Option(
        "StageTwoEpochs",
        0,
        "Stage 2 Epochs:",
        "Epochs in which the loss goes over to the configured one.",
        config="training.stage_2_epochs",
        minimum=0,
        applies=pinn,
    ),
    Option(
        "StageThreeEpochs",
        0,
        "Stage 3 Epochs:",
        "Epochs on the configured loss after the other stages.",
        config="training.stage_3_epochs",
        minimum=0,
        applies=pinn,
    ),
    Option(
        "PhysicsWeightSchedule",
        "cosine",
        "Physics Weight Schedule:",
        "How the weight of the configured loss rises in stage 2.",
        config="training.physics_weight_schedule",
        choices=("linear", "cosine", "exponential"),
        applies=pinn,
    ),
    Option(
        "FineTuneEpochs",
        0,
        "Fine-tuning Epochs:",
        "Further epochs in which the encoder of the network is frozen.",
        config="training.epochs_fine_tune",
        minimum=0,
    ),
    Option(
        "FineTuneRateFactor",
        0.1,
        "Fine-tuning Rate Factor:",
        "Factor on the learning rate in them.",
        config="training.fine_tune_gamma",
        minimum=1e-6,
    ),
)

_LOSS: Final = (
    _weight(
        "MAEWeight",
        "Weight for MAE loss:",
        "Weight of the error of the far-field amplitude.",
        "mae_weight",
    ),
    _weight(
        "NLLWeight",
        "Weight for NLL loss:",
        "Weight of the Poisson negative log-likelihood.",
        "nll_weight",
        1.0,
    ),
    _weight(
        "MSEWeight",
        "Weight for MSE loss:",
        "Weight of the squared error of the far-field amplitude.",
        "mse_weight",
    ),
    _weight("RealspaceWeight", "Realspace Weight:", "Weight of the real-space term.", "realspace_weight"),
    _weight(
        "RealspaceMAEWeight",
        "Realspace MAE Weight:",
        "Weight, inside the real-space term, of the error to a known object. Needs a Realspace Weight above 0.",
        "realspace_mae_weight",
    ),
    _weight(
        "TVWeight",
        "Total Variation Weight:",
        "Weight, inside the real-space term, of the total variation. Needs a Realspace Weight above 0.",
        "tv_weight",
    ),
    _weight(
        "MeanDeviationWeight",
        "Mean Deviation Weight:",
        "Weight, inside the real-space term, of the deviation of the amplitude from its mean. "
        "Needs a Realspace Weight above 0.",
        "mean_deviation_weight",
    ),
    Option(
        "NumPhotons",
        1e6,
        "Photons per Pattern:",
        "Expected photon count of a pattern; the default stands for the mean of the training data.",
        config="training.nphotons",
        applies=pinn,
        minimum=0.0,
    ),
    Option(
        "PositionsProvided",
        True,
        "Positions Provided:",
        "The scan positions are those of the data.",
        config="training.positions_provided",
        applies=pinn,
    ),
    Option(
        "ProbeTrainable",
        False,
        "Probe Trainable:",
        "Refines the probe together with the network.",
        config="training.probe_trainable",
        applies=pinn,
    ),
    Option(
        "IntensityScaleTrainable",
        True,
        "Intensity Scale Trainable:",
        "Refines the factor from far-field amplitude to counts together with the network.",
        config="training.intensity_scale_trainable",
        applies=pinn,
    ),
)

TRAINING_OPTIONS: Final = (*_GROUPS, *EVIDENCE_OPTIONS, *_LOSS, *_PHASES, *_OPTIMISATION)
