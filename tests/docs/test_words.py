"""First lines and help texts name their subject: they can be found by its noun, and read without solving a riddle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import click
import pytest

from equilib.cli import equilib
from equilib.fixed_points.options import SolveOptions
from equilib.ode.solution import OdeOptions
from equilib.options import describe
from equilib.plugin import KINDS, Entry, KernelEntry
from equilib.plugin.entries import CommunicatorEntry
from equilib.plugin.registry import Registry
from equilib.runs.request import FLAGS
from equilib.training.plan import Plan
from tests.test_architecture import REPOSITORY, module_of, sources

VERBS = {
    *("add", "allow", "ask", "attend", "begin", "bound", "carry", "check", "choose", "combine", "compare", "compute"),
    *(
        "differentiate",
        "divide",
        "draw",
        "end",
        "enlarge",
        "evaluate",
        "give",
        "go",
        "improve",
        "invert",
        "iterate",
        "join",
    ),
    *("keep", "leave", "limit", "look", "make", "measure", "multiply", "order", "pretrain", "print"),
    *(
        "learn",
        "put",
        "raise",
        "read",
        "refuse",
        "replace",
        "restart",
        "run",
        "scale",
        "set",
        "shorten",
        "solve",
        "start",
        "stop",
    ),
    *("sum", "take", "test", "train", "use", "write"),
}
"""The verbs that a help text begins with; a new one is added here."""

QUESTIONS = {"what", "how", "when", "where", "which", "whether", "why", "who", "from", "if", "is", "are"}


def asks(text: str) -> bool:
    """Tell whether a text begins with a question, or in the middle of a sentence."""
    return text.partition(" ")[0].lower() in QUESTIONS


def commands(group: click.Group) -> Iterator[click.Command]:
    """Yield every command below a group."""
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


def acts(text: str) -> bool:
    """Tell whether a text begins with one of the verbs."""
    return text.partition(" ")[0].lower() in VERBS


def test_modules_begin_with_their_subject() -> None:
    """The first line of a module's docstring is a noun phrase, not a question."""
    first = {module_of(file): ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "" for file in sources()}
    assert [name for name, text in first.items() if not text or asks(text)] == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_options_are_instructions(kind: type[Entry]) -> None:
    """The help of an option says what it does: it begins with a verb."""
    registry = Registry.discover()
    entries = [each.entry for each in registry.provided(kind) if not each.entry.unavailable]
    assert entries or kind in (KernelEntry, CommunicatorEntry)  # which extras install
    nouns = [
        f"{entry.name}: {option.name}: {option.help}"
        for entry in entries
        for option in describe(entry.load())
        if not acts(option.help)
    ]
    assert nouns == []


def test_shared_options_are_instructions() -> None:
    """The options of every solve, integration, training and run begin with a verb as well."""
    shared = [*describe(SolveOptions), *describe(OdeOptions), *describe(Plan), *FLAGS]
    assert [f"{option.name}: {option.help}" for option in shared if not acts(option.help)] == []


def test_options_in_the_documentation_are_instructions() -> None:
    """So do those of the example package and of the code that pages show."""
    texts = [path.read_text("utf-8") for path in (REPOSITORY / "docs").rglob("*") if path.suffix in {".md", ".py"}]
    helps = [each for text in texts for each in re.findall(r"\b(?:option|part)\(.*?\bhelp=\"([^\"]+)", text)]
    assert helps
    assert [each for each in helps if not acts(each)] == []


def test_flags_of_commands_are_sentences() -> None:
    """The help of a flag is an instruction: it begins with a verb, in capitals, and ends with a full stop."""
    helps = [
        f"{command.name}: {parameter.help}"
        for command in commands(equilib)
        for parameter in [*command.params, *getattr(command, "before", ()), *getattr(command, "after", ())]
        if isinstance(parameter, click.Option)
        and not (parameter.help and acts(parameter.help) and parameter.help[0].isupper() and "." in parameter.help)
    ]
    assert helps == []
