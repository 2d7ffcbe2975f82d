"""First lines and help texts name their subject: they can be found by its noun, and read without solving a riddle."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import click
import pytest

from equilib.cli import equilib
from equilib.options import describe
from equilib.plugin import KINDS, Entry
from equilib.plugin.registry import Registry
from tests.test_architecture import module_of, sources

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


def test_modules_begin_with_their_subject() -> None:
    """The first line of a module's docstring is a noun phrase, not a question."""
    first = {module_of(file): ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "" for file in sources()}
    assert [name for name, text in first.items() if not text or asks(text)] == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_options_name_their_subject(kind: type[Entry]) -> None:
    """The help of an option says what it is or does, not which question it answers."""
    registry = Registry.discover()
    entries = [each.entry for each in registry.provided(kind) if not each.entry.unavailable]
    assert entries
    riddles = [
        f"{entry.name}: {option.name}: {option.help}"
        for entry in entries
        for option in describe(entry.load())
        if not option.help or asks(option.help)
    ]
    assert riddles == []


def test_flags_of_commands_are_sentences() -> None:
    """The help of a flag is an instruction: it begins with a verb and ends with a full stop."""
    helps = [
        f"{command.name}: {parameter.help}"
        for command in commands(equilib)
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and not (parameter.help and parameter.help[0].isupper() and "." in parameter.help)
    ]
    assert helps == []
