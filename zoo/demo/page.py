"""One HTML page that needs nothing but itself: pictures are inside it, style too, and it asks no server for anything."""

from __future__ import annotations

import importlib.resources
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from zoo.model import Model

SIGN = '<meta name="generator" content="zoo demo">'
LABEL = "demo weights: not for science"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image inside the page.

    Attributes:
        uri: `data:image/...;base64,...`
        alt: what there is to see, for those who do not see it.
        title, caption: below it.
        exact: whether to show its pixels as squares rather than smoothed.
    """

    uri: str
    alt: str
    title: str = ""
    caption: str = ""
    exact: bool = False

    def html(self) -> str:
        kind = ' class="exact"' if self.exact else ""
        image = f'<img{kind} src="{self.uri}" alt="{escape(self.alt)}">'
        return f"<figure>{image}<figcaption><b>{escape(self.title)}</b>{escape(self.caption)}</figcaption></figure>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """A chip in a row of look-alikes; `same` marks those of the cover that was asked for."""

    uri: str
    text: str
    likeness: float | None = None
    same: bool = False

    def html(self, *, first: bool) -> str:
        names = " ".join(name for name, on in (("first", first), ("same", self.same)) if on)
        said = self.text if self.likeness is None else f"{self.text}, similarity {self.likeness:.2f}"
        below = "" if self.likeness is None else f"<br>{self.likeness:.2f}"
        kind = f' class="{names}"' if names else ""
        return f'<td{kind}><img src="{self.uri}" alt="{escape(said)}">{escape(self.text)}{below}</td>'


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """Rows of a query and, per group, what lies nearest to it."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Neighbour, tuple[tuple[Neighbour, ...], ...]], ...]

    def html(self) -> str:
        spans = [len(group) for group in self.rows[0][1]]
        heads = "".join(
            f'<th colspan="{span}">{escape(head)}</th>' for head, span in zip(self.heads, spans, strict=True)
        )
        lines = [f"<tr><th>this chip</th>{heads}</tr>"]
        for query, groups in self.rows:
            cells = "".join(one.html(first=place == 0) for group in groups for place, one in enumerate(group))
            lines.append(f"<tr>{query.html(first=False)}{cells}</tr>")
        return f'<div class="scroll"><table class="near">{"".join(lines)}</table></div>'


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading, a few words (`code` in backticks), and below it pictures, look-alikes, numbers, commands."""

    title: str
    words: str
    pictures: tuple[Picture, ...] = ()
    columns: int = 3  # of pictures, on a wide screen
    legend: tuple[tuple[str, str], ...] = ()  # of the pictures: (name, "#rrggbb")
    legend_title: str = ""
    neighbours: Neighbours | None = None
    numbers: tuple[tuple[str, ...], ...] = ()  # first row: the head
    commands: tuple[str, ...] = ()

    def html(self) -> str:
        words = re.sub("`(.+?)`", r"<code>\1</code>", escape(self.words))
        parts = [f"<h2>{escape(self.title)}</h2><p>{words}</p>"]
        if self.pictures:
            cards = "".join(one.html() for one in self.pictures)
            parts.append(f'<div class="figures" style="--columns: {self.columns}">{cards}{self._legend()}</div>')
        if self.neighbours:
            parts.append(self.neighbours.html())
        if self.numbers:
            parts.append(_table(self.numbers))
        if self.commands:
            parts.append(f"<pre><code>{escape(chr(10).join(self.commands))}</code></pre>")
        return "".join(parts)

    def _legend(self) -> str:
        items = (f'<li><i style="background:{colour}"></i>{escape(name)}</li>' for name, colour in self.legend)
        title = f"<li><b>{escape(self.legend_title)}</b></li>"
        return f'<ul class="legend">{title}{"".join(items)}</ul>' if self.legend else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """One model: what it is, what it did, and with which weights."""

    reference: str
    summary: str
    lead: str
    sections: tuple[Section, ...]
    weights: str

    @classmethod
    def of(cls, model: Model, lead: str, sections: Sequence[Section]) -> Self:
        told = model.provenance({})
        digest = f", sha256 {told.sha256}" if told.sha256 else ""
        return cls(
            reference=model.name,
            summary=f"{model.spec.summary}; here: {model.variant.summary}",
            lead=lead,
            sections=tuple(sections),
            weights=f"{told.weights}{digest}",
        )

    def html(self) -> str:
        head = f"<h1>{escape(self.reference)}</h1><p class='lead'>{escape(self.summary)}</p>"
        badge = f'<div class="badge">{LABEL}</div><p>{escape(self.lead)}</p>'
        return f"<section>{head}{badge}{''.join(one.html() for one in self.sections)}</section>"


def render(chapters: Sequence[Chapter], *, seconds: float) -> str:
    """The page as HTML; it says when, with which versions and for how long it was made."""
    from zoo import __version__

    style = importlib.resources.files("zoo.demo").joinpath("style.css").read_text(encoding="utf-8")
    names = ", ".join(chapter.reference for chapter in chapters)
    made = f"zoo {__version__}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d %H:%M')}, {seconds:.0f} s"
    weights = "".join(f"<p>{escape(one.reference)}: weights {escape(one.weights)}</p>" for one in chapters)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{SIGN}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>zoo demo: {escape(names)}</title><style>{style}</style></head>'
        f"<body><main>{''.join(chapter.html() for chapter in chapters)}"
        f"<footer><p>Made by <code>zoo demo</code>: {escape(made)}.</p>{weights}"
        "<p>The place is invented, from a seed: land and sensors are those of zoo.samples.</p></footer>"
        "</main></body></html>\n"
    )


def is_ours(path: Path) -> bool:
    """Whether a file is a page of an earlier demo, which the next one may replace."""
    with path.open("rb") as file:
        return SIGN.encode() in file.read(1000)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in body]
    return f'<div class="wide"><table class="plain">{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'
