"""Spelling of options in text: NAME:option=value,option.of_a_part=value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from equilib.options.declaration import OptionError

_SPEC = re.compile(r"(?P<name>[^=]*?)\s*(?::\s*(?P<options>[A-Za-z_][\w.-]*\s*=.*))?", re.DOTALL)


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split "newton-gmres:linear_solver.restart=10,max_steps=20" into a name and its options, both as text.

    A name may hold colons, as in "scipy:krylov:rtol=1e-3": its options begin after the colon that precedes
    the first "option=".

    Raises OptionError if the name or the name of an option is missing, or an option is given twice.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None or not match["name"] or match["name"].endswith(":"):
        raise OptionError(f"{spec!r} is not of the form NAME or NAME:option=value,option=value")
    return match["name"], parse_assignments(match["options"].split(",") if match["options"] else ())


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Split texts of the form "name=value".

    Raises OptionError if one is of another form, or a name is given twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not (name and equals):
            raise OptionError(f"{assignment!r} is not of the form option=value")
        if field_name(name) in values:
            raise OptionError(f"option {name!r} is given twice")
        values[field_name(name)] = value
    return values


def field_name(name: str) -> str:
    """Return the name of an option as its field spells it, for which '-' may stand in place of '_'."""
    return name.replace("-", "_")


def by_part(values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """Split {"a": 1, "b.c": 2} into one's own options {"a": 1} and, by part, those of the parts {"b": {"c": 2}}."""
    own: dict[str, object] = {}
    nested: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        head, dot, rest = name.partition(".")
        if dot:
            nested.setdefault(head, {})[rest] = value
        else:
            own[name] = value
    return own, nested
