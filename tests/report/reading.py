"""A page, read again by the parser of the standard library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from equilib.cli import main

VOID = {"img", "meta", "br"}


@dataclass
class Node:
    """An element: its tag, attributes, and what is in it."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(each if isinstance(each, str) else each.text for each in self.children)

    def walk(self) -> Iterator[Node]:
        """Yield it and all elements in it."""
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, tag: str, **attributes: str) -> list[Node]:
        """Return the elements with that tag and these attributes; a class is one of several."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            node
            for node in self.walk()
            if node.tag == tag and all(value in (node.attributes.get(n) or "").split() for n, value in wanted.items())
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("document")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} stands twice"
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(path: Path) -> Node:
    """Return the page; every element in it is closed where it should be."""
    return read_text(path.read_text(encoding="utf-8"))


def read_text(text: str) -> Node:
    """Return the elements of a text."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is not closed"
    return reader.root


def report(out: Path, *runs: Path, argv: tuple[str, ...] = ()) -> Node:
    """Write a report and read its page."""
    assert main(["report", *map(str, runs), "--out", str(out), *argv]) == 0
    return read_page(out / "report.html")


def chart(page: Node, title: str) -> Node:
    """Return the figure of that title."""
    (found,) = (figure for figure in page.all("figure") if figure.all("h3")[0].text == title)
    return found


def legend(figure: Node) -> list[str]:
    """Return what the legend of a figure names."""
    return [entry.all("span")[-1].text for entry in figure.all("ul", class_="legend")[0].all("li")]


def curves(picture: Node) -> list[list[tuple[float, float]]]:
    """Return the points of the lines in a chart, in its coordinates."""
    styled = ((path.attributes.get("style") or "", path.attributes["d"] or "") for path in picture.all("path"))
    paths = [d for style, d in styled if "fill: none" in style and "var(--run-" in style]
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", d)] for d in paths]


def recorded_facts(page: Node, column: int) -> dict[str, float]:
    """Return the numbers in the facts of one run, by their place in the record."""
    cells = (row.all("td") for row in page.all("table", class_="facts")[0].all("tr"))
    numbers = (number for row in cells if len(row) > column for number in row[column].all("data"))
    return {
        key: float(number.attributes["value"] or "nan")
        for number in numbers
        if (key := number.attributes.get("data-key"))
    }
