"""The did-you-mean of every error about an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the candidate closest to `name`, or "" where none is close."""
    known = list(candidates)
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.6)
    if not close and len(wanted) >= 3:  # "gmres" is short beside "newton-gmres", yet meant
        close = [candidate for candidate in known if wanted in candidate]
    return f" Did you mean {close[0]!r}?" if close else ""
