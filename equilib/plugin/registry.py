"""Registry of what plugins provide: broken ones are kept apart, duplicates refused, names looked up."""

from __future__ import annotations

import os
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from equilib.errors import UserError, a, did_you_mean, first_of, named, printable
from equilib.machine.signals import is_from_user
from equilib.options import Blueprint, Parts, parse_spec
from equilib.plugin import HOOKS, KINDS, Entry
from equilib.plugin.discovery import Damage, Point, installed, requirements
from equilib.plugin.streams import printed_aside
from equilib.plugin.switches import VARIABLE, Switches
from equilib.plugin.yielded import entries_of

GROUP = "equilib"
"""The entry-point group that plugins are published in."""

OWN = "equilib"
"""The package whose plugins are ours."""

STRICT = "EQUILIB_STRICT_PLUGINS"
"""The environment variable that makes a broken plugin or a duplicate fatal."""

_CAUSE = 240  # characters of a cause that are kept: it must fit one line of a warning
MOST_NAMED = 100
"""Entries that a sentence names."""

_FAILED, _OWNERS = 10, 4  # broken plugins, and owners of one name, that a sentence names

E = TypeVar("E", bound=Entry)


class UnknownName(UserError, LookupError):  # noqa: N818 - it reads as what is wrong
    """No plugin provides an entry of that name."""


class DuplicateError(UserError, LookupError):
    """Several plugins provide an entry of that name, and choosing one would depend on what else is installed."""


@dataclass(frozen=True, order=True)
class Owner:
    """Where an entry comes from: the plugin's entry-point name, and its distribution."""

    plugin: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        package = f" ({self.distribution} {self.version})" if self.distribution else ""
        return f"{self.plugin!r}{package}"

    @property
    def called(self) -> str:
        """What stands behind the @ of a name to say whose it is: the package, or the plugin where that is unknown."""
        return self.distribution or self.plugin


