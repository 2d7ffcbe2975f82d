"""Options: the fields of a frozen dataclass, described, parsed from text and validated.

A solver, an adjoint and an experiment are frozen dataclasses whose fields are their options. What the command
line lists, parses and refuses is read from the fields:

    @dataclass(frozen=True)
    class Relaxation:
        step_size: float = option(1.0, help="share of the residual that is added", exclusive_minimum=0)
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar

from equilib.errors import UserError
from equilib.suggest import did_you_mean
from equilib.values import CONVERT, Bounds, Simple

T = TypeVar("T")

_METADATA = "equilib.option"
_SPEC = re.compile(r"(?P<name>[^=]*?)\s*(?::\s*(?P<options>[A-Za-z_][\w-]*\s*=.*))?", re.DOTALL)


class OptionError(UserError, ValueError):
    """An option has an unknown name, a value of the wrong type, or one out of range."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option as its field declares it; `default` is `dataclasses.MISSING` where a value must be given."""

    name: str
    type: Simple
    optional: bool = False
    default: object = MISSING
    help: str = ""
    bounds: Bounds = dataclasses.field(default_factory=Bounds)
    choices: tuple[object, ...] = ()

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is MISSING

    @property
    def expects(self) -> str:
        """What a value must be, as in "an int >= 1 or none"."""
        if self.choices:
            text = "one of " + ", ".join(repr(choice) for choice in self.choices)
        elif self.type is bool:
            text = "true or false"
        else:
            article = "an" if self.type is int else "a"
            text = f"{article} {self.type.__name__} {self.bounds}".rstrip()
        return f"{text} or none" if self.optional else text

    def parse(self, value: object) -> object:
        """Return `value`, a Python value or its text, as the option's type.

        Raises
        ------
        OptionError
            If it is of another type, nan, out of range, or none of the choices.
        """
        if self.optional and (value is None or (isinstance(value, str) and value.lower() == "none")):
            return None
        try:
            converted = CONVERT[self.type](value)
        except (ValueError, OverflowError):
            raise OptionError(f"expects {self.expects}, got {value!r}") from None
        if self.choices and converted not in self.choices:
            hint = did_you_mean(str(converted), [str(choice) for choice in self.choices])
            raise OptionError(f"expects {self.expects}, got {value!r}.{hint}".removesuffix("."))
        if isinstance(converted, int | float) and not self.bounds.allow(converted):
            raise OptionError(f"expects {self.expects}, got {value!r}")
        return converted


def option(
    default: T,
    *,
    help: str,  # noqa: A002 - the word that click, argparse and every reader expect
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive_minimum: float | None = None,
    exclusive_maximum: float | None = None,
    choices: Iterable[T] = (),
) -> T:
    """Declare a dataclass field as an option with a help text and, where it has them, bounds or choices.

    Raises
    ------
    ValueError
        If the default is itself out of range or none of the choices.
    """
    bounds = Bounds(
        minimum=minimum,
        maximum=maximum,
        exclusive_minimum=exclusive_minimum,
        exclusive_maximum=exclusive_maximum,
    )
    allowed = tuple(choices)
    if default is not None and allowed and default not in allowed:
        raise ValueError(f"the default {default!r} is not among the choices {allowed}")
    if isinstance(default, int | float) and not bounds.allow(default):
        raise ValueError(f"the default {default!r} is not {bounds}")
    metadata = {_METADATA: {"help": help, "bounds": bounds, "choices": allowed}}
    return dataclasses.field(default=default, metadata=metadata)


def describe(cls: type) -> tuple[Option, ...]:
    """Return the options of a dataclass: its init fields of type int, float, bool, str, or one of these or None.

    Raises
    ------
    TypeError
        If `cls` is no dataclass, an annotation cannot be evaluated, or `option` marks a field of another type.
    """
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise TypeError(f"{cls!r} is not a dataclass, so it has no options")
    return _options_of(cls)


@functools.cache  # options check themselves whenever they are constructed, once per solve and once per adjoint
def _options_of(cls: type) -> tuple[Option, ...]:
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise TypeError(f"{cls.__name__} has an annotation that cannot be evaluated: {error}") from error
    described = (_describe(cls, field, hints[field.name]) for field in dataclasses.fields(cls) if field.init)
    return tuple(each for each in described if each is not None)


