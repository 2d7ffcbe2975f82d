"""The pages for authors are complete and true: every hook, field and command is there, and their programs run."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from equilib.cli import equilib, main
from equilib.plugin import HOOKS, Capabilities, Entry, SensitivityEntry, SolverEntry, hooks
from equilib.plugin.registry import Registry
from equilib.testing import (
    Check,
    dataset_checks,
    integrator_checks,
    kernel_checks,
    linear_solver_checks,
    optimizer_checks,
    run_checks,
    sensitivity_checks,
    solver_checks,
)
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
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Return the way to run a program of a page, the first unless told, as a module of its own."""

    def run(page: str, block: int = 0) -> ModuleType:
        module = ModuleType(f"program_{block}_of_a_page")
        monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look their module up
        exec(blocks(DOCS / page, "python")[block], vars(module))
        return module

    return run


@pytest.mark.parametrize(
    ("page", "block", "factory", "make"),
    [
        ("write-a-solver.md", 0, "Relaxation", solver_checks),
        ("write-an-adjoint.md", 0, "Series", partial(sensitivity_checks, exact=False)),
        ("write-an-integrator.md", 0, "Heun", integrator_checks),
        ("plugin-api.md", 2, "Series", linear_solver_checks),
        ("plugin-api.md", 0, "Relaxation", solver_checks),
        ("plugin-api.md", 1, "Heun", integrator_checks),
        ("plugin-api.md", 3, "OneStep", partial(sensitivity_checks, exact=False)),
        ("plugin-api.md", 4, "Descent", optimizer_checks),
        ("plugin-api.md", 5, "Stripes", dataset_checks),
        ("plugin-api.md", 7, "InPlace", kernel_checks),
        ("write-an-experiment.md", 3, "SignMomentum", optimizer_checks),
        ("write-an-experiment.md", 2, "Stripes", dataset_checks),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_plugin_of_a_page_works(
    page: str,
    block: int,
    factory: str,
    make: Callable[[object], list[Check]],
    program: Callable[..., ModuleType],
) -> None:
    """The module that a page shows registers, and passes the checks that the page promises."""
    module = program(page, block)
    registry = Registry()
    registry.register(module, name="page")
    (row,) = registry.plugins()
    assert row.status == "ok"
    assert any(row.provides.values())
    outcomes = list(run_checks(make(getattr(module, factory)())))
    assert {str(each.check): each.evidence for each in outcomes if each.status == "failed"} == {}


def test_the_experiments_of_the_page_run(
    program: Callable[..., ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They train with the page's optimizer and data set; what the page says to follow, follows."""
    registry = Registry.discover()
    for block in range(4):
        registry.register(program("write-an-experiment.md", block), name=f"block-{block}")

    def equilib(*argv: str) -> str:
        assert main(argv, registry=registry) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    sine, stripes, digits = (str(tmp_path / name) for name in ("sine", "stripes", "digits"))
    said = equilib("run", "sine", "--epochs", "10", "--out", sine)
    assert float(re.findall(r"Test squared error: (\S+) of 100 points", said)[0]) < 0.01
    assert "the same" in equilib("evaluate", sine)
    assert "Epoch: [11/11]" in equilib("resume", sine, "--epochs", "11")
    assert "Right" in equilib("check-gradient", "sine", "--from", sine, "-o", "rtol=1e-10", "-o", "max_steps=100")
    points = str(tmp_path / "points.npy")
    np.save(points, np.array([0.5, -0.5]))
    rows = equilib("predict", sine, points).splitlines()[1:]
    assert [float(row.split()[1]) for row in rows] == pytest.approx([np.sin(0.5), -np.sin(0.5)], abs=0.2)
    said = equilib("run", "stripes", "--optimizer", "sign-momentum", "--epochs", "1", "--out", stripes)
    assert "Data: 500 images of stripes" in said
    images = str(tmp_path / "image.npy")
    np.save(images, np.zeros((2, 28, 28), np.uint8))
    assert equilib("predict", stripes, images).count("upright") == 2
    said = equilib(
        "run", "mnist", "--data", "stripes:count=60", "--epochs", "1", "--pretrain-epochs", "0", "--out", digits
    )
    assert "Using the first 48 training images, all there are" in said
    equilib("report", sine, stripes, "--out", str(tmp_path / "report"))
    assert "sign-momentum (momentum=0.9)" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "block", "module"),
    [
        ("write-a-solver.md", 0, "solver"),
        ("write-an-experiment.md", 0, "sine"),
        ("write-an-experiment.md", 1, "images"),
        ("write-an-experiment.md", 2, "data"),
        ("write-an-experiment.md", 3, "optimizer"),
    ],
)
def test_the_page_and_the_example_package_agree(page: str, block: int, module: str) -> None:
    """What a page shows, up to the hook, is a module of the example package, docstrings aside."""
    shown, _, _ = blocks(DOCS / page, "python")[block].partition("\n\n@hookimpl")
    package = (EXAMPLE / "equilib_relaxation" / f"{module}.py").read_text(encoding="utf-8").splitlines()
    assert [line for line in shown.splitlines() if line not in package and "import" not in line] == []


def test_the_page_names_the_plugin_as_the_example_does() -> None:
    """The entry point in the page's pyproject.toml is that of the example package."""
    shown, packaged = (
        tomllib.loads(text)["project"]["entry-points"]["equilib"]
        for text in (
            blocks(DOCS / "write-a-solver.md", "toml")[0],
            (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"),
        )
    )
    assert shown == packaged


def test_the_example_of_a_failing_solve_runs(
    program: Callable[..., ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first program of the page about failures prints the statuses that it says."""
    program("not-converging.md")
    assert "(Status.CONVERGED, Status.DIVERGED)" in capsys.readouterr().out


def test_the_example_package_passes_its_own_tests(program: Callable[..., ModuleType]) -> None:
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
    laws = len(solver_checks(program("write-a-solver.md").Relaxation()))
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > laws
