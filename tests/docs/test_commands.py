"""What pages and docstrings show of the command line is taken as it stands: commands, methods, optimizers, data."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import equilib.cli.compare
import equilib.commands.run
import equilib.experiments.probe
from equilib.cli import main
from equilib.errors import UserError
from equilib.experiments.assembly import set_up
from equilib.options import parse_spec
from equilib.plugin import DatasetEntry, Entry, IntegratorEntry, OptimizerEntry, SensitivityEntry, SolverEntry
from equilib.plugin.choosing import build_named, choose
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import LineReporter
from equilib.runs.request import RunRequest
from tests.docs.test_docs import PAGES, REPOSITORY

MODULES = [file for root in ("equilib", "plugins") for file in (REPOSITORY / root).rglob("*.py")]
OPEN = r"\b[A-Z]{2,}|\.\.\.|…|\||\{|yours"
"""What stands for something else."""

FLAG = r"--(?:solver|adjoint|fallback|optimizer|data)(s?) (?!(?:names|and|take)\b)"

PLACEHOLDERS = {"all", "yours", "series", "anderson@my-package"}
"""What stands for names there, and the adjoint that a page writes."""


def texts() -> Iterator[tuple[str, str]]:
    """Yield every page and module: its name, and its text."""
    for file in (*PAGES, *MODULES):
        yield str(file.relative_to(REPOSITORY)), file.read_text(encoding="utf-8")


def commands() -> Iterator[tuple[str, str]]:
    """Yield the command lines, at a prompt, in a block or in backticks, that have no word for something else."""
    for name, text in texts():
        for line in re.findall(r"(?:^(?:\$ )?|`|&& )(equilib [a-z][^`\n]*)(?=`|$)", text, re.MULTILINE):
            if line.split()[1] in equilib.cli.equilib.commands and not re.search(OPEN, line):
                yield name, line


def specs() -> Iterator[tuple[str, str]]:
    """Yield what stands after flags that take names with options, and names with options that stand by themselves."""
    for name, text in texts():
        for many, spec in re.findall(
            r"--(?:solver|adjoint|fallback|optimizer|data)(s?) (?!(?:names|and|take)\b)([a-z][^\s`\";)]*)", text
        ):
            for each in spec.split(",") if many else [spec]:
                yield name, each.rstrip(".,:")
        for spec in re.findall(r"[`\" (]([a-z][\w-]*(?::[a-z]\w*)*:[a-z][\w.]*=[\w.,=-]*\w)", text):
            yield name, spec


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """Return what is installed, with the example package of the documentation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "docs" / "examples" / "equilib-relaxation")
        found = Registry.discover()
        found.register(__import__("equilib_relaxation"), name="relaxation")
        yield found
    for module in [each for each in sys.modules if each.startswith("equilib_relaxation")]:
        del sys.modules[module]


def resolve(registry: Registry, spec: str) -> None:
    """Build what a spec names, of whichever kind it is."""
    kinds: list[type[Entry]] = [SolverEntry, IntegratorEntry, SensitivityEntry, OptimizerEntry, DatasetEntry]
    named = [k for k in kinds if parse_spec(spec)[0] in {each.entry.name for each in registry.provided(k)}]
    assert named, f"nothing is called {spec!r}"
    refusals = []
    for kind in named:
        try:
            if kind is SolverEntry:
                choose(registry, spec)
            else:
                build_named(registry, kind, spec, same=choose(registry, "picard").forward)
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) < len(named), refusals


def test_there_is_something_to_look_at() -> None:
    """The laws below are about many commands and methods."""
    assert len(set(specs())) > 60
    assert len(set(commands())) > 60


def test_shown_methods_can_be_built(registry: Registry) -> None:
    """Every solver, adjoint, optimizer and data set with its options in a page or a docstring is one that there is."""
    wrong = []
    for name, spec in sorted(set(specs())):
        try:
            if not re.search(OPEN, spec) and parse_spec(spec)[0] not in PLACEHOLDERS:
                resolve(registry, spec)
        except (UserError, AssertionError) as error:
            wrong.append(f"{name}: {spec}: {error}")
    assert "\n".join(wrong) == ""


def test_shown_commands_are_taken(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every command line in a page or a docstring has known flags, and what is to run can be set up."""
    monkeypatch.chdir(tmp_path)
    asked: list[RunRequest] = []
    monkeypatch.setattr(equilib.commands.run, "launch", lambda request, _: asked.append(request))

    def ask(request: RunRequest, *_: object, **__: object) -> None:
        asked.append(request)
        raise click.exceptions.Exit(0)

    monkeypatch.setattr(equilib.experiments.probe, "load_probe", ask)
    for act in ("run", "follow", "show"):
        monkeypatch.setattr(equilib.cli.compare._Output, act, lambda *_, **__: None)
    wrong = []
    for line, name in {line: name for name, line in commands()}.items():
        words = shlex.split(line, comments=True)[1:]
        asked.clear()
        runs = (
            words[0] in ("run", "compare", "check-gradient") and len(words) > 1 and not {"--from", "--help"} & {*words}
        )
        status = main([*words, *([] if runs else ["--help"])], registry=registry)
        try:
            for request in asked:
                set_up(RunContext(request=request, registry=registry, reporter=LineReporter(sys.stderr)))
        except UserError as error:
            wrong.append(f"{name}: {line}: {error}")
        printed = capsys.readouterr().err
        # A comparison of nothing ends with status 1.
        if status != int(runs and words[0] == "compare") or (runs and words[0] != "compare" and not asked):
            wrong.append(f"{name}: {line}: {printed}")
    assert "\n".join(wrong) == ""
