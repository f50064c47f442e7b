"""The page: in a real browser, read only, for no other origin."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from ptychopinn_backend.errors import OutputError
from ptychopinn_backend.live.counters import Counters
from ptychopinn_backend.live.display import Display, draw, views_of
from ptychopinn_backend.live.live_object import Picture

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from ptychopinn_backend.live.page import PageServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def picture() -> Picture:
    y, x = np.mgrid[:90, :120]
    light = (500 * np.exp(-((x - 60.0) ** 2 + (y - 45.0) ** 2) / 900)).astype(np.float32)
    obj = ((1 - 0.3 * (np.hypot(x - 60, y - 45) < 20)) * np.exp(0.05j * x)).astype(np.complex64)
    return Picture(obj, light, (0.0, 0.0))


@pytest.fixture
def display() -> Display:
    shown = Display()
    shown.tell({**Counters(frames=1234, used=1200, dropped=34).as_dict(), "connected": True})
    shown.show(views_of(picture()))
    return shown


@pytest.fixture
def server(display: Display) -> Iterator[PageServer]:
    found = PageServer(display, "127.0.0.1", 0)
    yield found
    found.close()


def status(server: PageServer, path: str, method: str = "GET", host: str | None = None) -> int:
    request = Request(server.url.replace("localhost", "127.0.0.1") + path, method=method)
    if host is not None:
        request.add_header("Host", host)
    try:
        with urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_it_answers_reads_alone_and_no_other_name(server: PageServer) -> None:
    for path in ("", "page.js", "page.css", "state.json", "phase.png", "light.png"):
        assert status(server, path) == 200
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert status(server, path, method) == 405
    assert status(server, "nothing.png") == 404
    assert status(server, "../pyproject.toml") == 404
    assert status(server, "", host="evil.example:80") == 400


def test_no_other_origin_may_read_or_frame_it(server: PageServer) -> None:
    with urlopen(server.url.replace("localhost", "127.0.0.1"), timeout=10) as answer:
        headers, text = answer.headers, answer.read().decode()
    assert "Access-Control-Allow-Origin" not in headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert not re.findall(r"https?://", text)


def test_a_taken_port_is_told(server: PageServer, display: Display) -> None:
    port = int(server.url.rsplit(":", 1)[1].rstrip("/"))
    with pytest.raises(OutputError, match="Choose another port"):
        PageServer(display, "127.0.0.1", port)


def test_a_picture_of_nothing_lit_is_drawn() -> None:
    empty = np.zeros((4, 5), np.float32)
    assert draw("phase", empty, empty).startswith(b"\x89PNG")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_real_browser_shows_pictures_and_counters(server: PageServer, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    fixed = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    fixed += ["--virtual-time-budget=4000", "--window-size=1200,1100", "--hide-scrollbars"]
    shot = tmp_path / "page.png"
    subprocess.run([*fixed, f"--screenshot={shot}", server.url], check=True, capture_output=True, timeout=120)
    dumped = subprocess.run([*fixed, "--dump-dom", server.url], check=True, capture_output=True, text=True, timeout=120)
    assert "1234" in dumped.stdout
    assert "120 x 90 pixels" in dumped.stdout
    assert 'src="phase.png?version=1"' in dumped.stdout
    from matplotlib.image import imread

    pixels = imread(shot)[..., :3]
    # The phase is coloured, so the pictures were loaded: text and frames are grey.
    assert np.mean(np.ptp(pixels, axis=-1) > 0.2) > 0.05
