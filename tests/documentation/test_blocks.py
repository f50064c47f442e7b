"""Every block of code in the documentation runs, in the order of its page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from .blocks import ROOT, Block, blocks_of, pages
from .running import commands_of, prepare, run_block, shorten_presets

pytestmark = pytest.mark.slow
PAGES = {str(page.relative_to(ROOT)): blocks_of(page) for page in pages()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepare(folder)
    return folder


# The prepared folder holds a model, which pages train again.
@pytest.mark.filterwarnings("ignore:.*of an earlier training will be replaced")
@pytest.mark.parametrize("page", [name for name, blocks in PAGES.items() if blocks])
def test_page(page: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(prepared, tmp_path / "work")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PTYCHOPINN_BACKEND", "")
    shorten_presets(monkeypatch)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in PAGES[page]:
        run_block(block, namespace, monkeypatch)


def test_few_blocks_are_skipped() -> None:
    blocks = [block for found in PAGES.values() for block in found]
    skipped = [block for block in blocks if block.skipped is not None]
    assert len(blocks) > 30
    assert len(skipped) < len(blocks) / 5, [block.place for block in skipped]


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("python", "raise AssertionError('wrong')\n", "^wrong$"),
        ("bash", "ptychopinn train absent.npz -o out\n", "exit code 2"),
        ("bash", "make no-such-target\n", "No rule to make target"),
        ("bash", 'pip install "ptychopinn-backend[jax]"\n', "no extra 'jax'"),
        ("bash", "srun hostname\n", "is not run by the tests"),
        ("", "hello\n", "neither python, bash, text nor a file"),
    ],
)
def test_a_wrong_block_is_noticed(language: str, text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match=words):
        run_block(Block("page.md", 1, language, text), {}, monkeypatch)


def test_blocks_and_their_comments_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n<!-- file: run.yaml -->\n\n```yaml\nN: 32\n```\n\n<!-- test: skip, needs a window -->\n"
        "```bash\nptychodus\n```\n\n<!-- file: lost -->\nmore text\n\n- item\n\n  ```python\n  a = 1\n  ```\n"
    )
    yaml, window, python = blocks_of(page)
    assert (yaml.file, yaml.text, yaml.line) == ("run.yaml", "N: 32\n", 6)
    assert (window.skipped, window.language) == ("needs a window", "bash")
    assert (python.file, python.text) == (None, "a = 1\n")


def test_continued_lines_are_one_command() -> None:
    assert commands_of("a b \\\n  c   # why\n\n# comment\nd 'e f'\n") == [["a", "b", "c"], ["d", "e f"]]
