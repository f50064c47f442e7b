"""Building at once, dying while building, rebuilding and reusing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptychopinn_backend.config import ModelConfig
from ptychopinn_backend.data.dataset import DatasetOptions, ScanDataset, create_dataset, open_dataset
from ptychopinn_backend.data.grouping import GroupingOptions
from ptychopinn_backend.errors import DataError, DataFileNotFoundError
from tests.data.dataset.builders import OPTIONS
from tests.data.dataset.conftest import scan_members, write_training_hdf5


def start(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.data.dataset.builders", *map(str, arguments)]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)


def stored_files(folder: Path) -> dict[str, int]:
    """Return inode by name of the pattern files: a rebuilt file has another one."""
    return {path.name: path.stat().st_ino for path in folder.glob("patterns-*/*-patterns.npy")}


def test_of_several_processes_one_builds_and_all_get_the_same(scans: list[Path], tmp_path: Path) -> None:
    np.savez(scans[0], **scan_members(1, 4000))
    at = time.time() + 2.5
    processes = [start(at, tmp_path / "set", *scans) for _ in range(3)]
    results = []
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        results.append(json.loads(out))
    assert sum(result["built"] for result in results) == 1
    assert results[0]["rows"] == results[1]["rows"] == results[2]["rows"]
    assert not list((tmp_path / "set").glob("building-*"))


def test_killed_builder_leaves_nothing_that_is_taken_for_whole(
    scans: list[Path], tmp_path: Path, model: ModelConfig
) -> None:
    np.savez(scans[1], **scan_members(1, 200))
    folder = tmp_path / "set"
    process = start("killed", folder, *scans)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGXFSZ, errors
    assert list(folder.glob("building-*/*"))
    with pytest.raises(DataFileNotFoundError, match="holds no data set"):
        open_dataset(folder)
    dataset = create_dataset(scans, folder, model, OPTIONS)
    assert dataset.n_patterns == 40 + 200 + 25
    assert not list(folder.glob("building-*"))
    np.testing.assert_array_equal(dataset.X, open_dataset(folder).X)


def test_failed_build_leaves_nothing_behind(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    scans[1].write_bytes(scans[1].read_bytes()[:-4000])
    with pytest.raises(DataError, match="is cut short or damaged"):
        create_dataset(scans, tmp_path / "set", model)
    members = scan_members(2, 30)
    members["diffraction"] = members["diffraction"].astype(np.float32)
    members["diffraction"][3:, :20] = -1
    np.savez(scans[1], **members)
    with pytest.raises(DataError, match=r"b_amplitudes.npz: diffraction holds -1.0 in pattern 3 at row 0, column 0"):
        create_dataset(scans, tmp_path / "set", model)
    assert [item.name for item in (tmp_path / "set").iterdir()] == [".lock"]


def test_reused_only_while_sources_and_options_are_the_same(
    scans: list[Path], tmp_path: Path, model: ModelConfig
) -> None:
    folder = tmp_path / "set"
    first = create_dataset(scans, folder, model, OPTIONS)
    before = stored_files(folder)
    again = create_dataset([scans[0].parent], folder, model, OPTIONS)
    np.testing.assert_array_equal(again.nn_indices, first.nn_indices)
    for scan in scans[:2]:
        os.utime(scan, ns=(1, 1))
    create_dataset(scans, folder, model, OPTIONS)
    assert stored_files(folder) == before

    members = scan_members(1, 40)
    members["diffraction"][17, 5, 5] += 1
    status = scans[0].stat()
    np.savez(scans[0], **members)
    assert scans[0].stat().st_size == status.st_size
    os.utime(scans[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = create_dataset(scans, folder, model, OPTIONS)
    assert set(stored_files(folder).values()).isdisjoint(before.values())
    assert changed.mean_photons != first.mean_photons
    assert len(list(folder.glob("patterns-*"))) == len(list(folder.glob("groups-*"))) == 1


def test_changed_hdf5_is_read_again(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    first = create_dataset(scans[2], tmp_path / "set", model, OPTIONS)
    members = scan_members(3, 25)
    members["diffraction"][3] += 2
    write_training_hdf5(scans[2], members)
    assert create_dataset(scans[2], tmp_path / "set", model, OPTIONS).mean_photons > first.mean_photons


def test_other_groups_keep_the_patterns(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    folder = tmp_path / "set"
    create_dataset(scans, folder, model, OPTIONS)
    before = stored_files(folder)
    other = create_dataset(scans, folder, model, DatasetOptions(grouping=GroupingOptions(n_groups=5, seed=1)))
    single = create_dataset(scans, folder, ModelConfig(N=32))
    assert (other.n_groups, single.n_groups, single.channels) == (15, 95, 1)
    assert stored_files(folder) == before
    assert len(list(folder.glob("groups-*"))) == 1


def test_other_order_or_choice_of_files_is_another_data_set(
    scans: list[Path], tmp_path: Path, model: ModelConfig
) -> None:
    folder = tmp_path / "set"
    assert create_dataset(scans, folder, model).names[0] == "a_counts.npz"
    assert create_dataset(scans[::-1], folder, model).names[0] == "c_ptychodus.h5"
    assert create_dataset(scans[:1], folder, model).n_patterns == 40


def test_opens_without_its_sources_and_in_a_read_only_folder(
    scans: list[Path], tmp_path: Path, model: ModelConfig
) -> None:
    folder = tmp_path / "set"
    made = create_dataset(scans, folder, model)
    for item in [*folder.rglob("*"), folder]:
        item.chmod(0o555 if item.is_dir() else 0o444)
    try:
        assert create_dataset(scans, folder, model).n_groups == made.n_groups
        for scan in scans:
            scan.unlink()
        np.testing.assert_array_equal(open_dataset(folder).X, made.X)
    finally:
        for item in [folder, *folder.rglob("*")]:
            item.chmod(0o755)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("pattern", ["patterns-*/scan-00001-patterns.npy", "patterns-*/scan-00001.npz", "groups-*.npz"])
def test_damaged_data_set_is_refused_and_rebuilt(
    scans: list[Path], tmp_path: Path, model: ModelConfig, pattern: str
) -> None:
    made = create_dataset(scans, tmp_path / "set", model, OPTIONS)
    damage(next((tmp_path / "set").glob(pattern)))
    with pytest.raises(DataError, match=r"cannot be read|cut short or damaged"):
        open_dataset(tmp_path / "set")
    rebuilt = create_dataset(scans, tmp_path / "set", model, OPTIONS)
    assert rebuilt.n_patterns == made.n_patterns


@pytest.mark.parametrize(
    "change",
    [
        {"pattern_rows": np.full((60, 4), 40, np.int32)},
        {"pattern_rows": np.full((60, 4), -1, np.int32)},
        {"pattern_rows": np.zeros((60, 1), np.int32)},
        {"scan_index": np.zeros(60, np.int32)},
        {"scan_index": np.int32(0)},
        {"scan_index": np.repeat(np.arange(3, dtype=np.int32), 20)[::-1]},
        {"scan_index": np.repeat(np.arange(3.0), 20)},
    ],
)
def test_altered_groups_are_refused(
    scans: list[Path], tmp_path: Path, model: ModelConfig, change: dict[str, Any]
) -> None:
    create_dataset(scans, tmp_path / "set", model, OPTIONS)
    path = next((tmp_path / "set").glob("groups-*.npz"))
    np.savez(path, **{**dict(np.load(path)), **change})
    with pytest.raises(DataError, match=r"does not hold groups of the data set's 3 scan"):
        open_dataset(tmp_path / "set")


def test_altered_description_and_patterns_are_refused(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    create_dataset(scans, tmp_path / "set", model, OPTIONS)
    patterns = next((tmp_path / "set").glob("patterns-*/scan-00000-patterns.npy"))
    np.save(patterns, np.asfortranarray(np.load(patterns)))
    with pytest.raises(DataError, match=r"holds \(40, 32, 32\) values of uint16"):
        open_dataset(tmp_path / "set")
    path = tmp_path / "set" / "dataset.json"
    path.write_text(path.read_text().replace('"gridsize": 2', '"gridsize": -2'))
    with pytest.raises(DataError, match="names a model this package does not know"):
        open_dataset(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_scans", 1.0), ("n_scans", 0), ("groups", None), ("patterns", "../../elsewhere"), ("normalize", [0])],
)
def test_value_of_another_type_in_the_description_is_refused(
    scans: list[Path], tmp_path: Path, model: ModelConfig, name: str, value: object
) -> None:
    create_dataset(scans[:1], tmp_path / "set", model, OPTIONS)
    path = tmp_path / "set" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(DataError, match=f"says {name} = .*, which no data set has"):
        open_dataset(tmp_path / "set")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e38])
def test_altered_values_of_patterns_are_noticed(
    scans: list[Path], tmp_path: Path, model: ModelConfig, value: float
) -> None:
    reader = create_dataset(scans[:1], tmp_path / "set", model, OPTIONS)
    patterns = next((tmp_path / "set").glob("patterns-*/scan-00000-patterns.npy"))
    altered = np.load(patterns).astype(np.float64)
    altered[:, 3, 4] = value
    np.save(patterns, altered)
    reopened = open_dataset(tmp_path / "set")
    with pytest.raises(DataError, match=r"values that are not finite or beyond 1e\+18"):
        reopened.batch(np.arange(reader.n_groups))


def test_data_set_replaced_under_a_reader_is_noticed(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    reader = create_dataset(scans, tmp_path / "set", model)
    create_dataset(scans[:1], tmp_path / "set", model)
    with pytest.raises(DataError, match="Was the data set rebuilt or removed"):
        reader.batch(np.arange(3))


DESCRIPTIONS = {
    "no JSON": ("{", "cannot be read"),
    "foreign": ('{"name": "other"}', "does not describe a data set of this package"),
    "newer": (
        '{"format": "ptychopinn-backend data set", "version": 2}',
        "format version 2; this package reads version 1",
    ),
    "deep": ("[" * 100_000, "cannot be read"),
    "incomplete": ('{"format": "ptychopinn-backend data set", "version": 1}', "description is incomplete"),
}


@pytest.mark.parametrize(("text", "words"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_bad_description_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path)


def test_other_model_is_refused(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    create_dataset(scans, tmp_path / "set", model)
    with pytest.raises(DataError, match=r"made for N = 32 and gridsize = 2; the model has N = 32 and gridsize = 1"):
        open_dataset(tmp_path / "set", ModelConfig(N=32))


def test_folder_with_other_files_is_left_alone(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    with pytest.raises(DataError, match=r"holds 'a_counts.npz', which is no part of a data set"):
        create_dataset(scans, scans[0].parent, model)
    with pytest.raises(DataError, match="is a file; a data set is a folder"):
        create_dataset(scans, scans[0], model)
    assert [item.name for item in sorted(scans[0].parent.iterdir())] == [item.name for item in scans]


def refused(sources: Any, folder: Path, words: str, model: ModelConfig, **options: Any) -> None:
    with pytest.raises(DataError, match=words):
        create_dataset(sources, folder, model, DatasetOptions(**options))


def test_bad_sources_are_refused(scans: list[Path], tmp_path: Path, model: ModelConfig) -> None:
    folder = tmp_path / "set"
    refused([], folder, "No scan was given", model)
    refused(tmp_path / "absent.npz", folder, "absent.npz does not exist", model)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", folder, "holds no scan file", model)
    refused(scans, folder, "made for N = 64; they must", ModelConfig(N=64))
    refused(scans, folder, "None of|must be|K|neighbor_count", model, grouping=GroupingOptions(neighbor_count=3))


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "no probe": ({"probeGuess": None}, "has no probe"),
    "no positions": ({"xcoords": None}, "lacks 'xcoords'"),
    "no patterns": ({"diffraction": None}, "lacks 'diffraction' or 'diff3d'"),
    "counts differ": ({"xcoords": np.zeros(39), "ycoords": np.zeros(39)}, "holds 40 patterns for 39 scan positions"),
    "not square": ({"diffraction": np.zeros((40, 32, 31), np.uint16)}, "must be square"),
    "complex": ({"diffraction": np.zeros((40, 32, 32), np.complex64)}, "expected real numbers"),
    "objects": ({"diffraction": np.full((40, 1, 1), None)}, "array of Python objects"),
    "NaN": ({"diffraction": np.full((40, 32, 32), np.nan, np.float32)}, "must be finite"),
    "dark": ({"diffraction": np.zeros((40, 32, 32), np.uint16)}, "hold 0 photons"),
    "no labels": ({"objectGuess": None}, "neither Y nor objectGuess"),
    "labels of another length": ({"Y": np.zeros((39, 32, 32), np.complex64)}, "Y holds 39 patches for 40 scan points"),
    "labels not complex": ({"Y": np.zeros((40, 32, 32), np.float32)}, "Y has type float32"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_scans_are_checked_as_in_memory(tmp_path: Path, model: ModelConfig, change: dict[str, Any], words: str) -> None:
    members = {key: value for key, value in {**scan_members(1, 40), **change}.items() if value is not None}
    np.savez(tmp_path / "scan.npz", **members)
    refused(tmp_path / "scan.npz", tmp_path / "set", words, model, with_labels=True)
    assert not (tmp_path / "set" / "dataset.json").exists()


def test_altered_array_is_noticed_while_it_streams(tmp_path: Path, model: ModelConfig) -> None:
    np.savez(tmp_path / "scan.npz", **scan_members(1, 40))
    content = bytearray((tmp_path / "scan.npz").read_bytes())
    content[5000] ^= 1
    (tmp_path / "scan.npz").write_bytes(content)
    refused(tmp_path / "scan.npz", tmp_path / "set", "is damaged: Bad CRC-32", model)


def test_disk_needed_is_known_before_work_begins(tmp_path: Path, model: ModelConfig) -> None:
    from ptychopinn_backend.data.dataset.sources import bytes_to_store, read_scan_file

    np.savez(tmp_path / "scan.npz", **scan_members(1, 40))
    scan = read_scan_file(tmp_path / "scan.npz")
    of_object = scan.facts["objectGuess"].nbytes
    assert bytes_to_store(scan, with_labels=False) == 40 * 32 * 32 * 2 + of_object
    assert bytes_to_store(scan, with_labels=True) == 40 * 32 * 32 * 10 + of_object
    assert isinstance(create_dataset(tmp_path / "scan.npz", tmp_path / "set", model), ScanDataset)
