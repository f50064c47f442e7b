"""Links and pictures of the documentation lead somewhere, and the table of contents names every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from .blocks import ROOT, pages

SNIPPET = re.compile(r'--8<-- "([^"]+)"')
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = {str(page.relative_to(ROOT)): page for page in pages()}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as the site makes them."""
    text = SNIPPET.sub(lambda name: (ROOT / name[1]).read_text(encoding="utf-8"), page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    source = PAGES[page]
    for target in LINK.findall(source.read_text(encoding="utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = source.parent / name if name else source
        assert file.exists(), f"{page} links to '{target}', which is not there"
        if page.startswith("docs/"):
            assert file.resolve().is_relative_to(ROOT / "docs"), f"{page} links to '{target}', which the site lacks"
        if anchor:
            assert anchor in anchors(file), f"{page} links to '{target}', a heading that is not there"


def test_the_contents_name_every_page() -> None:
    def names(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inside = entry.values() if isinstance(entry, dict) else entry
        return [name for item in inside for name in names(item)]  # type: ignore[attr-defined]

    named = names(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    docs = ROOT / "docs"
    assert sorted(named) == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))
    assert len(named) == len(set(named))
