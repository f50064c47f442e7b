"""Training and inference of one backend in one precision beside bare convolutions and a dense matrix product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from time import perf_counter
from types import ModuleType

import numpy as np

from benchmarks.comparisons import PRECISIONS
from benchmarks.convolutions import forward_flops, layers
from benchmarks.measuring import Figure, Times, interleaved, peak_mib
from benchmarks.scenes import SEED, cnn_config, preset_config, simulated
from benchmarks.tables import Table
from benchmarks.turns import pass_on
from ptychopinn_backend.config import TrainingConfig
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.containers import PtychoDataContainer
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.train import train_source
from ptychopinn_backend.runs.trained_model import DEFAULT_INFERENCE_BATCH, TrainedModel
from ptychopinn_backend.seam.interface import EpochReport

SIZES = ((64, 1, 2), (64, 2, 2), (128, 1, 1), (128, 2, 1))
EPOCHS = 6
CURVE_EPOCHS, CURVE_GROUPS = 10, 64
SHARES = ("share of bare convolutions", "share of dense product", "peak MiB")
EPOCH_FLOPS, INFERENCE_FLOPS = 2.4e11, 4e10
"""Operations that are timed together, at least: one or two seconds on two cores. Epochs of few steps would be mostly
their first step, whose data and weights have left the caches."""
PRODUCTS = 9
"""Rounds of the dense product, and products of a round."""

BareFactory = Callable[..., Callable[[], None]]


@dataclass(frozen=True)
class Case:
    name: str
    config: TrainingConfig
    execution: ExecutionConfig
    groups: int
    """In an epoch, whole batches."""

    @property
    def batches(self) -> int:
        return self.groups // self.config.batch_size


def cases(quick: bool) -> list[Case]:
    found = []
    if quick:
        return [_case("cnn 32, 1, 1", cnn_config(32, 1, 1, 2, batch_size=4), ExecutionConfig(seed=SEED))]
    for N, gridsize, scale in SIZES:
        found.append(_case(f"cnn {N}, {gridsize}, {scale}", cnn_config(N, gridsize, scale, EPOCHS), ExecutionConfig()))
    found.append(_case("preset fast, N 64", *preset_config("fast", 64, EPOCHS)))
    return found


def _case(name: str, config: TrainingConfig, execution: ExecutionConfig) -> Case:
    batches = EPOCH_FLOPS / (3 * config.batch_size * forward_flops(config.model))
    groups = min(200 // config.batch_size, max(2, round(batches))) * config.batch_size
    return Case(name, config, execution, groups if config.model.N >= 64 else 8)


def measure(backend: str, precision: str, quick: bool) -> list[Table]:
    """Measure a backend in one precision; `comparisons.precisions_joined` joins the tables of both."""
    bounds = import_module(f"benchmarks.bounds_{backend}")
    training = Table(
        f"Training, {backend}",
        (
            "N, gridsize, filters",
            "precision",
            "batch",
            "samples/s",
            "GFLOP/s",
            "bare convolutions are faster by",
            *SHARES,
        ),
        "A sample is a group. Rates are of whole epochs of `fit`, the first left out. Between epochs the same "
        "convolutions run bare, forward and backward, for half as many batches. Target: 60 % of them in float32.",
    )
    inference = Table(
        f"Inference, {backend}",
        (
            "N, gridsize, filters",
            "precision",
            "patches/s predicted",
            "patches/s stitched",
            "patches/s polished",
            "GFLOP/s",
            *SHARES,
        ),
        f"Batches of {DEFAULT_INFERENCE_BATCH} groups. Stitched holds what is predicted, polished is what a user gets. "
        "Target: 60 % of the bare convolutions in float32.",
    )
    peak = _dense_rate(bounds, precision, quick)
    dense = Table(f"Dense matrix product, {backend}", ("precision", "GFLOP/s"), f"Side {bounds.PEAK_SIDE}.")
    dense.add(precision, peak)
    for case in cases(quick):
        trained = _training_row(training, bounds.bare_convolutions, case, precision, backend, peak)
        _inference_row(inference, bounds.bare_convolutions, case, precision, trained, peak)
    return [dense, training, inference, _curve(backend, precision, quick)]


def _dense_rate(bounds: ModuleType, precision: str, quick: bool) -> Figure:
    products = 1 if quick else PRODUCTS
    multiply = bounds.matrix_product(precision)
    repeated = {precision: lambda: [multiply() for _ in range(products)]}
    return interleaved(repeated, products)[precision].rate(products * 2e-9 * bounds.PEAK_SIDE**3)


def _source(case: Case, groups: int) -> PtychoDataContainer:
    model, scan = case.config.model, simulated(case.config.model.N)
    return PtychoDataContainer.from_raw_data(
        scan,
        model,
        n_groups=min(groups, scan.n_patterns),
        neighbor_count=case.config.neighbor_count,
        seed=SEED,
    )


def _training_row(
    table: Table, bare_factory: BareFactory, case: Case, precision: str, backend: str, peak: Figure
) -> TrainedModel:
    config = case.config
    bare = bare_factory(layers(config.model), config.batch_size, precision, True)
    bare()
    ours: list[float] = []
    theirs: list[float] = []
    left = [perf_counter()]

    def between(report: EpochReport) -> None:
        entered = perf_counter()
        ours.append(entered - left[0])
        bare_batches = (case.batches + 1) // 2
        for _ in range(bare_batches):
            bare()
        theirs.append((perf_counter() - entered) * case.batches / bare_batches)
        pass_on()
        left[0] = perf_counter()

    execution = replace(case.execution, precision=PRECISIONS[precision])
    trained = train_source(_source(case, case.groups), config, execution, backend=backend, on_epoch=between)
    taken, bound = Times(tuple(ours[1:])), Times(tuple(theirs[1:]))
    flops = 3 * case.groups * forward_flops(config.model)
    rate = taken.rate(flops / 1e9)
    slower = taken.relative_to(bound)
    table.add(
        case.name,
        precision,
        config.batch_size,
        taken.rate(case.groups),
        rate,
        slower,
        1 / slower.median,
        rate.median / peak.median,
        peak_mib(),
    )
    return trained


def _inference_row(
    table: Table, bare_factory: BareFactory, case: Case, precision: str, trained: TrainedModel, peak: Figure
) -> None:
    single = trained.one_by_one()
    model = single.model
    batch = DEFAULT_INFERENCE_BATCH if model.N >= 64 else 8
    groups = max(1, min(256 // batch, round(INFERENCE_FLOPS / forward_flops(model) / batch))) * batch
    groups = groups if model.N >= 64 else batch
    scan = simulated(model.N)
    source = _source(replace(case, config=single.training), groups)
    bare = bare_factory(layers(model), batch, precision, False)
    kept = scan.select(np.arange(groups))
    times = interleaved(
        {
            "predict": lambda: [None for _ in single.backend.predict(source, batch)],
            "bare": lambda: [bare() for _ in range(source.n_groups // batch)],
            "stitched": lambda: reconstruct(single, kept, batch_size=batch, n_groups=groups, polish_steps=0),
            "polished": lambda: reconstruct(single, kept, batch_size=batch, n_groups=groups),
        },
        3 if model.N >= 64 else 2,
    )
    patches = source.n_groups * model.channels
    rate = times["predict"].rate(source.n_groups * forward_flops(model) / 1e9)
    table.add(
        case.name,
        precision,
        times["predict"].rate(patches),
        times["stitched"].rate(patches),
        times["polished"].rate(patches),
        rate,
        1 / times["predict"].relative_to(times["bare"]).median,
        rate.median / peak.median,
        peak_mib(),
    )


def _curve(backend: str, precision: str, quick: bool) -> Table:
    """Train a network; the same start and the same order of the groups in every precision."""
    table = Table(
        f"Loss curve, {backend}",
        ("epoch", precision),
        "The loss of every epoch, network (64, 1, 1), same weights at the start and same order of the groups.",
    )
    config = cnn_config(32 if quick else 64, 1, 1, 2 if quick else CURVE_EPOCHS, batch_size=8)
    source = _source(Case("curves", config, ExecutionConfig(), 0), 16 if quick else CURVE_GROUPS)
    execution = ExecutionConfig(seed=SEED, precision=PRECISIONS[precision])
    trained = train_source(source, config, execution, backend=backend, on_epoch=lambda report: pass_on())
    for epoch, loss in enumerate(trained.history["loss"], start=1):
        table.add(epoch, loss)
    return table
