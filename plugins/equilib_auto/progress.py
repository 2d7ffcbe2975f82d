"""Progress of each sample through the stages: which it is in, and when it goes over to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from equilib.numerics.forcing import next_forcing, tightened
from equilib.numerics.krylov_levels import HALVED
from equilib_auto.methods import DESCENT, METHODS, RESTART, Method
from equilib_auto.stages import GIVEN_UP, INFINITE, STAGES
from equilib_auto.trial import Trial

HISTORY = 10
"""Iterates whose residuals DF-SANE looks back on."""

LEVEL = 1
"""First level of the Krylov space: 80 products in a Newton step, where GMRES by itself takes 20. Elsewhere fewer are
enough; but here only samples come to Newton's method whose equations are hard."""

_METHOD = np.array([*(METHODS.index(stage.method) for stage in STAGES), -1])
_TRIALS = np.array([*(stage.trials for stage in STAGES), INFINITE])
_PATIENCE = np.array([*(stage.patience for stage in STAGES), INFINITE])
_WORTH = np.array([*(stage.worth for stage in STAGES), 1.0])
_LENGTH = np.array([*(stage.length for stage in STAGES), 1.0])
_CHANGE = np.array([*(stage.change for stage in STAGES), INFINITE])


@dataclass(frozen=True)
class Progress:
    """Where each sample stands; all of shape (batch,) but `history`.

    Attributes
    ----------
    stage : ndarray of int
        Index into `STAGES`, `GIVEN_UP` after the last.
    norm, least, reference : ndarray
        Euclidean norm of the residual now, at its least in this stage, and that when the rate was last measured.
    history : ndarray, shape (batch, 1 + HISTORY)
        The norm at the beginning of the stage, and those of the last iterates.
    rejections, trials : ndarray of int
        Steps taken back since the last that was kept, and trials in this stage.
    length : ndarray
        Multiple of the direction to try next.
    forcing : ndarray
        Reduction asked of the linear solver for a Newton step.
    level : ndarray of int
        Level of the Krylov space.
    """

    stage: np.ndarray
    norm: np.ndarray
    least: np.ndarray
    reference: np.ndarray
    history: np.ndarray
    rejections: np.ndarray
    trials: np.ndarray
    length: np.ndarray
    forcing: np.ndarray
    level: np.ndarray

    @classmethod
    def at(cls, norm: np.ndarray, forcing: float) -> Progress:
        """Begin with the first stage."""
        none, ones = np.zeros(norm.shape, dtype=int), np.ones(norm.shape)
        return cls(none, norm, norm, norm, _alike(norm), none, none, ones, forcing * ones, none + LEVEL)

    @property
    def change(self) -> np.ndarray:
        """Of the flow: change of the residual, relative to it, at which a step is taken back."""
        change: np.ndarray = _CHANGE[self.stage]
        return change

    @property
    def worth(self) -> np.ndarray:
        """Share of the first residual from which on a stage begins at the place of the least."""
        worth: np.ndarray = _WORTH[self.stage]
        return worth

    @property
    def newton(self) -> np.ndarray:
        """Samples whose direction is Newton's."""
        return self.by(*(method for method in METHODS if method.newton))

    def by(self, *methods: Method) -> np.ndarray:
        """Tell which samples are with one of these methods."""
        return np.isin(_METHOD[self.stage], [METHODS.index(method) for method in methods])

    @np.errstate(all="ignore")  # what is not finite is not kept
    def judged(self, norm: np.ndarray, change: np.ndarray, near: np.ndarray) -> Trial:
        """Judge a trial with these norms of the residual and of its change."""
        none = np.zeros(norm.shape, dtype=int)
        trial = Trial(norm, change, near, none > 0, none)
        kept = near & self._each(lambda method: method.keeps(self, trial), none > 0)
        beyond = np.where(np.isfinite(norm) & near, 0, RESTART)  # such a trial teaches nothing: restart at once
        return replace(trial, kept=kept, rejections=np.where(kept, 0, np.maximum(self.rejections + 1, beyond)))

    @np.errstate(all="ignore")
    def advanced(self, trial: Trial, target: np.ndarray, size: int, may_grow: np.ndarray) -> Progress:
        """Return the progress after a trial.

        `target` is the factor by which the residual still had to shrink, `size` the number of elements of a state, and
        `may_grow` tells whose Krylov space is smaller than that.
        """
        least, trials = np.where(trial.kept, np.minimum(self.least, trial.norm), self.least), self.trials + 1
        length = self._each(lambda method: method.length(self, trial), self.length)
        stuck = self._each(lambda method: method.stuck(self, trial, length), trial.near & False)
        again = stuck & self.by(DESCENT) & may_grow
        larger = again | (self.newton & may_grow & trial.kept & ~(trial.norm <= HALVED * self.norm))
        window = self._each(lambda method: np.full(trials.shape, method.window(size)), trials)
        measured = trials % window == 0
        slow = measured & self._slow(least, window, target * self.norm)
        leaves = (stuck & ~again | slow | (trials >= _TRIALS[self.stage])) & (self.stage < GIVEN_UP)
        stage = self.stage + leaves
        forcing = tightened(next_forcing(self.forcing, trial.norm, self.norm), trial.norm, self.norm)
        recent = np.concatenate([self.history[:, :1], self.history[:, 2:], trial.norm[:, None]], axis=1)
        return Progress(
            stage=stage,
            norm=np.where(trial.kept, trial.norm, self.norm),
            least=least,
            reference=np.where(measured, least, self.reference),
            history=np.where(trial.kept[:, None], recent, self.history),
            rejections=np.where(again | leaves, 0, trial.rejections),
            trials=np.where(leaves, 0, trials),
            length=np.where(leaves, _LENGTH[stage], np.where(again, 1.0, length)),
            forcing=np.where(trial.kept, forcing, self.forcing),
            level=np.where(leaves, LEVEL, self.level + larger),
        )

    def moved(self, samples: np.ndarray, norm: np.ndarray) -> Progress:
        """Return the progress of samples that begin a stage at a place with this norm."""
        return replace(
            self,
            norm=np.where(samples, norm, self.norm),
            least=np.where(samples, norm, self.least),
            reference=np.where(samples, norm, self.reference),
            history=np.where(samples[:, None], _alike(norm), self.history),
        )

    def _each(self, rule: Callable[[Method], np.ndarray], otherwise: np.ndarray) -> np.ndarray:
        """Apply a rule of the methods that there are samples with."""
        index = _METHOD[self.stage]
        for each in np.unique(index[index >= 0]):
            otherwise = np.where(index == each, rule(METHODS[each]), otherwise)
        return otherwise

    def _slow(self, least: np.ndarray, window: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Tell where, at the rate of the last trials, more are needed than the stage has patience for."""
        patience = _PATIENCE[self.stage]
        rate = np.log(least / self.reference) / window
        slow: np.ndarray = np.isfinite(patience) & ~((rate < 0) & (np.log(wanted / least) / rate <= patience))
        return slow


def _alike(norm: np.ndarray) -> np.ndarray:
    return np.tile(norm[:, None], 1 + HISTORY)
