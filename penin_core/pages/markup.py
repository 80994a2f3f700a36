"""Pieces of HTML. Text that this package did not write is escaped here, and nowhere else.

Data can become text or the value of an attribute, never an element, and never the name of one:
those are literals of the modules beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

#: Longest text of one cell; the files of a run hold all of it.
LONGEST = 1_500
_ROLES = {
    "table": "table",
    "group": "rowgroup",
    "row": "row",
    "head": "columnheader",
    "first": "rowheader",
}
_EMPTY = {"br", "meta", "link", "circle", "line", "path", "rect", "polyline"}
#: Control characters, lone surrogates, and what turns the direction of the text around it.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Markup(str):
    """HTML that is safe to put into a page as it is."""

    __slots__ = ()


Child = str | float | None


def text(value: object) -> Markup:
    """Return ``value`` as text: escaped, and nothing in it can drive what shows it."""
    if isinstance(value, Markup):
        return value
    return Markup(escape(_UNSAFE.sub("\ufffd", "-" if value is None else str(value))))


def clipped(value: object, longest: int = LONGEST) -> str:
    """Return the text of ``value``, cut where it is too long; it is still to be escaped."""
    found = str(value)
    return found if len(found) <= longest else f"{found[:longest]}… ({len(found):,} characters)"


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Return an element. None and False leave an attribute out; ``cls`` is its class.

    An underscore in the name of an attribute stands for a hyphen.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None and value is not False:
            shown = "" if value is True else value
            parts.append(
                f'{key.rstrip("_").replace("_", "-").replace("cls", "class")}="{text(shown)}"'
            )
    start = " ".join(parts)
    # In SVG the slash is what ends an empty element.
    empty = name in _EMPTY
    return Markup(f"<{start}/>" if empty else f"<{start}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Return the children one after the other; None is nothing."""
    return Markup("".join(text(child) for child in children if child is not None))


def link(label: Child, *parts: str) -> Markup:
    """Return a link to a page of this site; every part of its path is quoted whole."""
    return element("a", label, href=address(*parts))


def address(*parts: str) -> str:
    """Return the path of a page of this site."""
    return "/" + "/".join(quote(_UNSAFE.sub("", part), safe="") for part in parts)


def section(title: str, *children: Child) -> Markup:
    """Return a section under a heading; nothing, where there is nothing in it."""
    return element("section", element("h2", title), *children)


def facts(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """Return names and what is known under them."""
    rows = (element("div", element("dt", name), element("dd", value)) for name, value in pairs)
    return element("dl", *rows)


def table(
    caption: str, headers: Sequence[str], rows: Iterable[Sequence[Child]], *, stack: bool = False
) -> Markup:
    """Return a table with a caption; the first cell of every row is its heading.

    On a narrow screen it scrolls by itself, also by keyboard; with ``stack`` every row becomes a
    block there, in which each cell has the name of its column beside it.
    """
    # A block is no table any more to those who listen to it, unless its parts say so.
    role = _ROLES if stack else {}
    head = element(
        "tr",
        *(element("th", name, scope="col", role=role.get("head")) for name in headers),
        role=role.get("row"),
    )
    body = (
        element(
            "tr",
            element("th", row[0], scope="row", role=role.get("first")),
            *(_cell(v, n if stack else None) for v, n in zip(row[1:], headers[1:], strict=True)),
            role=role.get("row"),
        )
        for row in rows
    )
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head, role=role.get("group")),
        element("tbody", *body, role=role.get("group")),
        cls="stack" if stack else None,
        role=role.get("table"),
    )
    return element("div", whole, cls="scroll", role="region", aria_label=caption, tabindex="0")


def _cell(value: Child, name: str | None) -> Markup:
    number = isinstance(value, float | int) or (
        not isinstance(value, Markup) and re.fullmatch(r"[-+−]?[\d.,]*%?", value or "-") is not None
    )
    cls = "number" if number else None
    return element("td", value, cls=cls, data_label=name, role="cell" if name else None)


def folded(summary: str, *children: Child) -> Markup:
    """Return what is shown when somebody asks for it."""
    return element("details", element("summary", summary), *children)


def note(*children: Child, kind: str = "note") -> Markup:
    """Return a remark; ``kind`` is ``note``, ``good``, ``warn`` or ``bad``."""
    return element("p", *children, cls=kind, role="alert" if kind == "bad" else None)


def number(found: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return a number with a fixed count of digits, ``-`` where nothing was measured."""
    return "-" if found is None else f"{found:{'+' if sign else ''}.{digits}f}"


def when(ts: str) -> str:
    """Return the time of an entry to the second."""
    return f"{ts[:19].replace('T', ' ')} UTC"
