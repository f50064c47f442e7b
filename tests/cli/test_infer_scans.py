"""`ptychopinn infer` on many scans: a folder each, several at a time, and one that fails stops no other."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptychopinn_backend.cli import main
from ptychopinn_backend.cli.inference_jobs import InferenceJob, output_folders
from ptychopinn_backend.cli.inference_workers import reconstruct_scans
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.config.reading import ASK_THE_FILE
from ptychopinn_backend.data.raw_data import RawData
from ptychopinn_backend.data.simulation import SimulationConfig, simulate
from ptychopinn_backend.errors import DataError

TRAIN = ["--backend", "pytorch", "--preset", "legacy", "--epochs", "1", "--filters-scale", "1", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans a, b, c and a broken one, a file with two objects, and a model."""
    folder = tmp_path_factory.mktemp("many")
    spec = SimulationConfig(size=32, patterns=64, photons=1e5)
    for seed, name in enumerate("abc"):
        simulate(spec, seed).to_file(folder / "scans" / f"{name}.npz")
    (folder / "scans" / "broken.npz").write_bytes(b"PK no scan")
    first, second = (simulate(spec, seed) for seed in (0, 1))
    np.savez(
        folder / "two.npz",
        diffraction=np.concatenate([first.counts, second.counts]),
        xcoords=np.concatenate([first.positions_xy[:, 0], second.positions_xy[:, 0]]),
        ycoords=np.concatenate([first.positions_xy[:, 1], second.positions_xy[:, 1]]),
        probeGuess=first.probe,
        scan_index=np.repeat([3, 7], 64),
    )
    assert main(["train", str(folder / "scans" / "a.npz"), "-o", str(folder / "model"), *TRAIN]) == 0
    return folder


def infer(folder: Path, output: Path, *arguments: str) -> int:
    return main(["infer", str(folder / "model"), "-o", str(output), "--accelerator", "cpu", *arguments])


def reconstructed(output: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(output)) for path in output.rglob("reconstruction.npz"))


def test_a_failing_scan_is_reported_and_the_others_finished(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for processes in ("1", "2"):
        output = tmp_path / processes
        assert infer(folder, output, "--scans", str(folder / "scans"), "--processes", processes) == 2
        assert reconstructed(output) == ["a", "b", "c"]
        said = capsys.readouterr()
        *progress, error = [line for line in said.err.splitlines() if line.startswith(("[", "Error"))]
        assert f"Error: {folder / 'scans' / 'broken.npz'}: " in error
        assert "cut short or damaged" in error
        assert [line.split()[0] for line in progress] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
        assert said.out.splitlines()[-1] == "Reconstructed 3 of 4 scans."
    for name in "abc":
        with (
            np.load(tmp_path / "1" / name / "reconstruction.npz") as one,
            np.load(tmp_path / "2" / name / "reconstruction.npz") as two,
        ):
            # Processes compute with fewer threads, which sum in another order.
            np.testing.assert_allclose(one["object"], two["object"], atol=2e-5)


def test_shares_make_up_the_whole(folder: Path, tmp_path: Path) -> None:
    names = [str(folder / "scans" / f"{name}.npz") for name in "abc"]
    assert infer(folder, tmp_path, "--share", "0/2", "--quiet", *names) == 0
    assert reconstructed(tmp_path) == ["a", "c"]
    assert infer(folder, tmp_path, "--share", "1/2", "--quiet", *names) == 0
    assert reconstructed(tmp_path) == ["a", "b", "c"]


def test_every_object_of_a_file_is_reconstructed_by_itself(folder: Path, tmp_path: Path) -> None:
    assert infer(folder, tmp_path, str(folder / "two.npz"), "--quiet") == 0
    assert reconstructed(tmp_path) == ["object_3", "object_7"]
    whole = RawData.from_file(folder / "two.npz")
    for index in (3, 7):
        whole.by_object()[index].to_file(tmp_path / "part.npz")
        assert infer(folder, tmp_path / "part", str(tmp_path / "part.npz"), "--quiet") == 0
        with (
            np.load(tmp_path / f"object_{index}" / "reconstruction.npz") as found,
            np.load(tmp_path / "part" / "reconstruction.npz") as expected,
        ):
            np.testing.assert_array_equal(found["object"], expected["object"])


def test_a_killed_process_fails_its_scan_only(folder: Path, tmp_path: Path) -> None:
    names = [folder / "scans" / f"{name}.npz" for name in "abc"]
    job = InferenceJob(folder / "model", None, ExecutionConfig(accelerator="cpu"), ASK_THE_FILE, {}, "never")
    outcomes = reconstruct_scans(job, output_folders(names, tmp_path), 2)
    first = next(outcomes)
    for process in multiprocessing.active_children():
        process.kill()
    others = list(outcomes)
    assert first.written
    assert sorted(outcome.scan.stem for outcome in (first, *others)) == ["a", "b", "c"]
    lost = [outcome for outcome in others if outcome.failure]
    assert lost
    assert all("was ended from outside by SIGKILL" in outcome.failure and outcome.of_the_machine for outcome in lost)
    assert all(path.is_file() for outcome in others for path in outcome.written)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "No scan was given"),
        (["--scans", "absent"], "absent"),
        (["SCAN", "SCAN"], "is named twice"),
        (["SCAN", "--share", "2/2"], "must be I/N"),
        (["SCAN", "--share", "half"], "must be I/N"),
        (["SCAN", "--processes", "0"], "is not in the range"),
    ],
)
def test_wrong_use(
    arguments: list[str], words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = str(folder / "scans" / "a.npz")
    assert infer(folder, tmp_path, *(scan if word == "SCAN" else word for word in arguments)) == 2
    assert words in capsys.readouterr().err


def test_a_wrong_archive_is_refused_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans = str(folder / "scans")
    assert main(["infer", str(tmp_path), "-o", str(tmp_path), "--scans", scans, "--processes", "2"]) == 2
    assert capsys.readouterr().err.count("Error") == 1


def test_folders_follow_the_paths_of_the_scans(tmp_path: Path) -> None:
    names = ["a/scan.npz", "b/scan.npz", "b/scan.h5", "c.npz"]
    folders = output_folders([tmp_path / name for name in names], Path("out"))
    assert [str(folder) for folder in folders.values()] == ["out/a/scan", "out/b/scan.npz", "out/b/scan.h5", "out/c"]
    with pytest.raises(DataError, match="is named twice"):
        output_folders([tmp_path / "c.npz", tmp_path / "a" / ".." / "c.npz"], Path("out"))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("processes", ["1", "2"])
def test_warnings_and_probes_of_several_scans_name_the_scan(
    processes: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scans = [tmp_path / f"{name}.npz" for name in "ab"]
    for scan in scans:
        raw = RawData.from_file(folder / "scans" / scan.name)
        replace(raw, probeGuess=None, objectGuess=None).to_file(scan)
    shown = ["--processes", processes, "--polish", "0", "--calibrate", "never"]
    assert infer(folder, tmp_path / "out", *shown, "--scans", *map(str, scans)) == 0
    said = capfd.readouterr().err
    for scan in scans:
        assert said.count(f"Warning: {scan}: The scan has no probe (probeGuess); that of the archive is used") == 1
        assert f"{scan}: {tmp_path / 'out' / scan.stem}, with the probe of the archive\n" in said
