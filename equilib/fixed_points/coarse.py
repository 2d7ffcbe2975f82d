"""Coarse evaluations of f: what a solve has to know of them."""

from __future__ import annotations

from typing import Protocol


class CoarseEvaluations(Protocol):
    """**Protocol:** what is known of evaluations of f that are rounded more than those that a solve ends with.

    Residuals of these say how far the solve has come, and no more: rounding is no slope, and a small residual that is
    rounded is not the best one beside those that are not.

    Attributes
    ----------
    number : int
        How many there were so far.
    over : bool
        Whether there will be no more of them.
    """

    number: int
    over: bool
