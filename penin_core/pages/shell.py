"""The document around a page: what browsers are told, how to move on, and where it comes from."""

from __future__ import annotations

from penin_core import __version__

from .markup import Child, Markup, element, joined
from .style import STYLE, STYLE_HASH

#: The pages that every page leads to: first part of the path, and name.
PLACES = {
    "": "Overview",
    "runs": "Runs",
    "lineage": "Lineage",
    "canary": "Canary",
    "tuner": "Tuner",
    "ledger": "Ledger",
}
#: What a file on its own may do: show itself, and nothing else.
ALONE = f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'"


def served(title: str, here: str | None, *children: Child) -> str:
    """Return a page of the site; ``here`` is the place in the navigation that it belongs to."""
    entries = (
        element("a", name, href=f"/{place}", aria_current="page" if place == here else None)
        for place, name in PLACES.items()
    )
    nav = element("nav", element("strong", "penin"), *entries, aria_label="Pages")
    skip = element("a", "Skip to the content", href="#main", cls="skip")
    sheet = element("link", rel="stylesheet", href="/style.css")
    return _document(title, sheet, joined([skip, element("header", nav)]), joined(children))


def alone(title: str, *children: Child) -> str:
    """Return a page that needs no other file, and asks for none."""
    policy = element("meta", http_equiv="Content-Security-Policy", content=ALONE)
    return _document(
        title, joined([policy, element("style", Markup(STYLE))]), Markup(), joined(children)
    )


def _document(title: str, head: Markup, before: Markup, body: Markup) -> str:
    heads = [
        element("meta", charset="utf-8"),
        head,
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} - penin"),
    ]
    foot = element("footer", f"penin {__version__}. Read from the ledger; nothing here changes it.")
    whole = element(
        "html",
        element("head", *heads),
        element("body", before, element("main", body, id="main"), foot),
        lang="en",
    )
    return f"<!doctype html>\n{whole}\n"
