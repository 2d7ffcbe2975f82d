"""HTML and SVG elements whose text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

_EMPTY = {"img", "meta", "br"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Return an element; children that are not `Html` are text, attributes that are None are left out.

    `class_` is the attribute class, `stroke_width` is stroke-width.
    """
    named = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None)
    inside = "".join(f' {name}="{html.escape(str(value))}"' for name, value in named)
    return Html(f"<{tag}{inside}>" if tag in _EMPTY else f"<{tag}{inside}>{joined(children)}</{tag}>")


def joined(children: Iterable[object]) -> Html:
    """Return the children one after another; those that are None are left out."""
    return Html("".join(_child(child) for child in children if child is not None))


def _child(child: object) -> str:
    return child if isinstance(child, Html) else html.escape(str(child), quote=False)
