"""HTML that cannot be broken by data: whatever is not already markup is escaped on its way in."""

import html
from collections.abc import Iterable, Sequence
from typing import Any


class Markup(str):
    """Text that is HTML already. Only `tag` and `join` make it from data."""

    __slots__ = ()


def escape(value: Any) -> Markup:
    """Return `value` as HTML text; markup stays as it is, None is nothing."""
    if isinstance(value, Markup):
        return value
    return Markup("" if value is None else html.escape(str(value), quote=True))


def join(parts: Iterable[Any], separator: str = "") -> Markup:
    """Return the escaped parts one after the other."""
    return Markup(separator.join(escape(part) for part in parts))


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element with escaped children and attributes.

    `class_` is `class`, `stroke_width` is `stroke-width`; an attribute that is None or False is left out.

    Examples
    --------
    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape("" if value is True else str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"</{name}>"
    return Markup(f"<{name}{written}>{join(children)}{end}")


_VOID = frozenset({"br", "hr", "meta"})


def section(key: str, title: str, *children: Any) -> Markup:
    """Return a top section; the table of contents links to its `key`."""
    return tag("section", tag("h2", title, id=f"{key}-title"), *children, id=key, aria_labelledby=f"{key}-title")


def paragraph(*children: Any, class_: str | None = None) -> Markup:
    """Return a paragraph."""
    return tag("p", *children, class_=class_)


def note(*children: Any) -> Markup:
    """Return a paragraph in small print."""
    return paragraph(*children, class_="note")


def box(kind: str, title: str, *children: Any) -> Markup:
    """Return a box that stands out; `kind` is `warning`, `notice` or `good`."""
    return tag("div", tag("strong", title), *children, class_=f"box {kind}", role="note")


def table(caption: str, head: Sequence[Any], rows: Iterable[Sequence[Any]], text: int = 1) -> Markup:
    """Return a table that scrolls sideways where it must.

    The first cell of a row is its header; the first `text` columns are words, the others numbers.
    """

    def cell(name: str, position: int, value: Any, **attributes: str) -> Markup:
        return tag(name, value, class_=None if position < text else "number", **attributes)

    header = tag("tr", *(cell("th", i, value, scope="col") for i, value in enumerate(head)))
    body = (
        tag("tr", *(cell("td", i, v) if i else cell("th", i, v, scope="row") for i, v in enumerate(row)))
        for row in rows
    )
    few = "few" if len(head) <= 4 else None
    inner = tag("table", tag("caption", caption), tag("thead", header), tag("tbody", *body), class_=few)
    return tag("div", inner, class_="scroll", role="region", aria_label=caption, tabindex="0")


def figure(drawing: Markup, *caption: Any, class_: str | None = None) -> Markup:
    """Return a drawing with its caption."""
    return tag("figure", drawing, tag("figcaption", *caption), class_=class_)


def details(summary: str, *children: Any) -> Markup:
    """Return what most readers skip, behind one line; printed in full."""
    return tag("details", tag("summary", summary), *children)


def bar(share: float, class_: str = "model") -> Markup:
    """Return a bar of `share` of its cell's width; the number belongs beside it, as text."""
    width = f"{100 * min(max(share, 0.0), 1.0):.1f}%"
    return tag("span", tag("span", style=f"width:{width}", class_=class_), class_="bar", aria_hidden="true")


def svg(width: float, height: float, label: str, *children: Any, class_: str | None = None) -> Markup:
    """Return a drawing of `width` by `height` units that grows and shrinks with its column."""
    return tag(
        "svg", *children, viewBox=f"0 0 {place(width)} {place(height)}", role="img", aria_label=label, class_=class_
    )


def place(value: float) -> str:
    """Return a coordinate, to a tenth of a unit.

    Examples
    --------
    >>> place(3.0), place(2 / 3), place(-0.01)
    ('3', '0.7', '0')
    """
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")  # adding zero makes of -0.0 a plain zero
