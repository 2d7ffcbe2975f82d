"""Colours of pages and charts, for light and dark settings of the reader, and markers of runs."""

from __future__ import annotations

COLOURS = {
    "paper": ("#fcfcfb", "#15181b"),
    "panel": ("#ffffff", "#1c2024"),
    "ink": ("#1c1f23", "#e8eaec"),
    "soft": ("#5c636b", "#a3abb3"),
    "faint": ("#e4e6e8", "#2d3237"),
    "edge": ("#d5d8db", "#3a4046"),
    "right": ("#005f9b", "#1e70b6"),
    "wrong": ("#c85014", "#be541e"),
    "notice": ("#fff4e0", "#33290f"),
    "notice-edge": ("#d98a00", "#d9a441"),
    "run-0": ("#0072b2", "#56b4e9"),
    "run-1": ("#c8501e", "#f08a4b"),
    "run-2": ("#00805c", "#3ccb9f"),
    "run-3": ("#8a4fa3", "#d59be6"),
    "run-4": ("#8c6d00", "#e3c14a"),
    "run-5": ("#4a4f55", "#b9c0c7"),
}
"""Each colour in the light and in the dark."""

MARKERS = (("●", "o", 8), ("■", "s", 7), ("▲", "^", 9), ("◆", "D", 7), ("▼", "v", 9))
"""The markers of runs: as a sign, and Matplotlib's name and size of them."""


def colour_of(run: int) -> str:
    """Return the name of a run's colour."""
    return f"run-{run % 6}"


def sign_of(run: int) -> str:
    """Return a run's marker as a sign."""
    return MARKERS[run % len(MARKERS)][0]
