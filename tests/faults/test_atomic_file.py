"""What is written atomically has the user's permissions, and leaves nothing behind when it fails."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptychopinn_backend.files.atomic_file import atomic_file


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path, umask: int) -> None:
    with atomic_file(tmp_path / "out.bin") as file:
        file.write(b"whole")
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == 0o666 & ~umask


def test_text_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "out.txt", "w", newline="") as file:
        file.write("µm\n")
    assert (tmp_path / "out.txt").read_bytes() == "µm\n".encode()


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")

    def write_and_fail() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise failure

    with pytest.raises(type(failure)):
        write_and_fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_without_folder_is_in_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_file("out.bin") as file:
        file.write(b"here")
    assert (tmp_path / "out.bin").read_bytes() == b"here"
