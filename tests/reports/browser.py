"""Pages looked at in a real browser, without a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed; .ci/system-packages has it")


def _run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking")
    # Whatever a page asks for on a network fails: no name has an address.
    apart = ("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'browser'}")
    return subprocess.run([BROWSER, *quiet, *apart, *options], capture_output=True, text=True, timeout=120, check=True)


def screenshot(page: Path, folder: Path, height: int = 2400) -> np.ndarray:
    """Return a page as it is drawn (row, column, colour), 0 to 1."""
    from matplotlib.image import imread

    picture = folder / "page.png"
    _run(folder, f"--window-size=1200,{height}", f"--screenshot={picture}", page.as_uri())
    return np.asarray(imread(picture))[..., :3]


def document(page: Path, folder: Path) -> str:
    """Return the document as the browser understood it."""
    return _run(folder, "--dump-dom", page.as_uri()).stdout


def require_self_contained(text: str) -> None:
    """Raise unless a page neither runs anything nor names anything outside itself."""
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert text.count("<img ") == text.count('src="data:image/png;base64,')
    assert "default-src 'none'" in text


def colourful(picture: np.ndarray) -> float:
    """Return which part of a picture is no shade of grey: that of drawn images."""
    return float(np.mean(np.ptp(picture, axis=-1) > 0.15))
