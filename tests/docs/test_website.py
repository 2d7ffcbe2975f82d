"""The website: it builds without a warning, nothing public is missing from it, and its links lead to pages."""

from __future__ import annotations

import html.parser
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
CONFIG = DOCS / "website" / "mkdocs.yml"
MODULES = [
    match[1]
    for page in sorted((DOCS / "api").glob("*.md"))
    for match in re.finditer(r"^::: (equilib[\w.]*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


class Links(html.parser.HTMLParser):
    """Collects the anchors of a page and where its links lead."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.append(value)


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the website, built with warnings as errors: EQUILIB_WEBSITE, or one of this session."""
    pytest.importorskip("mkdocs", reason="the website needs mkdocs and mkdocstrings, which `tox -e docs` installs")
    pytest.importorskip("mkdocstrings_handlers", reason="the website needs mkdocstrings[python]")
    chosen = os.environ.get("EQUILIB_WEBSITE")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("website")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(CONFIG), "-d", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_api_pages_name_modules() -> None:
    """What the pages of the API take from docstrings exists."""
    for name in MODULES:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name in ("jax", "torch"):  # which need not be installed
                continue
            assert hasattr(importlib.import_module(module), attribute), name


def test_every_page_is_in_the_navigation() -> None:
    """No page of docs/ is left out of the website's navigation, but those of the examples."""
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if "examples" not in page.parts}
    named = set(re.findall(r": (\S+\.md)$", CONFIG.read_text(encoding="utf-8"), re.MULTILINE))
    assert pages == named


def test_everything_public_is_on_the_website(website: Path) -> None:
    """Each name in `__all__` of a module of the API has an entry with its signature and docstring."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in (website / "api").rglob("*.html"))
    entries = set(re.findall(r'id="(equilib[\w.]*)"', text))
    for name in MODULES:
        try:
            public = getattr(importlib.import_module(name), "__all__", ())
        except ModuleNotFoundError:  # it is a function
            continue
        missing = [each for each in public if not {f"{name}.{each}", f"{name}.{each}.{each}"} & entries]
        assert missing == [], name


def test_links_of_the_website_lead_to_pages_and_anchors(website: Path) -> None:
    """Every link within the website names a file of it, and an anchor that this file has."""
    pages = {page: Links(page) for page in website.rglob("*.html") if page.name != "404.html"}
    broken = []
    for page, content in pages.items():
        for link in content.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            known = target.exists() and (not parts.fragment or parts.fragment in pages[target].anchors)
            if not known:
                broken.append(f"{page.relative_to(website)}: {link}")
    assert broken == []
