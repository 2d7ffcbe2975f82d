"""A plugin with one fault, and the law that names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import getdoc
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A plugin that breaks one law, the way it happens to people.

    Attributes
    ----------
    plugin : object
        The docstring of its class names the fault.
    law : str
        The law that it breaks.
    also : frozenset of str
        The laws that it cannot keep then; no others fail.
    declared : mapping
        What is declared about it, the keywords of the list of checks.
    """

    plugin: Any
    law: str
    also: frozenset[str] = frozenset()
    declared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What is wrong."""
        return (getdoc(type(self.plugin)) or "").partition("\n")[0]

    def __str__(self) -> str:
        return type(self.plugin).__name__


def laws(*names: str) -> frozenset[str]:
    """Return a set of names of laws."""
    return frozenset(names)
