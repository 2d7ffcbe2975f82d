"""Entries that the hooks of a plugin yield, each checked, with the solvers that follow from its integrators."""

from __future__ import annotations

import pluggy

from equilib.plugin import hooks
from equilib.plugin.entries import Entry, IntegratorEntry, SolverEntry
from equilib.plugin.hooks import HOOKS, hookspec

MOST = 1000
"""Entries that a hook may yield."""


def entries_of(plugin: object, name: str) -> tuple[Entry, ...]:
    """Return what the hooks of a plugin, called `name`, yield, and the solver of each integrator's name.

    Raises what `Registry.register` says, and what the plugin raises.
    """
    # A manager for each plugin: what it refuses is then wrong with this plugin and leaves nothing behind.
    manager = pluggy.PluginManager(hookspec.project_name)
    manager.add_hookspecs(hooks)
    manager.register(plugin, name)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise TypeError("it implements no hook; mark its functions with equilib.plugin.hookimpl")
    found: dict[type[Entry], dict[str, Entry]] = {kind: {} for kind in HOOKS.values()}
    for hook, kind in HOOKS.items():
        for yielded in getattr(manager.hook, hook)():
            for entry in yielded:  # a hook written as a generator runs here
                if not isinstance(entry, kind):
                    raise TypeError(f"{hook} must yield {kind.__name__}, not {type(entry).__name__}")
                if entry.name in found[kind]:
                    raise ValueError(f"{hook} yields {entry.name!r} twice")
                found[kind][entry.name] = entry
                if len(found[kind]) > MOST:
                    raise ValueError(f"{hook} yields more than {MOST:,} entries")
    for name, integrator in found[IntegratorEntry].items():
        if isinstance(integrator, IntegratorEntry) and integrator.solves:
            found[SolverEntry].setdefault(name, integrator.solver())
    return tuple(entry for entries in found.values() for entry in entries.values())
