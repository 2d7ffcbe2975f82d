"""Values of options, checked and put into the dataclass that has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, Self, TypeVar

from equilib.errors import UserError, brief, did_you_mean
from equilib.options.declaration import Option, OptionError, PartOption, describe
from equilib.options.kinds import is_of_kind
from equilib.options.named import made
from equilib.options.parts import Blueprint, Parts, default_values, suited, unfold
from equilib.options.spelling import by_part, field_name, parse_spec

T = TypeVar("T")


def build(cls: type[T] | Blueprint, values: Mapping[str, object], *, owner: str, parts: Parts | None = None) -> Any:
    """Return an object with the options in `values`, Python values or texts, and the defaults of the rest.

    Values of a part's options have a dotted name, as in {"linear_solver": "gmres", "linear_solver.restart": "9"};
    without `parts`, which say what names stand for, parts are given as objects. The `owner`, as in "solver 'broyden'",
    opens the sentence of an error.

    Raises OptionError if a name is unknown, a value is refused, a required option is missing, or the class itself
    refuses the values.
    """
    blueprint = cls if isinstance(cls, Blueprint) else Blueprint(factory=cls)
    return _Builder(owner, parts or Parts()).make(blueprint, _by_field_name(values, owner=owner))


@dataclass(frozen=True)
class _Builder:
    """Makes an object and its parts; `owner` opens the sentences of errors, `path` is the part's dotted name."""

    owner: str
    parts: Parts
    path: str = ""

    def make(self, blueprint: Blueprint, values: Mapping[str, object]) -> Any:
        blueprint = suited(blueprint, self.parts, values)
        options = blueprint.options()
        own, nested = by_part({**blueprint.preset, **values})
        arguments: dict[str, object] = {}
        for name in dict.fromkeys((*own, *nested)):
            each = options.get(name)
            if each is None or (name in nested and not isinstance(each, PartOption)):
                wrong = name if each is None and name in own else f"{name}.{next(iter(nested[name]))}"
                raise self._unknown(wrong, blueprint, values)
            arguments[name] = self._value(each, own.get(name, MISSING), nested.get(name, {}))
        for each in options.values():
            if each.name not in arguments and isinstance(each, PartOption) and each.instance is MISSING:
                arguments[each.name] = self._value(each, MISSING, {})
            if each.name not in arguments and each.required:
                raise OptionError(f"{self.owner} needs a value for option {self.path + each.name!r}")
        try:
            return blueprint.factory(**arguments)
        except ValueError as error:
            raise OptionError(f"{self._within()}: {error}") from error

    def _value(self, each: Option, value: object, nested: Mapping[str, object]) -> object:
        name = self.path + each.name
        chosen = each.default if value is MISSING else value
        try:
            parsed = each.parse(chosen)
        except OptionError as error:
            raise OptionError(f"{self.owner}: option {name!r} {error}") from None
        if not isinstance(each, PartOption) or not (isinstance(parsed, str) or nested):
            return parsed
        if not isinstance(parsed, str):
            named = "none" if parsed is None else type(parsed).__name__
            raise OptionError(f"{self.owner}: option {name!r} is {named}, so there is no '{name}.{next(iter(nested))}'")
        try:
            blueprint = self.parts.blueprint(each.kind, parsed)
        except UserError as error:
            raise OptionError(f"{self.owner}: option {name!r}: {error}{_dotted(name, parsed)}") from error
        started = default_values(each, self.parts) if parsed == each.default else {}
        return _Builder(self.owner, self.parts, f"{name}.").make(blueprint, {**started, **nested})

    def _within(self) -> str:
        return f"{self.owner}: option {self.path.removesuffix('.')!r}" if self.path else self.owner

    def _unknown(self, name: str, blueprint: Blueprint, values: Mapping[str, object]) -> OptionError:
        known = (self.path + each.name for each in unfold(blueprint, self.parts, values))
        return unknown_option(self.path + name, known, owner=self.owner)


def _dotted(name: str, text: str) -> str:
    """Return how "anderson:memory=3" is spelled as the value of the option `name`; "" where it has no options."""
    if "=" not in text:
        return ""
    part, values = parse_spec(text.replace(";", ","))
    return " Write " + ",".join((f"{name}={part}", *(f"{name}.{key}={value}" for key, value in values.items())))


