"""Progress of each sample through the stages: which it is in, and when it goes over to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from equilib.numerics.forcing import next_forcing, tightened
from equilib.numerics.krylov_levels import HALVED, LARGEST
from equilib.numerics.line_search import next_length, sufficient_decrease
from equilib_auto.methods import DESCENT, METHODS, PATIENT, RESTART, SECANTS, SMALL, WILD, Method
from equilib_auto.stages import GIVEN_UP, INFINITE, KINDS, STAGES
from equilib_auto.trial import Trial

HISTORY = 10
"""Iterates whose residuals DF-SANE looks back on."""

LEVEL = 2
"""First level of the Krylov space: 320 products in a Newton step, where GMRES by itself takes 20. Elsewhere fewer are
enough; but here only samples come to Newton's method whose equations are hard."""

GATE, NARROWED = 0.2, 0.3
"""Share of the residual that a Newton step must have left for the next step to be by the inverse that its products
taught, and by how much less it must be after such a step has failed."""

REUSED, WORTHWHILE = 0.5, 4
"""Share of the residual that a step may leave, and products that a Krylov space must have taken, for the next one to be
preconditioned by that inverse; from then on it is not where that does not halve the products."""

MOST = 400
"""Evaluations and products that Newton's method may still need at its rate."""

AHEAD = 10
"""Growth of the residual by a full Newton step up to which one more is tried before the step is shortened."""

PROMISING, MORE = 0.01, 4.0
"""Share of the first residual below which a stage may go on for longer than its calls, and for how much longer."""

