"""Values of options, checked and put into the dataclass that has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from equilib.errors import did_you_mean
from equilib.options.declaration import OptionError, describe
from equilib.options.spelling import _field_name

T = TypeVar("T")


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


def _by_field_name(values: Mapping[str, object], *, owner: str) -> dict[str, object]:
    renamed = {_field_name(name): value for name, value in values.items()}
    if len(renamed) != len(values):
        raise OptionError(f"{owner}: an option is given twice, with '-' and with '_'")
    return renamed


def _unknown(name: str, known: Iterable[str], *, owner: str) -> OptionError:
    known = list(known)
    listed = f" It has: {', '.join(known)}." if known else " It has none."
    return OptionError(f"{owner} has no option {name!r}.{did_you_mean(name, known) or listed}")


def check_options(instance: object) -> None:
    """Refuse an option of the wrong type or out of range; to be called in `__post_init__`.

    The command line checks what it parses; this is for those who construct a solver in Python.

    Raises
    ------
    OptionError
        If there is one; it is a ValueError.
    """
    cls = type(instance)
    values = {each.name: getattr(instance, each.name) for each in describe(cls)}
    parse_values(cls, values, owner=cls.__name__)