def split(
    values: Mapping[str, object], *blueprints: Blueprint, owner: str, parts: Parts
) -> tuple[dict[str, object], ...]:
    """Share out `values` among dataclasses: for each those that are its options, or options of its parts.

    An option that several have goes to the first of them.

    Raises OptionError if none has an option of that name.
    """
    shares: tuple[dict[str, object], ...] = tuple({} for _ in blueprints)
    named = _by_field_name(values, owner=owner)
    for name, value in named.items():
        place = next((i for i, each in enumerate(blueprints) if name.partition(".")[0] in each.options()), None)
        if place is None:
            known = (option.name for each in blueprints for option in unfold(each, parts, named))
            raise unknown_option(name, known, owner=owner)
        shares[place][name] = value
    return shares


def _by_field_name(values: Mapping[str, object], *, owner: str) -> dict[str, object]:
    renamed = {field_name(name): value for name, value in values.items()}
    if len(renamed) != len(values):
        raise OptionError(f"{owner}: an option is given twice, with '-' and with '_'")
    return renamed


def unknown_option(name: str, known: Iterable[str], *, owner: str) -> OptionError:
    """Return the error about an option that `owner` has not, with the known name that was probably meant."""
    return OptionError(_no_option(name, list(known), owner))


def _no_option(name: str, known: Sequence[str], owner: str) -> str:
    listed = f" It has: {', '.join(known)}." if known else " It has none."
    return f"{owner} has no option {name!r}.{did_you_mean(name, known) or listed}"


_SYNONYMS = {"adjoint": "sensitivity", "sensitivity": "adjoint"}
"""A model keeps its adjoint as a `Sensitivity`, which functions call what the command line does."""


def check_names(
    names: Iterable[str], cls: type[Any], owner: str, *, arguments_of: Callable[..., Any] | None = None
) -> None:
    """Require that names are those of fields of a dataclass; raises TypeError in the `owner`'s name.

    An optional argument of a function may have been meant, too.
    """
    known = [each.name for each in fields(cls) if each.init]
    for name in names:
        if name not in known:
            own = signature(arguments_of).parameters.values() if arguments_of else ()
            meant = [each.name for each in own if each.default is not Parameter.empty]
            if _SYNONYMS.get(name) in known:
                raise TypeError(f"{owner} has no option {name!r}; what it means is called {_SYNONYMS[name]!r} here")
            raise TypeError(_in_options(name, cls, owner) or _no_option(name, known + meant, owner))


def _in_options(name: str, cls: type[Any], owner: str) -> str:
    """Return the sentence about an option of a field that holds options, such as `options`; "" where there is none."""
    for each in fields(cls):
        kind: Any = each.default_factory
        if isinstance(kind, type) and is_dataclass(kind) and name in kind.__dataclass_fields__:
            return f"{owner} has no option {name!r} of its own: write {each.name}={kind.__name__}({name}=...)"
    return ""


class Checked:
    """Base of dataclasses with options: refuses an option of the wrong type or out of range when an object is made.

    The command line checks what it parses; this is for those who construct a solver in Python. A class with a
    `__post_init__` of its own calls that of this one first.

    Raises OptionError if there is one; it is a ValueError. Raises TypeError for an option that it has not.
    """

    def __new__(cls, *args: object, **options: object) -> Self:
        """Make an object of known options."""
        kind: type[Any] = cls
        check_names(options, kind, kind.__name__)
        ordered = [each.name for each in fields(kind) if each.init and not each.kw_only]
        if len(args) > len(ordered):
            raise TypeError(f"{cls.__name__} takes {len(ordered)} values without a name, not {len(args)}: name them")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        cls = type(self)
        for each in describe(cls):
            value = getattr(self, each.name)
            if value is None and isinstance(each, PartOption) and each.instance is None:
                continue
            try:
                each.parse(value)
                if isinstance(value, str) and each.type is not str:
                    raise OptionError(f"expects {each.expects}, got the text {value!r}")
            except OptionError as error:
                raise OptionError(f"{cls.__name__}: option {each.name!r} {error}") from None
            if not isinstance(each, PartOption) or value is None:
                continue
            if isinstance(value, str):
                value = made(each.kind, value)
                object.__setattr__(self, each.name, value)
            if isinstance(value, type) or not is_of_kind(value, each.kind):
                expected = f"{each.expects} as an object"
                raise OptionError(f"{cls.__name__}: option {each.name!r} expects {expected}, got {brief(value)}")
