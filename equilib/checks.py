"""The check that a dataclass of options makes of itself when it is constructed."""

from __future__ import annotations

from equilib.options import describe, parse_values


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
