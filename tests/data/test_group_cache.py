from __future__ import annotations

import logging

import numpy as np
import pytest

from ptychopinn_backend.data.group_cache import cache_path
from ptychopinn_backend.data.grouping import GroupingOptions, group_positions
from ptychopinn_backend.files.npz import read_npz, write_npz


@pytest.fixture
def positions():
    return np.random.default_rng(0).uniform(0, 50, (2, 40))


def draw(positions, dataset_path, **changes):
    return group_positions(
        *positions,
        GroupingOptions(
            **{"n_groups": 20, "gridsize": 2, "neighbor_count": 6, "seed": 1, "dataset_path": dataset_path, **changes}
        ),
    ).nn_indices


def test_name():
    assert str(cache_path("folder/scan.npz", 2, 7)).endswith("scan.g2k7.groups_cache.npz")


def test_cached_neighbours_are_used(tmp_path, positions):
    dataset = tmp_path / "scan.npz"
    expected = draw(positions, dataset)
    path = cache_path(dataset, 2, 6)
    assert path.is_file()
    kept = read_npz(path, ("fingerprint", "neighbours"))
    reversed_neighbours = np.full_like(kept["neighbours"], 3)
    write_npz(path, {**kept, "neighbours": reversed_neighbours})
    assert (draw(positions, dataset) == 3).all()
    path.unlink()
    np.testing.assert_array_equal(draw(positions, dataset), expected)
    np.testing.assert_array_equal(draw(positions, dataset), expected)


def test_no_data_set_no_cache(tmp_path, positions, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(positions, None)
    draw(positions, tmp_path / "scan.npz", gridsize=1)
    assert list(tmp_path.iterdir()) == []


def test_other_positions_replace_the_cache(tmp_path, positions):
    dataset = tmp_path / "scan.npz"
    draw(positions, dataset)
    moved = positions.copy()
    moved[0, 3] += 1e-9
    before = read_npz(cache_path(dataset, 2, 6), ("fingerprint",))["fingerprint"]
    np.testing.assert_array_equal(draw(moved, dataset), draw(moved, None))
    assert read_npz(cache_path(dataset, 2, 6), ("fingerprint",))["fingerprint"] != before


@pytest.mark.parametrize("damage", ["text", "shape", "range", "missing"])
def test_damaged_cache_is_rebuilt_with_a_log_line(tmp_path, positions, caplog, damage):
    dataset = tmp_path / "scan.npz"
    expected = draw(positions, dataset)
    path = cache_path(dataset, 2, 6)
    kept = read_npz(path, ("fingerprint", "neighbours"))
    if damage == "text":
        path.write_bytes(b"PK not a zip")
    elif damage == "shape":
        write_npz(path, {**kept, "neighbours": kept["neighbours"][:, :5]})
    elif damage == "range":
        write_npz(path, {**kept, "neighbours": kept["neighbours"] + np.int32(40)})
    else:
        write_npz(path, {"fingerprint": kept["fingerprint"]})
    with caplog.at_level(logging.INFO, logger="ptychopinn_backend"):
        np.testing.assert_array_equal(draw(positions, dataset), expected)
    assert sum("rebuilt" in record.message for record in caplog.records) == 1
    caplog.clear()
    np.testing.assert_array_equal(draw(positions, dataset), expected)
    assert not caplog.records


def test_folder_that_cannot_be_written_is_one_log_line(tmp_path, positions, caplog):
    with caplog.at_level(logging.INFO, logger="ptychopinn_backend"):
        indices = draw(positions, tmp_path / "absent" / "scan.npz")
    np.testing.assert_array_equal(indices, draw(positions, None))
    assert [record.message for record in caplog.records if "not cached" in record.message] != []
    assert len(caplog.records) == 1
