"""Session of one command line: its arguments and the registry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import click

from equilib.errors import first_of, printable
from equilib.plugin.registry import Owner, Registry
from equilib.plugin.switches import VARIABLE

NAMED = 40
"""Warnings of what is wrong with plugins that a command prints, which is about something else."""


@dataclass
class Session:
    """One invocation of the command line."""

    argv: tuple[str, ...]
    given: Registry | None = None
    traceback: bool = False  # whether the traceback of what fails is shown
    thorough: bool = False  # whether all packages are looked at, also those without a plugin

    @cached_property
    def plugins(self) -> Registry:
        """The registry, discovered when it is first asked for."""
        return Registry.discover(thorough=self.thorough) if self.given is None else self.given

    @cached_property
    def registry(self) -> Registry:
        """The same; the first time, stderr has a line for each plugin that is broken or in conflict."""
        broken = (row for row in self.plugins.plugins() if row.status == "broken")
        found = [
            *self.plugins.damages,
            *(f"plugin {row.owner} was left out: {row.cause}" for row in broken),
            *self.plugins.conflicts(),
            *(f"{VARIABLE} names {name!r}, and no plugin or package is called so" for name in self.plugins.unknown),
        ]
        warnings = [printable(str(each)) for each in found]
        for warning in first_of(warnings, NAMED, "of the kind: 'equilib plugins' names them all"):
            click.echo(f"warning: {warning}", err=True)
        return self.plugins

    def packages(self) -> dict[str, Owner]:
        """Return the plugin behind each package of code, of the plugins that were loaded so far."""
        return {} if self._known is None else self._known.packages()

    def foreign(self) -> list[tuple[str, str, Owner]]:
        """Return kind, name and owner of each entry of a third party that was looked up so far."""
        return [] if self._known is None else self._known.foreign()

    @property
    def _known(self) -> Registry | None:
        return self.given if self.given is not None else self.__dict__.get("plugins")
