"""Session of one command line: its arguments and the registry."""

from __future__ import annotations

from dataclasses import dataclass, field

import click

from equilib.plugin.registry import Registry


@dataclass(kw_only=True)
class Session:
    """One invocation of the command line."""

    argv: tuple[str, ...]
    given: Registry | None = None
    _loaded: Registry | None = field(default=None, init=False)

    def plugins(self) -> Registry:
        """Return the registry, discovered when it is first asked for."""
        if self._loaded is None:
            self._loaded = Registry.discover() if self.given is None else self.given
        return self._loaded

    def registry(self) -> Registry:
        """Return the registry; the first time, print one line on stderr per plugin that is broken or in conflict."""
        first = self._loaded is None
        registry = self.plugins()
        if first:
            for row in registry.plugins():
                if row.status == "broken":
                    click.echo(f"warning: plugin {row.owner} was left out: {row.cause}", err=True)
            for conflict in registry.conflicts():
                click.echo(f"warning: {conflict}", err=True)
        return registry
