"""Numbers as people read them, with the recorded value behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

MISSING = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typeset(text: str) -> str:
    """Return a number with its power of ten, minus and percent sign as they are printed."""
    return _with_power(text).replace("%", " %")


def decade(value: float) -> str:
    """Return a digit and a power of ten."""
    return _with_power(f"{value:.0e}")


def brief(value: float) -> str:
    """Return a number such as a tolerance, whose digits are few."""
    return _with_power(f"{value:g}")


def _with_power(text: str) -> str:
    mantissa, _, exponent = text.replace("-", "−", text.startswith("-")).partition("e")
    if not exponent or not int(exponent):
        return mantissa
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa}·{power}"


def number(value: Any, show: Callable[[Any], str], key: str | None = None) -> Markup:
    """Return a number whose element holds the recorded one, and its place `key` in the record; or a dash."""
    if not isinstance(value, int | float):
        return Markup('<span class="muted">{}</span>').format(MISSING)
    place = Markup(' data-key="{}"').format(key) if key else ""
    return Markup('<data value="{}"{}>{}</data>').format(repr(value), place, typeset(show(value)))
