"""Names of parametrized tests that are the same in every process."""

from __future__ import annotations

import re

FUNCTION = re.compile(r"<function ([^ ]+) at 0x[0-9a-f]+>")


def named(value: object) -> str:
    """Return str(value) with functions by their names, which have no address in them."""
    return FUNCTION.sub(r"\1", str(value))
