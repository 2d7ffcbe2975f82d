"""Sizes of layers, checked where a layer is made."""

from __future__ import annotations

from numbers import Integral

from equilib.errors import brief
from equilib.options.kinds import is_number

_SENTENCES = {0: "a whole number, not negative", 1: "a positive whole number"}


def check_sizes(layer: object, *names: str, least: int = 1) -> None:
    """Require that attributes of a layer are whole numbers, or tuples of such, from `least` (0 or 1).

    Raises
    ------
    TypeError
        If one is no whole number.
    ValueError
        If one is smaller.
    """
    for name in names:
        value = getattr(layer, name)
        for size in value if isinstance(value, tuple | list) else (value,):
            whole = is_number(size, Integral)
            if not whole or size < least:
                several = " or several" if isinstance(value, tuple | list) else ""
                sentence = f"{name} of {type(layer).__name__} must be {_SENTENCES[least]}{several}, got {brief(value)}"
                raise ValueError(sentence) if whole else TypeError(sentence)


def pair_of(layer: object, name: str) -> tuple[int, int]:
    """Return an attribute of a layer, a size or two, as two positive whole numbers.

    Raises
    ------
    TypeError, ValueError
        As `check_sizes` does; ValueError also if there are not two.
    """
    check_sizes(layer, name)
    value = getattr(layer, name)
    sizes = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(sizes) != 2:
        raise ValueError(f"{name} of {type(layer).__name__} must be one size or two, got {brief(value)}")
    return sizes
