"""Parts: what an option may name, with options of its own, spelled with dots to any depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass, replace
from typing import Any

from equilib.errors import UserError
from equilib.options.declaration import Option, PartOption, describe
from equilib.options.spelling import by_part


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What a name stands for.

    The `factory` is a dataclass with options; `preset` are the values that the name gives to some of them, by dotted
    names, and `around` those that suit what it is a part of: defaults there, where there are such options.
    """

    factory: type[Any]
    preset: Mapping[str, object] = field(default_factory=dict)
    around: Mapping[str, object] = field(default_factory=dict)

    def options(self) -> dict[str, Option]:
        """Return the class's options; their defaults are the preset values, and a preset part is its only choice."""
        return {each.name: self._preset(each) for each in describe(self.factory)}

    def _preset(self, each: Option) -> Option:
        if each.name not in self.preset:
            return each
        value = self.preset[each.name]
        if isinstance(each, PartOption):
            return replace(each, default=value, choices=(value,), instance=MISSING, optional=False)
        return replace(each, default=value)


class Parts:
    """The parts that names stand for: the registry of plugins, for one. Here no name is known."""

    def names(self, kind: str) -> Sequence[str]:
        """Return the names of the parts of a kind, such as "linear solver"."""
        return ()

    def blueprint(self, kind: str, name: str) -> Blueprint:
        """Return what a name stands for.

        Raises UserError if it stands for nothing that can be used.
        """
        raise UserError(f"no {kind} is known by its name here; give an object")

    def name_of(self, kind: str, factory: type[Any]) -> str:
        """Return the name of a class of parts."""
        return factory.__name__


def unfold(blueprint: Blueprint, parts: Parts, values: Mapping[str, object] | None = None) -> Iterator[Option]:
    """Yield the options of a blueprint and of its parts, by dotted names.

    Parameters
    ----------
    values : mapping, optional
        What is chosen: it says which parts' options there are.
    """
    blueprint = suited(blueprint, parts, values or {})
    own, nested = by_part({**blueprint.preset, **(values or {})})
    for each in blueprint.options().values():
        yield each
        if isinstance(each, PartOption):
            chosen = own.get(each.name, each.default)
            for inner in _options_within(each, chosen, parts, nested.get(each.name, {})):
                yield replace(inner, name=f"{each.name}.{inner.name}")


def suited(blueprint: Blueprint, parts: Parts, values: Mapping[str, object]) -> Blueprint:
    """Return the blueprint with what suits the parts that are chosen."""
    options = blueprint.options()
    around: dict[str, object] = {}
    for each in options.values():
        if isinstance(each, PartOption):
            inner = _named(each, values.get(each.name, each.default), parts)
            around |= {} if inner is None else {k: v for k, v in inner.around.items() if k in options}
    return replace(blueprint, preset={**around, **blueprint.preset})


def _named(each: PartOption, chosen: object, parts: Parts) -> Blueprint | None:
    if not isinstance(chosen, str) or chosen == "none":
        return None
    try:
        return parts.blueprint(each.kind, chosen)
    except UserError:  # which is for those to report who make the part
        return None


def _options_within(each: PartOption, chosen: object, parts: Parts, values: Mapping[str, object]) -> Iterator[Option]:
    blueprint = _named(each, chosen, parts)
    if blueprint is None:
        return
    started = default_values(each, parts) if chosen == each.default else {}
    yield from unfold(replace(blueprint, preset={**blueprint.preset, **started, **values}), parts)


def default_values(each: PartOption, parts: Parts) -> dict[str, object]:
    """Return the options of a part's default object; none where the default is made from its name."""
    return {} if each.instance in (None, MISSING) else plain_options(each.instance, parts)


def plain_options(made: object, parts: Parts) -> dict[str, Any]:
    """Return the options of an object and of its parts by dotted names, as plain values to make it from again."""
    values: dict[str, Any] = {}
    for each in describe(type(made)) if is_dataclass(made) else ():
        value = getattr(made, each.name)
        if isinstance(each, PartOption) and value is not None:
            values[each.name] = parts.name_of(each.kind, type(value))
            inner = plain_options(value, parts)
            values |= {f"{each.name}.{name}": option for name, option in inner.items()}
        elif value is not None or each.optional:
            values[each.name] = value
    return values
