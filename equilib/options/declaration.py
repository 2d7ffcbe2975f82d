"""Declaration of options: fields of a dataclass with a type, bounds or choices, and a help text; or parts."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar

from equilib.arrays import to_host
from equilib.errors import UserError, a, brief, did_you_mean, require_harmless
from equilib.options.values import CONVERT, Bounds, Simple

T = TypeVar("T")

_METADATA = "equilib.option"


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
    arrays: bool = False
    functions: bool = False

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

        Raises OptionError if it is of another type, nan, out of range, or none of the choices.
        """
        if self.optional and (value is None or (isinstance(value, str) and value.lower() == "none")):
            return None
        if self.functions and callable(value):
            return value
        if self.arrays and hasattr(value, "ndim"):
            if not value.ndim:
                return self.parse(to_host(value).item())
            for element in to_host(value).ravel().tolist():
                self.parse([element] if isinstance(element, str) else element)
            return value
        try:
            converted = CONVERT[self.type](value)
        except (ValueError, OverflowError):
            raise OptionError(f"expects {self.expects}, got {brief(value)}") from None
        if self.choices and converted not in self.choices:
            hint = did_you_mean(str(converted), [str(choice) for choice in self.choices])
            raise OptionError(f"expects {self.expects}, got {brief(value)}.{hint}".removesuffix("."))
        if isinstance(converted, int | float) and not self.bounds.allow(converted):
            raise OptionError(f"expects {self.expects}, got {brief(value)}")
        return converted


@dataclass(frozen=True, kw_only=True)
class PartOption(Option):
    """An option whose value is a part: an object with options of its own, chosen by name among those of one kind.

    The `default` is a name, and `instance` the default in Python: None where the class makes it, `dataclasses.MISSING`
    where it must be given.
    """

    kind: str
    type: Simple = str
    instance: object = MISSING

    @property
    def expects(self) -> str:
        """What a value must be, as in "a linear solver or none"."""
        if self.choices:
            return super().expects
        return f"{a(self.kind)} or none" if self.optional else a(self.kind)

    def parse(self, value: object) -> object:
        """Return the name of a part, None, or `value` itself where it is an object.

        Raises OptionError if it is a number, a truth value, or none of the choices; None and "none" where the class
        makes the default.
        """
        if self.instance is None and not self.optional and (value is None or value == "none"):
            raise OptionError("cannot be none; leave it out")
        if value is not None and not isinstance(value, str | int | float):
            return value
        return super().parse(value)


def part(default: str | None, make: Callable[[], Any] | None = None, *, kind: str, help: str) -> Any:  # noqa: A002
    """Declare a dataclass field as an option whose value is a part.

    In text a name, with the part's own options by dots: `linear_solver=gmres,linear_solver.restart=9`; in Python the
    object itself: `NewtonGMRES(linear_solver=GMRES(9))`.

    The `default` is a name, and `make` makes it: by default None where that is the default, and else in Python the
    field must be given. `kind` is what a plugin provides it as: "solver", "integrator", "linear solver".

    Raises ValueError if a terminal would obey the help text.
    """
    require_harmless(help, f"the text {help!r:.40} of an option")
    metadata = {_METADATA: {"help": help, "kind": kind, "default": default}}
    if make is not None:
        return dataclasses.field(default_factory=make, metadata=metadata)
    if default is None:
        return dataclasses.field(default=None, metadata=metadata)
    return dataclasses.field(metadata=metadata)


def option(
    default: T,
    *,
    help: str,  # noqa: A002 - the word that click, argparse and every reader expect
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive_minimum: float | None = None,
    exclusive_maximum: float | None = None,
    choices: Iterable[Any] = (),
    arrays: bool = False,
    functions: bool = False,
) -> T:
    """Declare a dataclass field as an option with a help text and, where it has them, bounds or choices.

    In Python the value may be an array of numbers in bounds with `arrays`, and a function with `functions`.

    Raises ValueError if the default is itself out of range or none of the choices, or a terminal would obey a text.
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
    for text in (help, default, *allowed):
        if isinstance(text, str):
            require_harmless(text, f"the text {text!r:.40} of an option")
    described = {"help": help, "bounds": bounds, "choices": allowed, "arrays": arrays, "functions": functions}
    metadata = {_METADATA: described}
    return dataclasses.field(default=default, metadata=metadata)


def describe(cls: type) -> tuple[Option, ...]:
    """Return the options of a dataclass: parts, and its fields of type int, float, bool, str, or one of these or None.

    Raises TypeError if `cls` is no dataclass, an annotation cannot be evaluated, or `option` marks a field of another
    type.
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
    kinds, optional = kinds_of(annotation)
    marked = field.metadata.get(_METADATA)
    default = field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    if marked is not None and "kind" in marked:
        made = default is None and marked["default"] is not None  # by the class, so none is no choice of a user's
        return PartOption(name=field.name, optional=optional and not made, instance=default, **marked)
    if marked is not None:  # in Python it may be of other types as well, such as an array in place of a number
        kinds = [kind for kind in kinds if kind in CONVERT]
    if len(kinds) != 1 or kinds[0] not in CONVERT:
        if marked is not None:
            raise TypeError(f"{cls.__name__}.{field.name} is an option of type {annotation}, which cannot be parsed")
        return None
    return Option(name=field.name, type=kinds[0], optional=optional, default=default, **(marked or {}))


def kinds_of(annotation: object) -> tuple[list[Any], bool]:
    """Return the types that an annotation allows, and whether None is one more."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if is_union else (annotation,)
    return [each for each in members if each is not types.NoneType], types.NoneType in members
