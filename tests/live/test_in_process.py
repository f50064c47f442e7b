"""A session on channels of a sender in this process: what it publishes, when it ends, and what it leaves."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("p4p")

from p4p.client.thread import RemoteError

from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.live.channels import LOOPBACK, Network, frame_of, open_client
from ptychopinn_backend.live.display import Display
from ptychopinn_backend.live.messages import Position
from ptychopinn_backend.live.session import Session, SessionOptions
from ptychopinn_backend.runs.trained_model import TrainedModel
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

from .senders import Sender, now_stamped, running, until
from .streams import AT_ONCE, frames_of, positions_of


@pytest.fixture
def network(port: int) -> Network:
    return Network(search_port=port)


def session_of(
    model: TrainedModel, scan: RawData, output: Path, network: Network, display: Display | None = None, **more: Any
) -> Session:
    chosen: dict[str, Any] = {"prefix": None, "stop": "pva://t:done", "keep_frames": False, "idle_s": 30.0, **more}
    options = SessionOptions("pva://t:frames", "pva://t:positions", output, network=network, **chosen)
    return Session(model, replace(AT_ONCE, probe=scan.probeGuess), options, display)


def test_the_growing_object_is_published_and_nobody_can_write_to_it(
    model: TrainedModel, scan: RawData, tmp_path: Path, network: Network
) -> None:
    sender = Sender(network)
    with running(session_of(model, scan, tmp_path, network, prefix="t:live")) as live:
        live.wait_for_senders()
        sender.send(*now_stamped(frames_of(scan), positions_of(scan)))
        with open_client(network) as client:
            until(lambda: client.get("t:live:counters")["used"] == 64)
            until(lambda: frame_of(client.get("t:live:amplitude"), 0.0) is not None)
            amplitude, phase = (frame_of(client.get(f"t:live:{view}"), 0.0) for view in ("amplitude", "phase"))
            assert amplitude is not None
            assert phase is not None
            assert amplitude.counts.shape == phase.counts.shape
            assert amplitude.counts.dtype == np.float32
            assert np.abs(phase.counts).max() <= np.pi
            for channel in ("counters", "amplitude"):
                with pytest.raises(RemoteError):
                    client.put(f"t:live:{channel}", {"used": 0} if channel == "counters" else {"uniqueId": 0})
            assert client.get("t:live:counters")["used"] == 64
        sender.end()
        live.wait()
    sender.close()
    assert live.reason == "the stop channel"
    assert Reconstruction.load_npz(tmp_path / "reconstruction.npz").object.ndim == 2


def listening() -> set[str]:
    """Return local addresses at which this process takes connections, as in /proc/net/tcp."""
    mine = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            mine.add(str(entry.readlink()))
        except OSError:
            continue
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{name}").read_text().splitlines()
    ]
    return {words[1] for words in lines if words[3] == "0A" and f"socket:[{words[9]}]" in mine}


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="there is no list of sockets here")
def test_no_connection_is_taken_outside_the_loopback_interface(
    model: TrainedModel, scan: RawData, tmp_path: Path, network: Network
) -> None:
    before = listening()
    session = session_of(model, scan, tmp_path, network, prefix="t:live")
    opened = listening() - before
    session.close()
    local = "".join(f"{int(part):02X}" for part in reversed(LOOPBACK.split(".")))
    assert opened
    assert {address.partition(":")[0] for address in opened} == {local}


def test_the_stop_channel_is_heard_while_the_encoder_runs_on(
    model: TrainedModel, scan: RawData, tmp_path: Path, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """It is true from an earlier scan at first, and counts when it is set anew."""
    sender, ended = Sender(network, is_done=True), threading.Event()

    def run_on() -> None:
        number = 10**4
        while not ended.wait(0.001):
            number += 1
            sender.send([], [Position(number, 0.0, 0.0, number * 1e-3)])

    encoder = threading.Thread(target=run_on)
    try:
        with running(session_of(model, scan, tmp_path, network)) as live:
            live.wait_for_senders()
            sender.send(*now_stamped(frames_of(scan), positions_of(scan)))
            encoder.start()
            until(lambda: live.count("used") == 64)
            assert "The stop channel is true already" in caplog.text
            assert live.reason == ""
            sender.end()
            live.wait(10.0)
    finally:
        ended.set()
        encoder.join()
        sender.close()
    assert live.reason == "the stop channel"


def test_a_silent_detector_ends_the_session_while_the_encoder_runs_on(
    model: TrainedModel, scan: RawData, tmp_path: Path, network: Network
) -> None:
    sender = Sender(network)
    with running(session_of(model, scan, tmp_path, network, idle_s=0.5)) as live:
        live.wait_for_senders()
        sender.send(*now_stamped(frames_of(scan), positions_of(scan)))
        for number in range(10**4, 10**4 + 3000):
            sender.send([], [Position(number, 0.0, 0.0, number * 1e-3)])
            if live.reason:
                break
            threading.Event().wait(0.002)
        live.wait(10.0)
    sender.close()
    assert live.reason.startswith("no frame found its position for")
    assert live.count("used") == 64


def test_a_sender_that_comes_back_loses_nothing(
    model: TrainedModel, scan: RawData, tmp_path: Path, network: Network
) -> None:
    """It opens its channels with the first frame after the gap, as after the gap of a network."""
    frames, positions = now_stamped(frames_of(scan), positions_of(scan))
    sender = Sender(network)
    with running(session_of(model, scan, tmp_path, network)) as live:
        live.wait_for_senders()
        sender.send(frames[:32], positions[:32])
        until(lambda: live.count("used") == 32)
        sender.close()
        until(lambda: not live.session._frames.is_connected)
        sender = Sender(network, first=(frames[32], positions[32]))
        live.wait_for_senders()
        sender.send(frames[33:], positions[33:])
        until(lambda: live.count("used") == 64)
        live.ask_to_end()
        live.wait()
    sender.close()
    assert live.reason == "asked to"
    assert (live.count("connections_lost"), live.count("scans"), live.count("missing")) == (2, 1, 0)


def test_what_was_there_before_the_session_is_of_the_past(
    model: TrainedModel, scan: RawData, tmp_path: Path, network: Network
) -> None:
    old = frames_of(scan)[5], positions_of(scan)[5]
    sender = Sender(network, first=old)
    with running(session_of(model, scan, tmp_path, network)) as live:
        live.wait_for_senders()
        sender.send(*now_stamped(frames_of(scan), positions_of(scan)))
        until(lambda: live.count("used") == 64)
        assert live.count("frames") == live.count("positions") == 64
    sender.close()


class Broken(Display):
    """Fails when the object is well on its way."""

    def tell(self, state: dict[str, Any]) -> None:
        if state["used"] >= 8:
            raise RuntimeError("the display broke")


def test_whatever_goes_wrong_the_object_so_far_is_written(
    model: TrainedModel, scan: RawData, tmp_path: Path, network: Network
) -> None:
    sender = Sender(network)
    with running(session_of(model, scan, tmp_path, network, Broken())) as live:
        live.wait_for_senders()
        sender.send(*now_stamped(frames_of(scan), positions_of(scan)))
        live.wait()
    sender.close()
    assert str(live.error) == "the display broke"
    assert Reconstruction.load_npz(tmp_path / "reconstruction.npz").info["n_patterns"] == live.count("used") >= 8
