"""Bad configuration, and a backend that cannot do what is asked."""

from __future__ import annotations

from pathlib import Path

from .workshop import SMALL, TRAIN, Case, text

RUN = (*TRAIN, *SMALL)
INFER_WITH_ONNX = ("infer", "model", "scan.npz", "-o", "out", "--quiet", "--backend", "onnx")
YAML = (*TRAIN, "--config", "run.yaml")


def setting(*values: str) -> tuple[str, ...]:
    """Return the words of a training with further `--set` options."""
    return (*TRAIN, *(word for value in values for word in ("--set", value)))


def _garbage_checkpoint() -> None:
    Path("model/checkpoints/last.ckpt").write_bytes(b"garbage")


CASES = (
    Case("Unknown option", setting("batchsize=4"), "Did you mean 'batch_size'"),
    Case("An option without a value", setting("batch_size"), "is not KEY=VALUE"),
    Case("N is not offered", setting("N=48"), "N = 48 is not one of"),
    Case("The batch size is no power of two", setting("batch_size=3"), "power of two"),
    Case("No epochs", (*TRAIN, "--epochs", "0"), "nepochs = 0"),
    Case("A loss weight above 1", setting("nll_weight=2"), r"must lie in \[0, 1\]"),
    Case("A negative number of groups", (*TRAIN, "--groups", "-5"), "n_groups = -5"),
    Case("Unknown architecture", (*TRAIN, "--architecture", "cnm"), "Did you mean 'cnn'"),
    Case(
        "More halvings than pixels",
        setting("N=32", "fno_blocks=5", "architecture=hybrid"),
        "fno_blocks = 5 is too many",
    ),
    Case("An even attention kernel", setting("decoder_spatial_kernel=4"), "odd whole number"),
    Case("Unknown activation", setting("amp_activation=sigmod"), "Did you mean 'sigmoid'"),
    Case("Unknown model type", setting("model_type=supervized"), "Did you mean 'supervised'"),
    Case("Unknown optimiser", setting("optimizer=adamm"), "Did you mean 'adam'"),
    Case("Unknown schedule", setting("scheduler=cosine"), "scheduler = 'cosine'"),
    Case("A schedule of stages without stages", setting("scheduler=MultiStage"), "follows the stages"),
    Case("Stages and another number of epochs", setting("stage_1_epochs=2", "nepochs=3"), "contradicts"),
    Case(
        "Stages of a supervised training",
        setting("stage_1_epochs=2", "model_type=supervised"),
        "trains without it",
    ),
    Case(
        "An archive of another network to start from",
        (*TRAIN, "--init", "model", "--architecture", "backprojection_unet"),
        "does not fit this network",
    ),
    Case(
        "A group to picture that does not exist",
        setting("recon_log_every_n_epochs=1", "recon_log_fixed_indices=[99999]"),
        "names group 99999",
    ),
    Case("Total variation without the real-space term", setting("tv_weight=0.1"), "realspace_weight"),
    Case(
        "An option file asks for another forward model",
        (*TRAIN, "--config", "options.json"),
        "physics_forward_mode = 'rectangular_scaled' is not offered",
        text("options.json", '{"model_config": {"physics_forward_mode": "rectangular_scaled"}}'),
    ),
    Case(
        "An option file holds an unknown option",
        (*TRAIN, "--config", "options.json"),
        "'grid_sise' is not an option of DataConfig. Did you mean 'grid_size'",
        text("options.json", '{"data_config": {"grid_sise": [2, 2]}}'),
    ),
    Case(
        "An option file holds a mask as an array",
        (*TRAIN, "--config", "options.json"),
        "the mask on the probe is a circle here",
        text("options.json", '{"model_config": {"probe_mask_tensor": [[1.0, 0.0], [0.0, 1.0]]}}'),
    ),
    Case(
        "An option file states two group sizes",
        (*TRAIN, "--config", "options.json"),
        "C_model = 1 contradicts grid_size",
        text("options.json", '{"data_config": {"grid_size": [2, 2]}, "model_config": {"C_model": 1}}'),
    ),
    Case(
        "An option file says the same in two ways",
        (*TRAIN, "--config", "options.json"),
        "nepochs is given twice",
        text("options.json", '{"training_config": {"epochs": 3, "device": "cpu"}, "nepochs": 4}'),
    ),
    Case(
        "An option file is no JSON",
        (*TRAIN, "--config", "options.json"),
        "is not valid JSON",
        text("options.json", "{"),
        has_foreign_words=True,
    ),
    Case("Text for a number", setting("nphotons=many"), "nphotons = 'many'"),
    Case("Text for a switch", setting("probe_trainable=often"), "must be true or false"),
    Case("A negative learning rate", (*TRAIN, "--learning-rate", "-1"), "learning_rate = -1"),
    Case("Unknown precision", (*TRAIN, "--precision", "64"), "precision = '64'"),
    Case("Unknown accelerator", (*TRAIN, "--accelerator", "gpuu"), "Did you mean 'gpu'"),
    Case("An accelerator that is not supported", (*TRAIN, "--accelerator", "tpu"), "tpu"),
    Case("Every loss weight is 0", (*RUN, "--set", "nll_weight=0"), "All loss weights are 0"),
    Case("Unknown preset", (*TRAIN, "--preset", "fats"), "Did you mean 'fast'"),
    Case("Unknown measurement", (*TRAIN, "--measurement", "volts"), "volts"),
    Case("The YAML file does not exist", (*TRAIN, "--config", "absent.yaml"), "absent.yaml"),
    Case("The YAML file is not YAML", YAML, "not valid YAML", text("run.yaml", "a: [1\n"), has_foreign_words=True),
    Case("The YAML file is a list", YAML, "holds a list", text("run.yaml", "- 1\n")),
    Case("A key is given twice", YAML, "given twice", text("run.yaml", "N: 32\nN: 64\n"), has_foreign_words=True),
    Case("A key stands in the wrong section", YAML, "in section 'model'", text("run.yaml", "model: {nepochs: 3}\n")),
    Case("A section holds a number", YAML, "Section 'model' is 3", text("run.yaml", "model: 3\n")),
    Case(
        "An alias in the YAML file",
        YAML,
        "aliases",
        text("run.yaml", "N: &a 32\ngridsize: *a\n"),
        has_foreign_words=True,
    ),
    Case(
        "A tag in the YAML file",
        YAML,
        "not valid YAML",
        text("run.yaml", "N: !!python/name:os.system x\n"),
        has_foreign_words=True,
    ),
)
BACKEND_CASES = (
    Case("Unknown backend", (*RUN, "--backend", "pytroch"), "Did you mean 'pytorch'"),
    Case(
        "Unknown backend in the environment",
        tuple(word for word in RUN if word not in ("--backend", "pytorch")),
        "environment variable PTYCHOPINN_BACKEND",
        environment="PTYCHOPINN_BACKEND=jax",
    ),
    Case("PyTorch is not installed", RUN, "PyTorch backend selected.*pip install", blocked="torch"),
    Case(
        "TensorFlow is not installed",
        (*RUN, "--backend", "tensorflow"),
        "TensorFlow backend selected.*pip install",
        blocked="tensorflow",
    ),
    Case(
        "Several devices on TensorFlow",
        (*RUN, "--backend", "tensorflow", "--set", "devices=2"),
        "not offered by the tensorflow backend",
    ),
    Case(
        "A generator TensorFlow lacks",
        (*RUN, "--backend", "tensorflow", "--architecture", "fno"),
        "tensorflow has cnn, backprojection_unet; pytorch has .*ffno",
    ),
    Case(
        "Batch normalisation on TensorFlow",
        (*RUN, "--backend", "tensorflow", "--architecture", "cnn", "--set", "batch_norm=true"),
        "batch_norm = True is not offered by the tensorflow backend",
    ),
    Case("No GPU is there", (*RUN, "--accelerator", "mps"), "mps"),
    Case("Training with the backend that only predicts", (*RUN, "--backend", "onnx"), "only predicts: it cannot train"),
    Case(
        "ONNX Runtime is not installed",
        (*INFER_WITH_ONNX, "--accelerator", "cpu"),
        "ONNX Runtime backend selected.*pip install",
        blocked="onnxruntime",
    ),
    Case(
        "An execution provider that is not there",
        (*INFER_WITH_ONNX, "--accelerator", "tensorrt"),
        "needs the TensorrtExecutionProvider",
        has_foreign_words=True,
    ),
    Case(
        "Half precision with ONNX Runtime",
        (*INFER_WITH_ONNX, "--precision", "bf16-mixed"),
        "not offered by the onnx backend",
    ),
    Case("TensorRT with a framework", (*RUN, "--accelerator", "tensorrt"), "not offered by the pytorch backend"),
    Case(
        "No C++ compiler for a compiled network",
        (*RUN, "--set", "compile_model=true"),
        "needs a C",
        environment="CXX=no-compiler",
    ),
    Case(
        "The loss is not finite",
        (*RUN, "--learning-rate", "1e18", "--set", "validation_fraction=0", "--batch-size", "32", "--epochs", "4"),
        "finite",
    ),
    Case("The checkpoint belongs to another run", (*RUN, "-o", "model", "--resume", "--seed", "7"), "seed is 42 there"),
    Case(
        "The checkpoint is damaged",
        (*RUN, "-o", "model", "--resume"),
        "is no checkpoint of this package",
        _garbage_checkpoint,
    ),
)
