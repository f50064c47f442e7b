"""One self-contained HTML page: its pictures are part of it, and it may load nothing from anywhere."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from ptychopinn_backend.files.atomic_file import atomic_file
from ptychopinn_backend.files.pictures import failure, own_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_DPI: Final = 110
_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1.5em;
       color: #1c2530; background: #fff; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #d5dbe2; }
p.under { color: #5b6773; margin-top: .2em; } .verdict { font-size: 1.1em; font-weight: 600; }
table { border-collapse: collapse; margin: .6em 0; } td, th { text-align: left; vertical-align: top;
       padding: .25em .8em .25em 0; border-bottom: 1px solid #edf0f3; } th { color: #5b6773; font-weight: 600; }
td.number { font-family: ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.error td:first-child { color: #b3261e; font-weight: 700; }
.warning td:first-child { color: #9a5b00; font-weight: 700; }
.note td:first-child { color: #2e6b3f; }
figure { display: inline-block; margin: .5em 1.2em .5em 0; vertical-align: top; max-width: calc(50% - 1.4em); }
figure.wide { max-width: 100%; }
@media (max-width: 50em) { figure { max-width: 100%; } }
figure img { max-width: 100%; height: auto; } figcaption { color: #5b6773; font-size: .9em; max-width: 40em; }
ul { padding-left: 1.2em; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="under">$under</p>
$body
<p class="under">Written by ptychopinn-backend $version.</p>
</body>
</html>
""")


@dataclass(frozen=True)
class Html:
    """A part of a page whose text is escaped already."""

    text: str
    """HTML."""


def write_page(path: Path, title: str, under: str, parts: Iterable[Html], version: str) -> None:
    """Write a page; a reader sees the whole of it or the one before.

    Args:
        path: the file; missing folders are made.
        title: heading, plain text.
        under: a line below it, plain text.
        parts: in order.
        version: of this package, named at the bottom.

    Raises:
        OSError: the folder cannot be written.
    """
    body = "\n".join(part.text for part in parts)
    text = _PAGE.substitute(title=escape(title), under=escape(under), body=body, version=escape(version))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        stream.write(text.encode())


def heading(text: str) -> Html:
    """Return a heading of a section, from plain text."""
    return Html(f"<h2>{escape(text)}</h2>")


def paragraph(text: str, kind: str = "") -> Html:
    """Return a paragraph, from plain text; `kind` is its class."""
    return Html(f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>")


def listed(texts: Iterable[str]) -> Html:
    """Return a list, from plain texts."""
    return Html("<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], kinds: Iterable[str] | None = None) -> Html:
    """Return a table.

    Args:
        headers: plain text; none leaves the line out.
        rows: plain texts, the cells of a row.
        kinds: class of every row; None gives none.

    Returns:
        HTML.
    """
    rows = list(rows)
    classes = [""] * len(rows) if kinds is None else list(kinds)
    head = "<tr>" + "".join(f"<th>{escape(text)}</th>" for text in headers) + "</tr>" if headers else ""
    body = "".join(
        f'<tr class="{escape(kind)}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row, kind in zip(rows, classes, strict=True)
    )
    return Html(f"<table>{head}{body}</table>")


def facts(values: Mapping[str, object]) -> Html:
    """Return names with their values as a table, from plain texts."""
    rows = "".join(
        f'<tr><th>{escape(name)}</th><td class="number">{escape(str(value))}</td></tr>'
        for name, value in values.items()
    )
    return Html(f"<table>{rows}</table>")


def picture(draw: Callable[[], Figure], name: str, caption: str = "", *, is_wide: bool = False) -> Html:
    """Draw a picture into the page; one that fails leaves a sentence in its place.

    Args:
        draw: returns the figure.
        name: what it shows, for those who cannot see it; plain text.
        caption: below it, plain text.
        is_wide: it takes the whole width of the page.

    Returns:
        HTML.
    """
    try:
        with own_settings():
            stream = io.BytesIO()
            draw().savefig(stream, format="png", dpi=_DPI)
    except Exception as error:
        # Whatever goes wrong in drawing, the rest of the page is wanted.
        logger.debug("The picture '%s' failed.", name, exc_info=True)
        return paragraph(failure(f"'{name}'", error))
    data = base64.b64encode(stream.getvalue()).decode()
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    kind = ' class="wide"' if is_wide else ""
    return Html(f'<figure{kind}><img alt="{escape(name)}" src="data:image/png;base64,{data}">{below}</figure>')
