"""What the presets take from the scans they are fitted to."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pytest

from ptychopinn_backend.arrays import Complex64Array, Float64Array, IntArray
from ptychopinn_backend.config.presets import (
    AUTO,
    AUTO_VISITS,
    EPOCH_PATTERNS,
    NOISY_COUNTS,
    choose_preset,
    fitted_preset,
    preset_options,
)
from ptychopinn_backend.config.scan_traits import FLAT_PROBE, scan_traits
from ptychopinn_backend.errors import ConfigError
from ptychopinn_backend.physics.probe import pixel_distance

N = 64


@dataclass
class Scan:
    probeGuess: Complex64Array | None
    positions_xy: Float64Array
    mean_photons: float | None = 1e5
    counts_in_light: float | None = 50.0
    N: int = N
    object_of_position: IntArray | None = None

    def __post_init__(self) -> None:
        if self.object_of_position is None:
            self.object_of_position = np.zeros(len(self.positions_xy), np.int32)

    @property
    def n_patterns(self) -> int:
        return len(self.positions_xy)


def disk(diameter_px: float, curvature_rad: float = 0.0) -> Complex64Array:
    radius = pixel_distance(N)
    disk = (radius < diameter_px / 2) * np.exp(1j * curvature_rad * (radius / (diameter_px / 2)) ** 2)
    return disk.astype(np.complex64)[None]


def raster(step_px: float, side: int = 6) -> Float64Array:
    rows, columns = np.divmod(np.arange(side**2), side)
    return step_px * np.stack([columns, rows], axis=1).astype(np.float64)


def test_traits_of_a_disk() -> None:
    traits = scan_traits(Scan(disk(30), raster(7.5)))
    assert traits is not None
    # Nine tenths of an evenly lit disk lie within sqrt(0.9) of its radius.
    assert traits.probe_width_px == pytest.approx(30 * np.sqrt(0.9), abs=1.5)
    assert traits.step_px == pytest.approx(7.5)
    assert traits.overlap == pytest.approx(1 - 7.5 / traits.probe_width_px)
    assert traits.flatness == pytest.approx(1.0)


def test_width_follows_a_probe_away_from_the_centre() -> None:
    moved = np.roll(disk(20), (9, -6), axis=(1, 2))
    here, there = scan_traits(Scan(disk(20), raster(5))), scan_traits(Scan(moved, raster(5)))
    assert here is not None
    assert there is not None
    assert there.probe_width_px == pytest.approx(here.probe_width_px)


def test_curved_phase_is_not_flat() -> None:
    traits = scan_traits(Scan(disk(30, curvature_rad=4.0), raster(7.5)))
    assert traits is not None
    # |integral over the disk of exp(4 i u) du| = |sin 2| / 2.
    assert traits.flatness == pytest.approx(np.sin(2.0) / 2, abs=0.02)
    assert traits.flatness < FLAT_PROBE


def test_neighbours_that_overlap_are_trained_together() -> None:
    options = preset_options(AUTO, [Scan(disk(40), raster(8))])
    assert (options["architecture"], options["gridsize"], options["batch_size"]) == ("backprojection_unet", 3, 1)


def test_patches_that_hardly_overlap_are_trained_one_by_one() -> None:
    options = preset_options(AUTO, [Scan(disk(20), raster(19))])
    assert (options["architecture"], options["gridsize"]) == ("backprojection_unet", 1)
    assert options["batch_size"] > 1


def test_scan_with_the_least_overlap_decides() -> None:
    close, apart = Scan(disk(20), raster(4)), Scan(disk(20), raster(19))
    assert choose_preset([close, apart]).gridsize == 1
    assert choose_preset([close, close]).gridsize is None


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (Scan(None, raster(5)), "no probe to tell the overlap by"),
        (Scan(disk(20), raster(5, side=1)), "a single pattern"),
    ],
)
def test_unknown_scan_takes_fast(scan: Scan, reason: str) -> None:
    choice = choose_preset([scan])
    assert (choice.name, choice.gridsize, choice.reason) == ("fast", None, reason)


@pytest.mark.parametrize(
    ("points", "gridsize", "words"),
    [
        (1, None, "a single pattern: too few patterns for groups of neighbours"),
        (2, None, "too few patterns for groups of neighbours"),
        (5, None, "neighbours are trained together, 4 at a time"),
        (36, None, "neighbours are trained together, 9 at a time"),
        (36, 1, "patterns are trained one by one, as asked for"),
        (36, 2, "neighbours are trained together, 4 at a time"),
    ],
)
def test_the_reason_says_what_is_done(points: int, gridsize: int | None, words: str) -> None:
    preset = fitted_preset(AUTO, [Scan(disk(40), raster(8)[:points])], gridsize)
    assert words in preset.reason
    assert "one by one" in preset.reason or preset.options["gridsize"] > 1 or "too few" in preset.reason
    assert preset.reason.count("trained") + preset.reason.count("too few") == 1


def test_patches_that_hardly_overlap_are_said_to_be_trained_one_by_one() -> None:
    reason = fitted_preset(AUTO, [Scan(disk(20), raster(19))]).reason
    assert "patches hardly overlap, so patterns are trained one by one" in reason


@pytest.mark.parametrize("jitter_px", [0.0, 0.2])
def test_a_place_that_is_measured_again_is_no_neighbour(jitter_px: float) -> None:
    once, rng = raster(14), np.random.default_rng(0)
    again = np.concatenate([once + rng.uniform(-jitter_px, jitter_px, once.shape) for _ in range(3)])
    expected, traits = scan_traits(Scan(disk(20), once)), scan_traits(Scan(disk(20), again))
    assert expected is not None
    assert traits is not None
    assert expected.overlap == pytest.approx(0.26, abs=0.03)
    assert traits.overlap == pytest.approx(expected.overlap, abs=0.03)
    assert choose_preset([Scan(disk(20), again)]).gridsize == 1


def test_objects_of_one_file_are_no_neighbours() -> None:
    first, second = raster(14), raster(14) + 0.4
    both = np.concatenate([first, second])
    index = np.repeat([0, 7], len(first)).astype(np.int32)
    traits = scan_traits(Scan(disk(20), both, object_of_position=index))
    assert traits is not None
    assert traits.step_px == pytest.approx(14)


def test_dense_lines_overlap() -> None:
    line, below = (np.stack([np.arange(400) * 0.3, np.full(400, y)], axis=1) for y in (0.0, 9.0))
    traits = scan_traits(Scan(disk(20), np.concatenate([line, below])))
    assert traits is not None
    assert traits.overlap > 0.9


def test_all_at_one_place() -> None:
    traits = scan_traits(Scan(disk(20), np.ones((5, 2))))
    assert traits is not None
    assert traits.step_px == 0


def test_choice_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ptychopinn_backend.config.presets"):
        preset_options(AUTO, [Scan(disk(40), raster(8))])
    (message,) = caplog.messages
    assert "Preset fast chosen: 36 patterns, probe 38 px (wider than N/2) with a flat phase, 79% overlap" in message
    assert "1e+05 photons" in message


def test_large_scans_take_no_longer_than_small_ones() -> None:
    small, large = Scan(disk(40), raster(8, side=20)), Scan(disk(40), raster(8, side=60))
    assert preset_options("fast", [small])["groups_per_epoch"] == -(-400 // 9)
    assert preset_options("fast", [large])["groups_per_epoch"] == -(-EPOCH_PATTERNS // 9)


def test_given_gridsize_wins() -> None:
    assert preset_options(AUTO, [Scan(disk(40), raster(8))], gridsize=2)["gridsize"] == 2


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="'auto', 'fast', 'fine', 'legacy'"):
        preset_options("fasst", [Scan(disk(40), raster(8))])


@pytest.mark.parametrize(("side", "epochs"), [(4, -(-AUTO_VISITS // 18)), (20, -(-AUTO_VISITS // 405)), (60, 16)])
def test_a_scan_with_few_positions_gets_as_many_steps_as_a_large_one(side: int, epochs: int) -> None:
    options = preset_options(AUTO, [Scan(disk(40), raster(8, side=side))])
    assert options["nepochs"] == epochs
    assert options["nepochs"] * options["groups_per_epoch"] * options["gridsize"] ** 2 >= AUTO_VISITS
    assert options["lr_warmup_epochs"] == max(4, epochs // 10)


@pytest.mark.parametrize(
    ("counts", "likelihood", "fraction", "words"),
    [
        (NOISY_COUNTS - 1, ("nll_weight", "mse_weight"), 0.2, "Poisson likelihood"),
        (NOISY_COUNTS + 1, ("mse_weight", "nll_weight"), 0.0, "squared amplitudes, for 11 counts"),
        (None, ("mse_weight", "nll_weight"), 0.0, "counts are not known"),
    ],
)
def test_the_counts_decide_the_likelihood(
    counts: float | None, likelihood: tuple[str, str], fraction: float, words: str
) -> None:
    chosen = fitted_preset(AUTO, [Scan(disk(40), raster(8), counts_in_light=counts)])
    used, unused = likelihood
    assert (chosen.options[used], chosen.options[unused]) == (1.0, 0.0)
    assert chosen.options["target_photon_fraction"] == fraction
    assert words in chosen.reason


def test_a_named_preset_takes_its_own_length() -> None:
    assert preset_options("fast", [Scan(disk(40), raster(8))])["nepochs"] == 16