def _describe(cls: type, field: dataclasses.Field[Any], annotation: object) -> Option | None:
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    kinds = [member for member in members if member is not types.NoneType]
    marked = field.metadata.get(_METADATA)
    if len(kinds) != 1 or kinds[0] not in CONVERT:
        if marked is not None:
            raise TypeError(f"{cls.__name__}.{field.name} is an option of type {annotation}, which cannot be parsed")
        return None
    default = field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    return Option(name=field.name, type=kinds[0], optional=len(members) > 1, default=default, **(marked or {}))


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def parse_values(cls: type, values: Mapping[str, object], *, owner: str) -> dict[str, object]:
    """Return `values`, Python values or texts, by field name and as the types of the fields of `cls`.

    Raises
    ------
    OptionError
        If a name is unknown or a value is refused; `owner`, as in "solver 'broyden'", opens the sentence.
    """
    options = {each.name: each for each in describe(cls)}
    parsed: dict[str, object] = {}
    for name, value in _by_field_name(values, owner=owner).items():
        if name not in options:
            raise _unknown(name, options, owner=owner)
        try:
            parsed[name] = options[name].parse(value)
        except OptionError as error:
            raise OptionError(f"{owner}: option {name!r} {error}") from None
    return parsed


def build(cls: type[T], values: Mapping[str, object], *, owner: str) -> T:
    """Return `cls` with the options in `values`, Python values or texts, and the defaults of the rest.

    Raises
    ------
    OptionError
        As `parse_values`; and if a required option is missing, or `cls` itself refuses the values.
    """
    parsed = parse_values(cls, values, owner=owner)
    missing = [each.name for each in describe(cls) if each.required and each.name not in parsed]
    if missing:
        raise OptionError(f"{owner} needs a value for option {missing[0]!r}")
    try:
        return cls(**parsed)
    except ValueError as error:
        raise OptionError(f"{owner}: {error}") from error


def split(values: Mapping[str, object], *classes: type, owner: str) -> tuple[dict[str, object], ...]:
    """Share out `values` among dataclasses: for each class those that are its options.

    An option that several classes have goes to the first of them.

    Raises
    ------
    OptionError
        If no class has an option of that name.
    """
    names = [{each.name for each in describe(cls)} for cls in classes]
    shares: tuple[dict[str, object], ...] = tuple({} for _ in classes)
    for name, value in _by_field_name(values, owner=owner).items():
        place = next((index for index, known in enumerate(names) if name in known), None)
        if place is None:
            raise _unknown(name, [known for each in classes for known in (o.name for o in describe(each))], owner=owner)
        shares[place][name] = value
    return shares


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split "newton-gmres:restart=10,max_steps=20" into a name and its options, both as text.

    A name may hold colons, as in "scipy:krylov:rtol=1e-3": its options begin after the colon that precedes
    the first "option=".

    Raises
    ------
    OptionError
        If the name or the name of an option is missing, or an option is given twice.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None or not match["name"] or match["name"].endswith(":"):
        raise OptionError(f"{spec!r} is not of the form NAME or NAME:option=value,option=value")
    return match["name"], parse_assignments(match["options"].split(",") if match["options"] else ())


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Split texts of the form "name=value".

    Raises
    ------
    OptionError
        If one is of another form, or a name is given twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not (name and equals):
            raise OptionError(f"{assignment!r} is not of the form option=value")
        if _field_name(name) in values:
            raise OptionError(f"option {name!r} is given twice")
        values[_field_name(name)] = value
    return values


def _field_name(name: str) -> str:
    return name.replace("-", "_")


def _by_field_name(values: Mapping[str, object], *, owner: str) -> dict[str, object]:
    renamed = {_field_name(name): value for name, value in values.items()}
    if len(renamed) != len(values):
        raise OptionError(f"{owner}: an option is given twice, with '-' and with '_'")
    return renamed


def _unknown(name: str, known: Iterable[str], *, owner: str) -> OptionError:
    known = list(known)
    listed = f" It has: {', '.join(known)}." if known else " It has none."
    return OptionError(f"{owner} has no option {name!r}.{did_you_mean(name, known) or listed}")
