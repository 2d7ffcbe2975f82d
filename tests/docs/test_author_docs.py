"""The pages for authors are complete and true: every hook, field and command is there, and their programs run."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from equilib.cli import equilib
from equilib.plugin import HOOKS, Capabilities, Entry, SensitivityEntry, SolverEntry, hooks
from equilib.plugin.registry import Registry
from equilib.testing import Check, integrator_checks, run_checks, sensitivity_checks, solver_checks
from tests.docs.test_docs import blocks

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "equilib-relaxation"


def section(page: Path, holding: str) -> str:
    """Return the section, from heading to heading, in which a text stands."""
    (found,) = [part for part in page.read_text(encoding="utf-8").split("\n## ") if holding in part]
    return found


def names_in(text: str) -> set[str]:
    """Return what stands in backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def fields_of(record: type) -> set[str]:
    """Return the names of a record's own fields."""
    inherited = {field.name for field in dataclasses.fields(Entry)} if record is not Entry else set()
    return {field.name for field in dataclasses.fields(record)} - inherited


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    """The API page shows each hook with its exact signature, and every field of its record."""
    function = getattr(hooks, hook)
    signature = f"def {hook}{inspect.signature(function)}".replace("'", "")
    text = section(DOCS / "plugin-api.md", f"`{signature}`")
    assert fields_of(HOOKS[hook]) <= names_in(text)


def test_the_common_fields_and_the_capabilities_are_documented() -> None:
    """The API page has the fields that all records share, and those of Capabilities."""
    names = names_in((DOCS / "plugin-api.md").read_text(encoding="utf-8"))
    assert fields_of(Entry) | {field.name for field in dataclasses.fields(Capabilities)} <= names


def test_every_command_is_documented() -> None:
    """The index shows each command at a prompt."""
    shown = {line.split()[2] for block in blocks(DOCS / "index.md", "console") for line in block.splitlines()}
    assert shown == set(equilib.commands)


def test_the_index_links_every_page() -> None:
    """No page of the documentation is left out of the index."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} == set(re.findall(r"\]\(([\w-]+\.md)\)", text))


def test_recommended_names_exist() -> None:
    """What the pages for users recommend as a solver or an adjoint is registered."""
    registry = Registry.discover()
    known = {each.entry.name for each in (*registry.provided(SolverEntry), *registry.provided(SensitivityEntry))}
    text = (DOCS / "choosing-a-solver.md").read_text(encoding="utf-8")
    table = [name for row in text.splitlines() if row.startswith("|") for name in names_in(row.split("|")[-3])]
    adjoints = section(DOCS / "choosing-a-solver.md", "The adjoint\n").splitlines()
    bullets = [name for row in adjoints if row.startswith("- `") for name in names_in(row.split(":")[0])]
    assert set(table) | set(bullets) <= known
    assert len(bullets) > 5
    assert len(table) > 10


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return the way to run the first program of a page as a module of its own."""

    def run(page: str) -> ModuleType:
        module = ModuleType("program_of_a_page")
        monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look their module up
        exec(blocks(DOCS / page, "python")[0], vars(module))
        return module

    return run


@pytest.mark.parametrize(
    ("page", "factory", "make"),
    [
        ("write-a-solver.md", "Relaxation", solver_checks),
        ("write-an-adjoint.md", "Series", lambda series: sensitivity_checks(series, exact=False)),
        ("write-an-integrator.md", "Heun", integrator_checks),
    ],
    ids=["solver", "adjoint", "integrator"],
)
def test_the_plugin_of_a_page_works(
    page: str,
    factory: str,
    make: Callable[[object], list[Check]],
    program: Callable[[str], ModuleType],
) -> None:
    """The module that a page shows registers, and passes the checks that the page promises."""
    module = program(page)
    registry = Registry()
    registry.register(module, name="page")
    (row,) = registry.plugins()
    assert row.status == "ok"
    assert any(row.provides.values())
    outcomes = list(run_checks(make(getattr(module, factory)())))
    assert {str(each.check): each.evidence for each in outcomes if each.status == "failed"} == {}


def test_the_page_and_the_example_package_agree() -> None:
    """The solver on the page is the one of the example package, docstrings aside."""
    page = blocks(DOCS / "write-a-solver.md", "python")[0]
    package = (EXAMPLE / "equilib_relaxation.py").read_text(encoding="utf-8")
    for line in page.splitlines():
        assert line in package, line
    assert blocks(DOCS / "write-a-solver.md", "toml")[0].splitlines()[-2:] == package_ending()


def package_ending() -> list[str]:
    """Return the last lines of the example's pyproject.toml."""
    return (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8").splitlines()[-2:]


def test_the_example_of_a_failing_solve_runs(
    program: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first program of the page about failures prints the statuses that it says."""
    program("not-converging.md")
    assert "(Status.CONVERGED, Status.DIVERGED)" in capsys.readouterr().out


def test_the_example_package_passes_its_own_tests(program: Callable[[str], ModuleType]) -> None:
    """The example's test file runs as a third party would run it."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLE), str(EXAMPLE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(solver_checks(program('write-a-solver.md').Relaxation()))} passed" in done.stdout
