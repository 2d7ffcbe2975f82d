"""The documentation is true: its examples run, its links lead somewhere, its commands exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from equilib.cli import main
from equilib.options import parse_spec
from equilib.plugin import IntegratorEntry, SensitivityEntry, SolverEntry
from equilib.plugin.registry import Registry

REPOSITORY = Path(__file__).parents[2]
PAGES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
REGISTRY = Registry.discover()
NAMES = {
    each.entry.name for kind in (SolverEntry, IntegratorEntry, SensitivityEntry) for each in REGISTRY.provided(kind)
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    return [text for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def section(page: Path, title: str) -> str:
    """Return the text of a page between the heading `## title` and the next."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def test_the_readme_example_runs() -> None:
    """The README's first example runs as it stands, without a warning, and its gradient agrees with differences."""
    names: dict = {}
    exec(blocks(REPOSITORY / "README.md", "python")[0], names)
    loss, W, x, step = names["loss"], names["W"], names["x"], 1e-4
    slope = float((loss(W + step * W, x) - loss(W - step * W, x)) / (2 * step))
    assert float((names["W_bar"] * W).sum()) == pytest.approx(slope, rel=0.05)


@pytest.mark.parametrize("title", ["Run", "Test"])
def test_a_command_section_holds_one_line(title: str) -> None:
    """The sections that newcomers paste from hold one fenced block of one line."""
    (block,) = [text for kind, text in FENCE.findall(section(REPOSITORY / "README.md", title)) if kind == "sh"]
    assert len(block.strip().splitlines()) == 1


def test_the_readme_lists_what_there_is() -> None:
    """The README's table has every solver and adjoint but those of libraries, and calls approximate what is."""
    table = section(REPOSITORY / "README.md", "Solvers and adjoints")
    solvers = {each.entry.name for each in REGISTRY.provided(SolverEntry) if ":" not in each.entry.name}
    adjoints = {each.entry.name: each.entry.exact for each in REGISTRY.provided(SensitivityEntry)}
    named = {name for name in re.findall(r"`([^`]+)`", table) if ":" not in name}
    assert named == solvers | set(adjoints)
    (approximate,) = [row for row in table.splitlines() if "approximate" in row]
    assert set(re.findall(r"`([^`]+)`", approximate)) == {name for name, exact in adjoints.items() if not exact}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_files(page: Path) -> None:
    """Every relative link of a page names a file of the repository."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_shown_commands_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every `equilib` command that a page shows at a prompt is known, with all its options."""
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if not line.startswith("$ equilib"):
                continue
            words = shlex.split(line[2:], comments=True)[1:]
            known = main([*words, "--help"])
            assert known == 0, f"{line}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_shown_methods_exist(page: Path) -> None:
    """Every solver and adjoint in a command at a prompt is one that there is."""
    known = NAMES | {"all", "yours"}
    for block in blocks(page, "console"):
        for flag, value in re.findall(r"--(solver|adjoint|fallback)s? (\S+)", block):
            for spec in value.split(",") if ":" not in value or "=" not in value else [value]:
                assert parse_spec(spec)[0] in known, f"--{flag} {spec}"


@pytest.mark.parametrize("name", ["comparison.md", "not-converging.md", "your-own-model.md"])
def test_programs_of_a_page_run(name: str) -> None:
    """The programs of a page run one after the other, and what they assert holds."""
    names: dict = {}
    for program in blocks(REPOSITORY / "docs" / name, "python"):
        exec(program, names)
    assert names


def test_the_design_names_every_module() -> None:
    """The table of parts in docs/design.md lists each module and package of equilib."""
    text = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
    modules = {path.stem for path in (REPOSITORY / "equilib").iterdir() if path.stem[0] != "_" and path.stem != "py"}
    unnamed = {name for name in modules if not re.search(rf"`{name}/?`", text)}
    assert unnamed == set()


def test_the_version_is_stated_once() -> None:
    """The package and its metadata agree on the version."""
    import equilib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert equilib.__version__ == project["version"]
