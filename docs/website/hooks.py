"""Hooks of MkDocs: links are written as they work in the repository, and are made to work on the website.

A page may link to anything in the repository. What lies outside docs/ becomes a page, or a file, under `repository/`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

REPOSITORY = Path(__file__).parents[2]
DOCS, OUTSIDE = "docs", "repository"
LINK = re.compile(r"(?<=\]\()([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add what pages link to outside docs/, what those pages link to, and the colours of code."""
    colours = HtmlFormatter().get_style_defs(".highlight")
    files.append(File.generated(config, "assets/code.css", content=colours))
    waiting = [f"{DOCS}/{page.src_uri}" for page in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        for target in _targets(waiting.pop()):
            if target in seen:
                continue
            seen.add(target)
            if not target.startswith(f"{DOCS}/"):
                files.append(_file(target, config))
                if target.endswith(".md"):
                    waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let the links of a page lead to pages of the website."""
    origin = page.file.src_uri
    if origin.startswith(f"{OUTSIDE}/") and not origin.endswith(".py.md"):
        source = origin.removeprefix(f"{OUTSIDE}/")
    elif origin.startswith(f"{OUTSIDE}/"):
        return markdown
    else:
        source = f"{DOCS}/{origin}"

    def moved(link: re.Match[str]) -> str:
        target = _resolve(source, link[1])
        return link[1] if target is None else posixpath.relpath(_place(target), posixpath.dirname(origin) or ".")

    return LINK.sub(moved, markdown)


def _targets(source: str) -> Iterator[str]:
    """Yield the files that a page links to, by their paths in the repository."""
    for link in LINK.findall((REPOSITORY / source).read_text(encoding="utf-8")):
        if (target := _resolve(source, link)) is not None:
            yield target


def _resolve(source: str, link: str) -> str | None:
    """Return the path of what a page links to, a folder's README.md; None if it is not in the repository."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if "://" in link or path.startswith(".."):
        return None
    if (REPOSITORY / path).is_dir():
        path += "/README.md"
    return path if (REPOSITORY / path).is_file() else None


def _place(target: str) -> str:
    """Return where a file of the repository is on the website."""
    if target.startswith(f"{DOCS}/"):
        return target.removeprefix(f"{DOCS}/")
    return f"{OUTSIDE}/{target}" + (".md" if target.endswith(".py") else "")


def _file(target: str, config: Any) -> File:
    path = REPOSITORY / target
    if not target.endswith(".py"):
        return File.generated(config, _place(target), abs_src_path=str(path))
    fence = "`" * 6  # docstrings may hold fences of their own
    content = f"# {target}\n\n{fence}python\n{path.read_text(encoding='utf-8')}{fence}\n"
    return File.generated(config, _place(target), content=content)
