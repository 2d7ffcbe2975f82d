"""Warnings about solves that are due to a call."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from equilib.fixed_points.solution import UnsolvedWarning


def files_warned_of(call: Callable[[], object]) -> list[str]:
    """Return the file that each warning of a failed solve names, in the order of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [each.filename for each in caught if issubclass(each.category, UnsolvedWarning)]
