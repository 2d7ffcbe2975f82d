"""Progress of each sample through the methods: which it is with, and when it goes over to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.numerics.line_search import next_length, sufficient_decrease
from equilib.options import Checked, option

METHODS = ("anderson", "newton", "newton-without-line-search", "none")
"""The methods in the order in which a sample comes to them; after the last there is none."""

MIXING, NEWTON, PLAIN, GIVEN_UP = range(4)

GROWTH = 2.0
"""Growth of the residual over its least so far at which a step of Anderson mixing is taken back."""

PROGRESS = 0.1
"""Reduction of the residual that makes the place to which mixing came worth more than the initial guess."""


@dataclass(frozen=True, kw_only=True)
class Limits(Checked):
    """When a method is left."""

    probe: int = option(5, help="steps between two measurements of the contraction", minimum=1)
    patience: int = option(20, help="steps that mixing may still need", minimum=1)
    backtracks: int = option(8, help="times a Newton step is shortened", minimum=0)
    plain_steps: int = option(50, help="Newton steps without a line search", minimum=0)


@dataclass(frozen=True)
class Progress:
    """Where each sample stands; all of shape (batch,).

    Attributes
    ----------
    method : ndarray of int
        Index into `METHODS`.
    norm, best, reference : ndarray
        Euclidean norm of the residual now, at its least, and when the contraction was last measured.
    rejections : ndarray of int
        Steps taken back since the last that was kept.
    count : ndarray of int
        Steps with this method.
    length : ndarray
        Share of the Newton step to try next.
    """

    method: np.ndarray
    norm: np.ndarray
    best: np.ndarray
    reference: np.ndarray
    rejections: np.ndarray
    count: np.ndarray
    length: np.ndarray

    @classmethod
    def at(cls, norm: np.ndarray) -> Progress:
        """Begin with mixing."""
        none = np.zeros(norm.shape, dtype=int)
        return cls(none + MIXING, norm, norm, norm, none, none, np.ones(norm.shape))

    def keeps(self, norm: np.ndarray, forcing: np.ndarray) -> np.ndarray:
        """Tell which samples keep a trial of this residual norm."""
        mixed = norm <= GROWTH * self.best
        descended = sufficient_decrease(norm, self.norm, self.length, forcing)
        newton = np.where(self.method == NEWTON, descended, np.isfinite(norm))
        kept: np.ndarray = np.where(self.method == MIXING, mixed, newton)
        return kept

    def returns(self, before: Progress, first: np.ndarray) -> np.ndarray:
        """Tell which samples begin again at the guess, whose residual norm is `first`, with their new method."""
        new = self.method != before.method
        wandered = ~(self.norm <= PROGRESS * first)
        returning: np.ndarray = new & ((self.method == PLAIN) | ((self.method == NEWTON) & wandered))
        return returning

    def advanced(
        self, norm: np.ndarray, kept: np.ndarray, target: np.ndarray, forcing: np.ndarray, limits: Limits
    ) -> Progress:
        """Return the progress after a trial; `target` is the factor by which the residual still had to shrink."""
        now = np.where(kept, norm, self.norm)
        count = self.count + 1
        rejections = np.where(kept, 0, self.rejections + 1)
        measured = count % limits.probe == 0
        leaves = np.choose(
            self.method,
            (
                (rejections > 1) | ~np.isfinite(norm) | (measured & self._slow(now, target, limits)),
                rejections > limits.backtracks,
                ~kept | (count >= limits.plain_steps),
                np.zeros(kept.shape, dtype=bool),
            ),
        )
        stays = kept | (self.method != NEWTON)
        length = np.where(stays, 1.0, next_length(norm, self.norm, self.length, forcing))
        return Progress(
            method=self.method + leaves,
            norm=now,
            best=np.where(kept, np.minimum(self.best, norm), self.best),
            reference=np.where(measured, now, self.reference),
            rejections=np.where(leaves, 0, rejections),
            count=np.where(leaves, 0, count),
            length=np.where(leaves, 1.0, length),
        )

    @np.errstate(all="ignore")  # no contraction at all is slow
    def _slow(self, now: np.ndarray, target: np.ndarray, limits: Limits) -> np.ndarray:
        """Tell where, at the contraction of the last `probe` steps, more than `patience` further steps are needed."""
        log_rate = np.log(now / self.reference) / limits.probe
        missing = np.log(target) - np.log(now / self.norm)
        slow: np.ndarray = ~((log_rate < 0) & (missing / log_rate <= limits.patience))
        return slow
