"""Number formats of metrics, as plain text."""

from __future__ import annotations

from collections.abc import Mapping


def count(value: float) -> str:
    """Return a count, or a mean of counts with one digit after the point."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def counts(values: Mapping[str, int]) -> str:
    """Return how often each thing occurs, as in "30 converged, 2 nonfinite"."""
    return ", ".join(f"{number} {name}" for name, number in values.items())


def plain(value: float) -> str:
    """Return four digits."""
    return f"{value:.4g}"


def small(value: float) -> str:
    """Return two digits and a power of ten."""
    return f"{value:.1e}" if value else "0"


def share(value: float) -> str:
    """Return a share in percent."""
    return f"{value:.2%}".replace(".00%", "%")


def seconds(value: float) -> str:
    """Return a time."""
    if value < 60:
        return f"{value:.1f} s"
    minutes = round(value) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {round(value) % 60} s"


def memory(value: float) -> str:
    """Return bytes as MiB."""
    return f"{value / 2**20:,.1f} MiB"