@dataclass(frozen=True, kw_only=True)
class Provided(Generic[E]):
    """An entry and the plugin that it comes from."""

    entry: E
    owner: Owner


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A name that several plugins provide; none of them gets it."""

    noun: str
    name: str
    owners: tuple[Owner, ...]

    def __str__(self) -> str:
        owners, last = first_of([str(owner) for owner in self.owners], _OWNERS, "plugins"), self.owners[-1]
        both = "both " if len(self.owners) == 2 else ""
        return (
            f"{self.noun} {self.name!r} is provided by {both}{' and '.join(owners)}; say whose, as in "
            f"{self.name}@{last.called}, or "
            f"switch one off, as by {VARIABLE}=-{last.plugin}@{last.called}"
        )


@dataclass(frozen=True, kw_only=True)
class PluginRow:
    """One line of `equilib plugins`."""

    owner: Owner
    status: str  # "ok", "conflict", "broken", "off"; or "damaged", of a package of which a file cannot be read
    cause: str = ""
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # names by noun


class Registry(Parts):
    """The entries of all plugins that work.

    An empty one takes plugins by `register`; `Registry.discover()` takes those that are installed.
    """

    def __init__(self) -> None:
        self._plugins: dict[Owner, tuple[Entry, ...]] = {}
        self._broken: dict[Owner, str] = {}
        self._off: list[Owner] = []
        self._used: set[tuple[str, str, Owner]] = set()  # noun, name, owner
        self.damages: list[Damage] = []
        self.unknown: tuple[str, ...] = ()  # what EQUILIB_PLUGINS names and nobody is called

    @classmethod
    def discover(cls, points: Iterable[EntryPoint] | None = None, *, thorough: bool = False) -> Registry:
        """Load the plugins of the entry-point group `equilib`, or those at `points`.

        A plugin that fails in any way is left out whole and remembered with the cause, as is a package of which a file
        is damaged; `thorough` looks at all packages. EQUILIB_PLUGINS switches plugins off. With the environment
        variable EQUILIB_STRICT_PLUGINS=1 the failure is raised instead, and so is a duplicate name.

        Raises DuplicateError only if EQUILIB_STRICT_PLUGINS=1.
        """
        strict = os.environ.get(STRICT, "") not in ("", "0")
        registry, switches = cls(), Switches.of(os.environ.get(VARIABLE, ""))
        if points is None:
            found, registry.damages = installed(GROUP, thorough=thorough)
        else:
            found = sorted(_point(each) for each in points)
        registry.unknown = switches.unknown(found)
        for point in found:
            if switches.off(point, own=point.package == OWN):
                registry._off.append(Owner(point.name, point.package, point.version))
            else:
                registry._load(point, strict=strict)
        if strict and registry.conflicts():
            raise DuplicateError(str(registry.conflicts()[0]))
        return registry

    def _load(self, point: Point, *, strict: bool) -> None:
        owner = Owner(point.name, point.package, point.version)
        try:
            with printed_aside():
                self._plugins[owner] = entries_of(point.load(), owner.plugin)
        except BaseException as error:  # a module may do anything when it is imported
            if is_from_user(error):
                raise
            if strict:
                error.add_note(f"This happened in plugin {owner}, loaded from {point.value!r}.")
                raise
            self._broken[owner] = textwrap.shorten(printable(named(error)), _CAUSE, placeholder=" ...")

    def register(self, plugin: object, *, name: str, distribution: str = "", version: str = "") -> None:
        """Add the entries of `plugin`, a module or an object with hook implementations: all or, on error, none.

        Raises pluggy.PluginValidationError if it implements a hook that does not exist, or one with other arguments;
        TypeError if it implements no hook, or a hook yields something else than the hook's entries; ValueError if a
        hook yields a name twice, or a plugin of that name and distribution is registered.
        """
        owner = Owner(name, distribution, version)
        if owner in self._plugins:
            raise ValueError(f"plugin {owner} is already registered")
        self._plugins[owner] = entries_of(plugin, owner.plugin)

    def get(self, kind: type[E], name: str) -> E:
        """Return the entry of type `kind` called `name`.

        Raises UnknownName if there is none; the text suggests, lists what there is, and names the plugins that failed;
        DuplicateError if several plugins provide it.
        """
        return self.find(kind, name).entry

    def provided(self, kind: type[E]) -> tuple[Provided[E], ...]:
        """Return the usable entries of type `kind` by name: those that one plugin alone provides."""
        unique = [group[0] for group in self._by_name(kind).values() if len(group) == 1]
        return tuple(sorted(unique, key=lambda provided: provided.entry.name))

    def contested(self, kind: type[E]) -> tuple[Provided[E], ...]:
        """Return the entries of type `kind` by name whose name several plugins provide; NAME@PACKAGE is one of them."""
        several = [each for group in self._by_name(kind).values() if len(group) > 1 for each in group]
        return tuple(sorted(several, key=lambda provided: (provided.entry.name, provided.owner)))

    def find(self, kind: type[E], name: str) -> Provided[E]:
        """Return the entry of type `kind` called `name`, with its owner; raise as `get` does."""
        bare, _, whose = name.partition("@")
        provided = self._by_name(kind).get(bare, [])
        if whose and provided:
            theirs = [each for each in provided if whose in (each.owner.distribution, each.owner.plugin)]
            if not theirs:
                places = [f"{bare}@{each.owner.called}" for each in provided]
                owners = " and ".join(first_of(places, _OWNERS, f"of 'equilib {kind.plural}'"))
                raise UnknownName(f"no {kind.noun} {name!r}: there is {owners}")
            provided = theirs
        if len(provided) > 1:
            raise DuplicateError(str(_conflict(provided)))
        if provided:
            self._used.add((kind.noun, bare, provided[0].owner))
            return provided[0]
        names = [each.entry.name for each in self.provided(kind)]
        if any(name.startswith(f"{each}:") for each in names):
            if "=" in name:
                raise UnknownName(f"no {kind.noun} {name!r}: the name alone is {parse_spec(name)[0]!r}.")
            raise UnknownName(f"{name!r} is not of the form NAME or NAME:option=value,option=value")
        listed = ", ".join(first_of(names, MOST_NAMED, f"that 'equilib {kind.plural}' lists"))
        available = f" Available: {listed}." if names else f" No {kind.noun} is installed."
        causes = [f"{owner.plugin} ({cause})" for owner, cause in self._broken.items()]
        broken = ", ".join(first_of(causes, _FAILED, "that 'equilib plugins' names"))
        failed = f" Plugins that failed to load: {broken}" if broken else ""
        others = [other for other in KINDS if other != kind.noun and bare in self.names(other)]
        other = f" That is {' and '.join(map(a, others))}." if others else ""
        raise UnknownName(f"no {kind.noun} {name!r}.{other or did_you_mean(name, names)}{available}{failed}")

    def used(self) -> tuple[str, ...]:
        """Return the packages whose entries were looked up so far, and what they say that they require."""
        found = {owner.distribution for *_, owner in self._used}
        required = {each for package in found - {"", OWN} for each in requirements(package)}
        return tuple(sorted((found | required) - {""}))

    def foreign(self) -> list[tuple[str, str, Owner]]:
        """Return kind, name and owner of each entry of a third party that was looked up so far."""
        return sorted(each for each in self._used if each[2].distribution != OWN)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the usable entries of a kind, such as "linear solver"."""
        return tuple(each.entry.name for each in self.provided(KINDS[kind]))

    def blueprint(self, kind: str, name: str) -> Blueprint:
        """Return what a name of a kind stands for; raise as `get` and `Entry.load` do."""
        return self.get(KINDS[kind], name).blueprint()

    def name_of(self, kind: str, factory: type[Any] | str) -> str:
        """Return the name under which a factory is provided without presets; else "module:Class"."""
        place = factory if isinstance(factory, str) else f"{factory.__module__}:{factory.__qualname__}"
        for name, group in self._by_name(KINDS[kind]).items():
            for each in group:
                if each.entry.factory in (factory, place) and not each.entry.preset:
                    return name if len(group) == 1 else f"{name}@{each.owner.called}"
        return place

    def conflicts(self) -> tuple[Conflict, ...]:
        """Return the names that several plugins provide."""
        groups = (group for kind in HOOKS.values() for group in self._by_name(kind).values())
        return tuple(_conflict(group) for group in groups if len(group) > 1)

    def plugins(self) -> tuple[PluginRow, ...]:
        """Return one row per plugin, broken ones included, by name, after the packages that are damaged."""
        rows = [PluginRow(owner=owner, status="broken", cause=cause) for owner, cause in self._broken.items()]
        rows += [PluginRow(owner=each, status="off", cause=f"switched off by {VARIABLE}") for each in self._off]
        rows += [
            PluginRow(owner=Owner("", each.package), status="damaged", cause=f"{each.file}: {each.cause}")
            for each in self.damages
        ]
        conflicts = self.conflicts()
        for owner, entries in self._plugins.items():
            causes = [str(conflict) for conflict in conflicts if owner in conflict.owners]
            provides: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
            for entry in sorted(entries, key=lambda entry: entry.name):
                provides[entry.noun] += (entry.name,)
            status = "conflict" if causes else "ok"
            rows.append(PluginRow(owner=owner, status=status, cause="; ".join(causes), provides=provides))
        return tuple(sorted(rows, key=lambda row: (row.owner.plugin, row.owner.distribution)))

    def packages(self) -> dict[str, Owner]:
        """Return the plugin behind each package, but the core's, that the factories of entries lie in."""
        places = ((each.factory, owner) for owner, entries in self._plugins.items() for each in entries)
        found = {_module(factory).partition(".")[0]: owner for factory, owner in places}
        return {package: owner for package, owner in found.items() if package != GROUP}

    def _by_name(self, kind: type[E]) -> dict[str, list[Provided[E]]]:
        found: defaultdict[str, list[Provided[E]]] = defaultdict(list)
        for owner, entries in self._plugins.items():
            for entry in entries:
                if isinstance(entry, kind):
                    found[entry.name].append(Provided(entry=entry, owner=owner))
        return found


def _point(point: EntryPoint) -> Point:
    package = (point.dist.name, point.dist.version) if point.dist else ("", "")
    return Point(point.name, point.value, *package)


def _module(factory: type[Any] | str) -> str:
    return factory.partition(":")[0] if isinstance(factory, str) else factory.__module__


def _conflict(provided: list[Provided[E]]) -> Conflict:
    entry = provided[0].entry
    return Conflict(noun=entry.noun, name=entry.name, owners=tuple(each.owner for each in provided))
