"""The pages of a checked scan and of results: self-contained, complete, and drawn by a real browser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate_scan
from ptychopinn_backend.stitching.reconstruction_file import Reconstruction

from .browser import colourful, document, needs_browser, require_self_contained, screenshot

TINY = ("--preset", "fast", "--epochs", "2", "--groups", "8", "--filters-scale", "1", "--accelerator", "cpu", "-q")


@pytest.fixture(scope="module")
def raw() -> RawData:
    return simulate_scan(SimulationConfig(size=32, patterns=64, photons=1e5), seed=2)


@pytest.fixture(scope="module")
def results(raw: RawData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scan, a model and a reconstruction."""
    folder = tmp_path_factory.mktemp("results")
    raw.to_file(folder / "scan.npz")
    scan, model = str(folder / "scan.npz"), str(folder / "model")
    assert main(["train", scan, "-o", model, "--backend", "pytorch", "--calibrate", "never", *TINY]) == 0
    assert main(["infer", model, scan, "-o", str(folder / "result"), "--calibrate", "never", "-q"]) == 0
    return folder


def test_the_page_of_a_scan(raw: RawData, tmp_path: Path) -> None:
    counts = np.square(raw.diff3d).round()
    counts[:, 10, 13] = 0
    scan = replace(raw, diff3d=np.sqrt(counts).astype(np.float32), metadata={"measurement": "amplitudes"})
    scan.to_file(tmp_path / "a <b> & c.npz")
    page = tmp_path / "page.html"
    assert main(["check", str(tmp_path / "a <b> & c.npz"), "-o", str(page), "--mend", str(tmp_path / "m.npz")]) == 1
    text = page.read_text()
    require_self_contained(text)
    assert "Check of a &lt;b&gt; &amp; c.npz" in text
    for words in (
        "Mean pattern with the mask",
        "Dose over the scan",
        "Positions with the probe&#x27;s footprint",
        "Probe modes",
        "Histogram of counts",
        "R-factor of every way the positions may run",
        "1 detector pixel (row 10, column 13) never counts",
        "What --mend changes",
        "SHA-256",
        "to train",
    ):
        assert words in text
    assert text.count("<img ") == 6
    again = RawData.from_file(tmp_path / "m.npz")
    assert again.bad_pixels is not None
    assert np.argwhere(again.bad_pixels).tolist() == [[10, 13]]


def test_the_page_of_a_scan_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scan.h5").write_text("nothing")
    page = tmp_path / "page.html"
    words = ["check", str(tmp_path / "scan.h5"), "-o", str(page), "--mend", str(tmp_path / "mended.npz")]
    assert main(words) == 2
    said = capsys.readouterr()
    assert "not an HDF5 file" in said.err
    assert "Nothing was written to" in said.out
    assert not (tmp_path / "mended.npz").exists()
    require_self_contained(page.read_text())
    assert "It cannot be used as it is." in page.read_text()


def test_the_page_of_a_training(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "training.html"
    assert main(["report", str(results / "model"), "-o", str(page)]) == 0
    text = page.read_text()
    require_self_contained(text)
    for words in ("Losses of the training", "backprojection_unet", "run.yaml", "torch", "SHA-256", "scan.npz"):
        assert words in text
    inputs = json.loads((results / "model" / "inputs.json").read_text())["inputs"]
    assert [item["name"] for item in inputs] == ["scan.npz"]
    assert inputs[0]["sha256"] in text


def test_the_page_of_a_reconstruction(results: Path, tmp_path: Path) -> None:
    scan, made = str(results / "scan.npz"), results / "result"
    members = dict(np.load(made / "reconstruction.npz"))
    members["uncertainty"] = np.full(members["object"].shape, 0.1, np.float32)
    np.savez(tmp_path / "reconstruction.npz", **members)
    page = tmp_path / "report.html"
    further = ["--reference", str(made), "--truth", scan, "--model", str(results / "model")]
    assert main(["report", str(tmp_path), "--scan", scan, *further, "-q"]) == 0
    text = page.read_text()
    require_self_contained(text)
    for words in (
        "Amplitude and phase of the object",
        "Light over the object",
        "Uncertainty",
        "R-factor by pattern over the scan",
        "worst patterns",
        "Ring correlation: Against a reference",
        "Ring correlation: Against the truth",
        "Ring correlation: Even against odd patterns",
        "read then: ",
    ):
        assert words in text, words
    info = Reconstruction.load_npz(made / "reconstruction.npz").info
    assert [item["name"] for item in info["inputs"]] == ["scan.npz", "wts.h5.zip"]
    assert all(item["sha256"] in text for item in info["inputs"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "absent"], "absent does not exist. Name the folder that 'train' or 'infer' wrote."),
        (["report", "."], "holds neither wts.h5.zip nor reconstruction.npz"),
        (["check", "scan.npz", "--mend", "scan.h5"], "--mend scan.h5 is no NPZ"),
    ],
)
def test_what_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert message in capsys.readouterr().err


@needs_browser
def test_pages_in_a_browser(results: Path, tmp_path: Path) -> None:
    scan = str(results / "scan.npz")
    assert main(["check", scan, "-o", str(tmp_path / "scan.html")]) == 0
    assert main(["report", str(results / "result"), "--scan", scan, "-o", str(tmp_path / "result.html"), "-q"]) == 0
    assert main(["report", str(results / "model"), "-o", str(tmp_path / "model.html"), "-q"]) == 0
    for name, least in (("scan", 0.1), ("result", 0.03), ("model", 1e-4)):
        page = tmp_path / f"{name}.html"
        picture = screenshot(page, tmp_path)
        # Drawn pictures have colours; a page whose images the browser refused has none but those of its words.
        assert colourful(picture) > least, name
        without = tmp_path / "without.html"
        without.write_text(page.read_text().replace("data:image/png;base64,", "https://example.invalid/"))
        assert colourful(screenshot(without, tmp_path)) < colourful(picture) / 2, name
        assert document(page, tmp_path).count("<img ") == page.read_text().count("<img ")
