"""Numbers as people read them, with the recorded value behind them."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from equilib.report.html import Html, element

MISSING = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """Return it as it is written by hand."""
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def share(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.2f} %".replace(".00 %", " %")


def count(value: float) -> str:
    """Return a count, or a mean of counts with one digit after the point."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def small(value: float) -> str:
    """Return two digits and a power of ten."""
    if not isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}·{power_of_ten(int(exponent))}"


def brief(value: float) -> str:
    """Return a number such as a tolerance, whose digits are few."""
    mantissa, _, exponent = f"{value:g}".partition("e")
    if not exponent:
        return mantissa
    power = power_of_ten(int(exponent))
    return power if mantissa == "1" else f"{mantissa}·{power}"


def some(amount: int, things: str) -> str:
    """Return how many things there are, `things` being their plural."""
    return f"{amount:,} {things.removesuffix('s') if amount == 1 else things}"


def plain(value: float) -> str:
    """Return four digits."""
    return f"{value:.4g}"


def seconds(value: float) -> str:
    """Return a time."""
    if value < 60:
        return f"{value:.1f} s"
    minutes = round(value) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {round(value) % 60} s"


def memory(value: float) -> str:
    """Return bytes as MiB."""
    return f"{value / 2**20:,.1f} MiB"


def score(name: str, value: float) -> str:
    """Return a mean score by what it measures."""
    return share(value) if name == "accuracy" else plain(value)


def number(value: Any, show: Callable[[Any], str], key: str | None = None) -> Html:
    """Return a `data` element that shows the number and holds the recorded one; a dash where there is none.

    `key` says where in the record it stands.
    """
    if not isinstance(value, int | float):
        return element("span", MISSING, class_="muted")
    return element("data", show(value), value=repr(value), data_key=key)