_METHOD = np.array([*(METHODS.index(stage.method) for stage in STAGES), -1])
_TRIALS = np.array([*(stage.trials for stage in STAGES), INFINITE])
_CALLS = np.array([*(stage.calls for stage in STAGES), INFINITE])
_EACH = np.array([*(stage.each for stage in STAGES), 0.0])
_ADMITS = np.array([*([kind in stage.kinds for kind in KINDS] for stage in STAGES), [True] * len(KINDS)])
_EXHAUSTED = np.array([*(stage.exhausted for stage in STAGES), False])
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
    calls : ndarray of int
        Evaluations and products in this stage.
    products : ndarray of int
        Those of the last Krylov space that was not preconditioned; −1 where to precondition has not paid.
    gate : ndarray
        Share of the residual that a Newton step must leave for a step by the recycled inverse to follow.
    kind : ndarray of int
        How the first stage was left, index into `KINDS`.
    recycling, inverted, picard : ndarray of bool
        Whether the next Krylov space is preconditioned, whether the next step is by the recycled inverse instead, and
        whether it is Picard's.
    anchored : ndarray
        The norm where a step ahead began, which the next one must fall below; 0 where there is none.
    watchful : ndarray of bool
        Whether to look a step ahead: not after it was in vain once.
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
    calls: np.ndarray
    products: np.ndarray
    gate: np.ndarray
    recycling: np.ndarray
    inverted: np.ndarray
    picard: np.ndarray
    kind: np.ndarray
    anchored: np.ndarray
    watchful: np.ndarray

    @classmethod
    def at(cls, norm: np.ndarray, forcing: float) -> Progress:
        """Begin with the first stage."""
        none, ones = np.zeros(norm.shape, dtype=int), np.ones(norm.shape)
        beginning = (none, norm, norm, norm, _alike(norm), none, none, ones, forcing * ones, none + LEVEL)
        return cls(*beginning, none, none, GATE * ones, *[none > 0] * 3, none, 0 * ones, ones > 0)

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
    def cosine(self) -> np.ndarray:
        """Of the angle of a secant below which its update of the inverse Jacobian is that of bad Broyden."""
        return np.where(self.by(SECANTS), SECANTS.cosine, 0.0)

    @property
    def newton(self) -> np.ndarray:
        """Samples whose direction is Newton's."""
        return self.by(*(method for method in METHODS if method.newton))

    def by(self, *methods: Method) -> np.ndarray:
        """Tell which samples are with one of these methods."""
        return np.isin(_METHOD[self.stage], [METHODS.index(method) for method in methods])

    @np.errstate(all="ignore")  # what is not finite is not kept
    def judged(
        self, norm: np.ndarray, change: np.ndarray, near: np.ndarray, clear: np.ndarray, noise: np.ndarray
    ) -> Trial:
        """Judge a trial with these norms of the residual and of its change; `noise` is rounding of the residual."""
        none = np.zeros(norm.shape, dtype=int)
        trial = Trial(norm, change, near, clear, np.fmax(norm, self.norm) <= noise, none > 0, none, none > 0, none > 0)
        kept = near & self._each(lambda method: method.keeps(self, trial), none > 0)
        kept = np.where(self.inverted, near & (norm <= HALVED * self.norm), kept)
        looking = self.anchored > 0
        kept = np.where(looking, near & sufficient_decrease(norm, self.anchored, self.length, self.forcing), kept)
        full = self._descending & self.watchful & ~looking & ~self.inverted & (self.rejections == 0)
        ahead = full & near & ~kept & (norm <= AHEAD * self.norm)
        kept, returned = kept | ahead, looking & ~kept
        beyond = np.where(np.isfinite(norm) & near, 0, RESTART)  # such a trial teaches nothing: restart at once
        rejections = np.where(kept, 0, np.where(returned, 1, np.maximum(self.rejections + 1, beyond)))
        return replace(trial, kept=kept, rejections=rejections, ahead=ahead, returned=returned)

    @np.errstate(all="ignore")
    def advanced(self, trial: Trial, target: np.ndarray, size: int, may_grow: np.ndarray) -> Progress:
        """Return the progress after a trial.

        `target` is the factor by which the residual still had to shrink, `size` the number of elements of a state, and
        `may_grow` tells whose Krylov space is smaller than that.
        """
        least, trials = np.where(trial.kept, np.minimum(self.least, trial.norm), self.least), self.trials + 1
        # No step by what was learned elsewhere is shortened: the next is by products at this place.
        tried = (self.inverted | self.recycling & ~trial.kept) & ~trial.returned
        length = np.where(tried, 1.0, self._each(lambda method: method.length(self, trial), self.length))
        shorter = next_length(self.norm, self.anchored, np.ones(length.shape), self.forcing)
        length = np.where(trial.returned, shorter, length)
        stuck = self._each(lambda method: method.stuck(self, trial, length), trial.near & False) & ~tried
        again = stuck & self._descending & may_grow
        poor = self.newton & ~self.inverted & may_grow & trial.kept & ~trial.ahead & ~(trial.norm <= HALVED * self.norm)
        window = self._each(lambda method: np.full(trials.shape, method.window(size)), trials)
        measured, calls = trials % window == 0, self.calls + 1
        slow = measured & trial.clear & self._slow(least, window, target * self.norm, size)
        budget = _CALLS[self.stage] + _EACH[self.stage] * min(size, LARGEST)
        budget = budget * np.where(least <= PROMISING * self.first, MORE, 1.0)
        spent = (trials >= _TRIALS[self.stage]) | (calls >= budget)
        exhausted = self.by(DESCENT) & trial.exhausted
        leaves = (stuck & ~again | slow | spent | exhausted) & (self.stage < GIVEN_UP)
        aside = exhausted | _EXHAUSTED[self.stage]
        wild = (self.trials == 0) & ~(trial.norm <= WILD * self.first)
        came = np.where(wild, KINDS.index("wild"), np.where(~stuck & (size > SMALL), KINDS.index("slow"), 0))
        kind = np.where(leaves & (self.stage == 0), came, self.kind)
        stage = self.stage + leaves
        for _ in STAGES:
            stage = stage + (leaves & ~(_ADMITS[stage, kind] & (aside | ~_EXHAUSTED[stage])))
        forcing = tightened(next_forcing(self.forcing, trial.norm, self.norm), trial.norm, self.norm)
        recent = np.concatenate([self.history[:, :1], self.history[:, 2:], trial.norm[:, None]], axis=1)
        return Progress(
            stage=stage,
            norm=np.where(trial.kept, trial.norm, np.where(trial.returned, self.anchored, self.norm)),
            least=least,
            reference=np.where(measured, least, self.reference),
            history=np.where(trial.kept[:, None], recent, self.history),
            rejections=np.where(again | leaves | tried, 0, trial.rejections),
            trials=np.where(leaves, 0, trials),
            length=np.where(leaves, _LENGTH[stage], np.where(again, 1.0, length)),
            forcing=np.where(trial.kept & ~self.inverted, forcing, self.forcing),
            level=np.where(leaves, LEVEL, self.level + (again | poor)),
            calls=np.where(leaves, 0, calls),
            products=np.where(leaves, 0, np.where(tried & ~self.inverted, -1, self.products)),
            gate=self._gate(trial, leaves),
            recycling=self._recycling(trial) & ~leaves & trial.clear,
            inverted=self._inverting(trial) & ~leaves & trial.clear,
            picard=self._prefers_picard(trial, size) & ~leaves,
            kind=kind,
            anchored=np.where(trial.ahead & ~leaves, self.norm, 0.0),
            watchful=leaves | self.watchful & ~trial.returned,
        )

    @property
    def first(self) -> np.ndarray:
        """The norm at the beginning of the stage."""
        return self.history[:, 0]

    @property
    def _descending(self) -> np.ndarray:
        return self.by(DESCENT, PATIENT)

    def asked(self, samples: np.ndarray, products: np.ndarray) -> Progress:
        """Return the progress after Krylov spaces of some samples with these numbers of products, shape (batch,)."""
        failed = self.recycling & (2 * products > self.products)
        taken = np.where(self.recycling, np.where(failed, -1, self.products), np.where(self.products < 0, -1, products))
        return replace(
            self,
            calls=np.where(samples, self.calls + products, self.calls),
            products=np.where(samples, taken, self.products),
        )

    def _gate(self, trial: Trial, leaves: np.ndarray) -> np.ndarray:
        return np.where(leaves | self.inverted & trial.kept, GATE, np.where(self.inverted, NARROWED, 1.0) * self.gate)

    def _inverting(self, trial: Trial) -> np.ndarray:
        """Tell where the next step is by the recycled inverse: after a good Newton step, or a good one of these."""
        good: np.ndarray = trial.kept & (trial.norm <= np.where(self.inverted, HALVED, self.gate) * self.norm)
        return self.by(DESCENT) & good & (self.inverted | (np.abs(self.products) >= WORTHWHILE))

    def _recycling(self, trial: Trial) -> np.ndarray:
        """Tell where the next Krylov space is preconditioned: where it is large, and the Jacobian near the last."""
        near = trial.kept & (trial.norm <= REUSED * self.norm) | self.inverted & self.recycling
        return np.asarray(self.by(DESCENT) & near & (self.products >= WORTHWHILE))

    def _prefers_picard(self, trial: Trial, size: int) -> np.ndarray:
        """Tell where the next step is Picard's: where a secant led nowhere at first, or such a step has led far.

        Where f saturates, as in a Hopfield map, its iterates may settle at once after some steps that show nothing.
        """
        at_first = (self.trials > 0) & (self.trials < 6) & (size > SMALL)
        lost = (trial.norm > self.norm) & (trial.norm > 0.9 * self.first) & (trial.norm < 3 * self.first)
        good = trial.kept & np.where(self.picard, trial.norm < 0.3 * self.norm, at_first & lost)
        return self.by(SECANTS) & good

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

    def _slow(self, least: np.ndarray, window: np.ndarray, wanted: np.ndarray, size: int) -> np.ndarray:
        """Tell where, at the rate of the last trials, more are needed than the stage has patience for.

        Secants fall by fits and starts: while they fall at all, or have not had much time, the rate of the whole stage
        is as good.
        """
        patience, missing = _PATIENCE[self.stage], np.log(wanted / least)
        rate, whole = np.log(least / self.reference) / window, np.log(least / self.first) / (self.trials + 1)
        falls = (rate < 0) & (missing >= patience * rate)
        calls = np.where(self.by(DESCENT), self.calls + 1, 0)
        falls &= missing * calls >= MOST * np.log(least / self.first)
        falls |= (
            self.by(SECANTS)
            & ((least <= 0.8 * self.reference) | (self.trials < 2 * window))
            & (missing >= (400 if size > SMALL else 60) * whole)
        )
        return np.isfinite(patience) & ~falls


def _alike(norm: np.ndarray) -> np.ndarray:
    return np.tile(norm[:, None], 1 + HISTORY)
