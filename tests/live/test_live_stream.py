"""The object of a stream is that of `reconstruct` with the frames that were used, whatever came in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychopinn_backend import PtychoModel
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.errors import ConfigError, DataError, UnsupportedOptionError
from ptychopinn_backend.live.live_object import BATCH
from ptychopinn_backend.live.live_stream import LiveStream, StreamOptions
from ptychopinn_backend.live.messages import Frame, Position
from ptychopinn_backend.live.pairing import BY_TIME, TimeRule
from ptychopinn_backend.runs.reconstruct import reconstruct
from ptychopinn_backend.runs.trained_model import TrainedModel

from .conftest import N
from .streams import AT_ONCE, Entry, as_used, balance, frames_of, interleaved, nan_frame, positions_of, run

ROUNDING = 2e-5
"""Of the largest modulus: `reconstruct` computes the last, smaller batch with other sums than a full one."""


def with_probe(scan: RawData) -> StreamOptions:
    return replace(AT_ONCE, probe=scan.probeGuess)


def require_same(model: TrainedModel, scan: RawData, ended: list, photons: float) -> None:
    """Compare the object of a stream with `reconstruct`; both normalise by the photons of the frames used."""
    (found,) = ended
    used = as_used(scan, found)
    assert used.mean_photons == pytest.approx(photons, rel=1e-12)
    expected, result = reconstruct(model, used, polish_steps=0), found.object.result()
    assert result is not None
    assert result.origin_rc == expected.origin_rc
    np.testing.assert_array_equal(result.weight, expected.weight)
    np.testing.assert_array_equal(result.probe, expected.probe)
    np.testing.assert_array_equal(result.pattern_counts, expected.pattern_counts)
    if used.n_patterns % BATCH == 0:
        np.testing.assert_array_equal(result.object, expected.object)
    else:
        np.testing.assert_allclose(result.object, expected.object, atol=ROUNDING * np.abs(expected.object).max())


@dataclass(frozen=True)
class Disturbance:
    """What happens to a stream on its way."""

    seed: int
    delay: int
    lost: float
    repeated: float

    def arrivals(self, count: int) -> list[int]:
        """Return numbers of entries in the order of their arrival."""
        rng = np.random.default_rng(self.seed)
        order = np.argsort(np.arange(count) + rng.integers(0, self.delay + 1, count), kind="stable")
        came = [int(k) for k in order if rng.random() >= self.lost]
        for k in np.flatnonzero(rng.random(count) < self.repeated).tolist():
            came.insert(int(rng.integers(0, len(came) + 1)), k)
        return came


disturbances = st.builds(
    Disturbance,
    seed=st.integers(0, 2**32 - 1),
    delay=st.integers(0, 40),
    lost=st.sampled_from([0.0, 0.1, 0.5]),
    repeated=st.sampled_from([0.0, 0.2]),
)


def merged(frames: list[Entry], positions: list[Entry], seed: int) -> list[Entry]:
    """Merge two streams, each in its own order."""
    from_frames = np.random.default_rng(seed).permutation([True] * len(frames) + [False] * len(positions))
    left, right = iter(frames), iter(positions)
    return [next(left if flag else right) for flag in from_frames]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(of_frames=disturbances, of_positions=disturbances, work_every=st.integers(1, 30))
def test_delays_swaps_losses_and_repeats_leave_the_object_of_the_frames_used(
    model: TrainedModel, scan: RawData, of_frames: Disturbance, of_positions: Disturbance, work_every: int
) -> None:
    frames, positions = frames_of(scan), positions_of(scan)
    frame_order, position_order = of_frames.arrivals(64), of_positions.arrivals(64)
    entries = merged([frames[k] for k in frame_order], [positions[k] for k in position_order], of_frames.seed)
    both = sorted(set(frame_order) & set(position_order))
    photons = scan.select(np.array(both)).mean_photons
    options = replace(AT_ONCE, photons=photons, probe=scan.probeGuess)
    ended, stream = run(model, entries, options, work_every=work_every)
    require_same(model, scan, ended, photons)
    counters = stream.counters
    assert sorted(ended[0].object.log.numbers) == both
    assert balance(stream) == counters.waiting == 0
    assert counters.used == counters.paired == len(both)
    assert counters.frames == len(frame_order)
    assert counters.repeated == len(frame_order) - len(set(frame_order))
    assert counters.unpaired == len(set(frame_order) - set(position_order))
    assert counters.missing == max(frame_order) - min(frame_order) + 1 - len(set(frame_order))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_paired_by_time_the_positions_are_between_the_readings(model: TrainedModel, scan: RawData, seed: int) -> None:
    """An encoder ten times as fast as the detector; both out of order by less than the time of settling."""
    frames = frames_of(scan)[:40]
    times = 99.99 + np.arange(700) * 1e-4
    path = np.stack([30 + 20 * np.sin(40 * (times - 100)), 30 + 300 * (times - 100)], axis=1)
    readings = [Position(-1, *xy, time_s) for xy, time_s in zip(path.tolist(), times.tolist(), strict=True)]
    late = np.random.default_rng(seed).uniform(0, 0.02, 740).tolist()
    entries = sorted(zip([*frames, *readings], late, strict=True), key=lambda entry: entry[0].time_s + entry[1])
    options = replace(AT_ONCE, pairing=BY_TIME, photons=scan.mean_photons, probe=scan.probeGuess)
    ended, stream = run(model, [entry for entry, _ in entries], options, work_every=20)
    assert balance(stream) == 0
    assert stream.counters.used == 40
    log = ended[0].object.log
    order = log.in_order()
    expected = [np.interp(log.numbers[order], times, path[:, axis]) for axis in (0, 1)]
    np.testing.assert_allclose(log.positions_xy[order], np.stack(expected, axis=1), atol=1e-9)


def test_pictures_on_the_way_do_not_change_the_object(model: TrainedModel, scan: RawData) -> None:
    entries = interleaved(frames_of(scan), positions_of(scan))
    options = replace(AT_ONCE, photons=scan.mean_photons, probe=scan.probeGuess)
    sizes = []

    def look(stream: LiveStream) -> None:
        picture = None if stream.object is None else stream.object.picture()
        if picture is not None:
            sizes.append(picture.object.shape)
            assert picture.light.shape == picture.uncertainty_rad.shape == picture.object.shape

    ended, _ = run(model, entries, options, during=look)
    require_same(model, scan, ended, scan.mean_photons)
    assert len(set(sizes)) > 1
    assert list(sizes) == sorted(sizes)


def test_frames_that_cannot_be_used_are_counted_and_skipped(model: TrainedModel, scan: RawData) -> None:
    frames, positions = frames_of(scan), positions_of(scan)
    frames[3] = Frame(3, np.ones((N, N + 2), np.uint16), frames[3].time_s)
    frames[5] = Frame(5, frames[5].counts.astype(np.int64), frames[5].time_s)
    frames[6] = nan_frame(frames[6])
    frames[7] = Frame(7, np.zeros((N, N), np.uint16), frames[7].time_s)
    frames[8] = Frame(8, frames[8].counts.astype(complex), frames[8].time_s)
    positions[10] = Position(10, 1e12, 0.0, positions[10].time_s)
    positions[11] = Position(11, np.nan, 0.0, positions[11].time_s)
    ended, stream = run(model, interleaved(frames, positions), with_probe(scan))
    assert stream.counters.refused == 6
    assert stream.counters.unpaired == 1
    assert stream.counters.missing == 0
    assert balance(stream) == 0
    assert set(range(len(frames))) - set(ended[0].object.log.numbers.astype(int)) == {3, 5, 6, 7, 8, 10, 11}


def test_frames_that_come_too_fast_go_by_age(model: TrainedModel, scan: RawData) -> None:
    entries = interleaved(frames_of(scan), positions_of(scan))
    ended, stream = run(model, entries, replace(with_probe(scan), most_waiting=16), work_every=10**6)
    assert stream.counters.dropped == 48
    assert balance(stream) == 0
    assert ended[0].object.log.numbers.tolist() == list(range(48, 64))


def test_what_had_to_go_unseen_is_counted_once(model: TrainedModel, scan: RawData) -> None:
    frames, positions = frames_of(scan), positions_of(scan)

    def overrun(stream: LiveStream) -> None:
        if stream.counters.frames == 30:
            stream.drop_frame()
            stream.drop_position()

    entries = interleaved([*frames[:30], *frames[31:]], [*positions[:30], *positions[31:]])
    _, stream = run(model, entries, with_probe(scan), during=overrun)
    counters = stream.counters
    assert (counters.frames, counters.positions, counters.dropped, counters.missing) == (64, 64, 1, 0)
    assert (counters.used, counters.positions_left) == (63, 1)
    assert balance(stream) == 0


def test_what_is_missing_is_counted_scan_by_scan(model: TrainedModel, scan: RawData) -> None:
    """Gaps of one scan are not hidden by what had to go unseen in another, and are told after it."""
    frames, again = frames_of(scan), frames_of(scan, begin_s=200.0)

    def overrun(stream: LiveStream) -> None:
        if stream.counters.frames == 20:
            stream.drop_frame()

    entries: list[Entry] = [*frames[:20], *frames[21:40], *frames[44:], *again[:30], *again[35:]]
    _, stream = run(model, entries, with_probe(scan), during=overrun)
    assert stream.counters.missing == 4 + 5
    assert balance(stream) == 0


def test_times_that_are_none_stop_nothing(model: TrainedModel, scan: RawData) -> None:
    frames, positions = frames_of(scan), positions_of(scan)
    for k, time_s in enumerate((1e300, np.inf, -np.inf, np.nan, -1e300), start=20):
        frames[k], positions[k] = replace(frames[k], time_s=time_s), replace(positions[k], time_s=time_s)
    for pairing, used in (("number", 64), (BY_TIME, 59)):
        rule = TimeRule(settle_s=0.0)
        options = replace(with_probe(scan), pairing=pairing, time_rule=rule)
        _, stream = run(model, interleaved(positions, frames), options)
        assert stream.counters.used == used
        assert stream.counters.refused == (0 if pairing == "number" else 5)
        assert balance(stream) == 0


def test_hot_values_of_later_frames_are_mended(model: TrainedModel, scan: RawData) -> None:
    """The first frames tell what is usual; the object is that of frames without the hot values."""
    frames, positions = frames_of(scan), positions_of(scan)
    hot = [Frame(frame.number, frame.counts.copy(), frame.time_s) for frame in frames]
    hot[40].counts[3, 4] = 60_000
    hot[50].counts[28, 2] = 2**16 - 1
    options = replace(with_probe(scan), start_frames=16, photons=scan.mean_photons)
    found, stream = run(model, interleaved(hot, positions), options)
    clean, _ = run(model, interleaved(frames, positions), options)
    assert stream.counters.mended == 2
    assert stream.counters.used == 64
    result, expected = (ended[0].object.result() for ended in (found, clean))
    assert result is not None
    assert expected is not None
    np.testing.assert_allclose(result.object, expected.object, atol=1e-2 * np.abs(expected.object).max())


def test_why_nothing_pairs_is_told_once(model: TrainedModel, scan: RawData, caplog: pytest.LogCaptureFixture) -> None:
    run(model, interleaved(frames_of(scan, "a"), positions_of(scan)), with_probe(scan))
    assert caplog.text.count("frames name their scan 'a' and positions name none. Give both the name") == 1
    caplog.clear()
    entries = interleaved(frames_of(scan), positions_of(scan, begin_s=1000.0))
    _, stream = run(model, entries, with_probe(scan))
    assert stream.counters.unpaired == 64
    assert caplog.text.count("stamped 900 s apart, more than the 1 s allowed") == 1
    _, stream = run(model, entries, replace(with_probe(scan), apart_s=np.inf))
    assert stream.counters.used == 64


def test_an_apart_that_is_no_time_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"apart_s = 0\.0 must be a number of seconds above 0"):
        StreamOptions(apart_s=0.0)


def test_by_time_a_second_scan_without_a_name_begins_a_second_object(model: TrainedModel, scan: RawData) -> None:
    entries: list[Entry] = []
    for begin_s in (100.0, 200.0):
        readings = [replace(position, number=-1) for position in positions_of(scan, begin_s=begin_s)]
        entries += interleaved(frames_of(scan, begin_s=begin_s), readings)
    ended, stream = run(model, entries, replace(with_probe(scan), pairing=BY_TIME))
    assert [item.object.n_frames for item in ended] == [64, 64]
    assert balance(stream) == 0


def test_frames_without_positions_get_none_of_the_next_scan(model: TrainedModel, scan: RawData) -> None:
    second = interleaved(positions_of(scan, begin_s=200.0), frames_of(scan, begin_s=200.0))
    ended, stream = run(model, [*frames_of(scan), *second], with_probe(scan))
    assert [item.object.n_frames for item in ended] == [64]
    assert ended[0].name == "#2"
    assert stream.counters.unpaired == 64
    assert balance(stream) == 0


@pytest.mark.parametrize("named", [True, False])
def test_a_second_scan_begins_a_second_object(model: TrainedModel, scan: RawData, named: bool) -> None:
    names = ("one", "two") if named else ("", "")
    first = interleaved(frames_of(scan, names[0]), positions_of(scan, names[0]))
    second = interleaved(frames_of(scan, names[1], 200.0), positions_of(scan, names[1], 200.0))
    late = frames_of(scan, names[0])[40]
    ended, stream = run(model, [*first[:80], *second[:20], late, *second[20:]], with_probe(scan))
    assert [item.object.n_frames for item in ended] == [40, 64]
    assert [item.index for item in ended] == [1, 2]
    assert stream.counters.scans == 2
    assert stream.counters.late == 1
    assert balance(stream) == 0


def test_a_sender_that_returns_goes_on_or_begins_again(model: TrainedModel, scan: RawData) -> None:
    entries = interleaved(frames_of(scan), positions_of(scan))
    ended: list = []
    stream = LiveStream(model, with_probe(scan), on_end=ended.append, clock=lambda: 0.0)

    def take(some: list[Entry]) -> None:
        for entry in some:
            stream.take_frame(entry) if isinstance(entry, Frame) else stream.take_position(entry)
            stream.work()

    take(entries[:60])
    stream.frames_returned()
    stream.positions_returned()
    take(entries[60:])
    stream.frames_returned()
    stream.positions_returned()
    take(interleaved(frames_of(scan, begin_s=300.0, first=3), positions_of(scan, begin_s=300.0, first=3)))
    stream.end()
    assert [item.object.n_frames for item in ended] == [64, 64]
    assert stream.counters.connections_lost == 4


def test_dark_frames_begin_no_object(model: TrainedModel, scan: RawData, caplog: pytest.LogCaptureFixture) -> None:
    dark = [Frame(k, np.zeros((N, N), np.uint16), 50.0 + k * 1e-3, "a") for k in range(9)]
    places = [Position(k, 0.0, 0.0, 50.0 + k * 1e-3, "a") for k in range(9)]
    frames, positions = frames_of(scan, "a", first=9), positions_of(scan, "a", first=9)
    ended, stream = run(model, interleaved([*dark, *frames], [*places, *positions]), with_probe(scan))
    assert stream.counters.refused == 9
    assert [item.object.n_frames for item in ended] == [64]
    assert "cannot begin an object" in caplog.text


def test_many_frames_are_kept_in_bounded_memory(model: TrainedModel, scan: RawData) -> None:
    """More frames than bring the object to scale: a fraction of them does, and the scale hardly changes."""
    counts, places = frames_of(scan), scan.positions_xy.tolist()
    entries: list[Entry] = []
    for k in range(1200):
        entries.append(Frame(k, counts[k % 63].counts, k * 1e-3))
        entries.append(Position(k, *places[k % 63], k * 1e-3))
    ended, _ = run(model, entries, replace(AT_ONCE, photons=scan.mean_photons, probe=scan.probeGuess), work_every=8)
    result = ended[0].object.result()
    assert result is not None
    assert len(ended[0].object._sample._kept) <= 512
    used = scan.select(ended[0].object.log.numbers.astype(int) % 63)
    assert used.n_patterns == 1200
    assert result.info["scale"] == pytest.approx(reconstruct(model, used, polish_steps=0).info["scale"], rel=5e-3)


def test_a_model_of_groups_is_refused(scan: RawData) -> None:
    groups = PtychoModel("cnn", N=N, gridsize=2, n_filters_scale=1, backend="pytorch")
    groups.train(scan, nepochs=1, seed=1, accelerator="cpu")
    with pytest.raises(UnsupportedOptionError, match=r"groups of 4 neighbours.*--gridsize 1"):
        LiveStream(groups.trained)


def test_a_stream_without_any_probe_is_refused(model: TrainedModel) -> None:
    with pytest.raises(DataError, match="Name a scan of this instrument"):
        LiveStream(replace(model, given_probes=None), StreamOptions())
