"""Checks of what is given: the options of a dataclass when it is constructed, the array where a solve starts."""

from __future__ import annotations

from equilib.arrays import Array
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


def check_like(like: Array, given: Array, name: str) -> Array:
    """Return `given`, an array of the type, shape and dtype of `like`.

    Raises
    ------
    ValueError
        If it is something else; `name`, as in "the guess", opens the sentence.
    """
    if isinstance(given, type(like)) and given.shape == like.shape and given.dtype == like.dtype:
        return given
    raise ValueError(f"{name} must be like the fixed point, {_kind(like)}; it is {_kind(given)}")


def _kind(value: object) -> str:
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return f"no array but of type {type(value).__name__}"
    return f"{type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
