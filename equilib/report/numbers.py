"""Numbers as people read them, with the recorded value behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

MISSING = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def share(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.2f} %".replace(".00 %", " %")


def count(value: float) -> str:
    """Return a count, or a mean of counts with one digit after the point."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def small(value: float) -> str:
    """Return two digits and a power of ten."""
    return _with_power(f"{value:.1e}") if value else "0"


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


def shows_score(name: str) -> Callable[[float], str]:
    """Return how a mean score is shown, by what it measures."""
    return share if name == "accuracy" else plain


def number(value: Any, show: Callable[[Any], str], key: str | None = None) -> Markup:
    """Return a number whose element holds the recorded one, and its place `key` in the record; or a dash."""
    if not isinstance(value, int | float):
        return Markup('<span class="muted">{}</span>').format(MISSING)
    place = Markup(' data-key="{}"').format(key) if key else ""
    return Markup('<data value="{}"{}>{}</data>').format(repr(value), place, show(value))
