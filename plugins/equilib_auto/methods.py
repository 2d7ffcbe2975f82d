"""The methods of `auto`: which trials of a step each keeps, how long the next one is, and when it knows no further."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.numerics.line_search import next_length, sufficient_decrease
from equilib_auto.trial import Standing, Trial

RESTART = 2
"""Steps taken back in a row at which Broyden's method begins again, at the place of the least residual."""

REJECTIONS = 8
"""Steps taken back in a row after which a method is left."""

WILD = 8.0
"""Growth of the residual by the first Picard step after which secants seldom help, and Newton's method is next."""

SMALL = 10
"""Elements of a state up to which a Newton step costs so little that nothing else is waited for."""


@dataclass(frozen=True)
class Method:
    """The rules of a method, for all samples at once; arrays have the shape (batch,).

    Attributes
    ----------
    newton : bool
        Whether its direction solves an equation with f's derivative.
    growth : float
        Of the residual over its least so far, at which a step is taken back.
    """

    newton: bool = False
    growth: float = 1.0

    def window(self, size: int) -> int:
        """Return the trials over which the rate is measured, for states of so many elements.

        By default enough for the length of a flow to grow by many orders of magnitude where the residual is constant.
        """
        return 24

    def keeps(self, at: Standing, trial: Trial) -> np.ndarray:
        """Tell which samples go on from the trial."""
        return np.asarray(trial.norm <= self.growth * at.least)

    def length(self, at: Standing, trial: Trial) -> np.ndarray:
        """Return the multiple of the direction to try next."""
        return np.ones(trial.norm.shape)

    def stuck(self, at: Standing, trial: Trial, length: np.ndarray) -> np.ndarray:
        """Tell for which samples there is no further step: after some taken back in a row."""
        return np.asarray(trial.rejections > REJECTIONS)


@dataclass(frozen=True)
class Secants(Method):
    """Limited-memory Broyden: −H r with an inverse Jacobian H that is learned from the trials, from −I on."""

    growth: float = 1e4
    """Of the residual over its least so far, at which a step is taken back: on maps whose Jacobian is not normal it has
    to rise by orders of magnitude first."""
    hopeless: tuple[tuple[int, float], ...] = ((5, 0.95), (12, 0.7))
    """Trials within which the residual must have fallen to that share once: where it has not, it seldom does later."""
    cosine: float = 0.1
    """Of the angle between Hᵀ s and y, below which the update is that of bad Broyden (H + (s − H y) yᵀ/yᵀy): the good
    one would divide by almost nothing (Martínez 2000, J. Comput. Appl. Math. 124)."""

    def window(self, size: int) -> int:
        """Return 8 to 24 trials: the inverse of a small Jacobian is soon learned."""
        return int(np.clip(2 * size, 8, 24))

    def length(self, at: Standing, trial: Trial) -> np.ndarray:
        """Halve the length with each step taken back after the restart."""
        return np.asarray(0.5 ** np.maximum(trial.rejections - RESTART + 1.0, 0.0))

    def stuck(self, at: Standing, trial: Trial, length: np.ndarray) -> np.ndarray:
        """Give up after some steps taken back, or early."""
        hopeless = (at.trials == 0) & ~(trial.norm <= WILD * at.first)
        for trials, share in self.hopeless:
            hopeless = hopeless | (at.trials + 1 == trials) & ~(np.minimum(at.least, trial.norm) <= share * at.first)
        return (trial.rejections > REJECTIONS) | hopeless


@dataclass(frozen=True)
class Plain(Secants):
    """The same as the solver `lbroyden`: no step but Broyden's, as long as it likes."""

    cosine: float = 0.0

    def stuck(self, at: Standing, trial: Trial, length: np.ndarray) -> np.ndarray:
        """Give up after some steps taken back."""
        return np.asarray(trial.rejections > REJECTIONS)


@dataclass(frozen=True)
class Descent(Method):
    """Newton's method with a line search; good steps are followed by some that reuse what its products taught."""

    newton: bool = True

    def window(self, size: int) -> int:
        """Return few trials, since each costs products."""
        return 8

    def keeps(self, at: Standing, trial: Trial) -> np.ndarray:
        """Ask for a sufficient decrease."""
        return sufficient_decrease(trial.norm, at.norm, at.length, at.forcing)

    def length(self, at: Standing, trial: Trial) -> np.ndarray:
        """Shorten a step that was taken back."""
        return np.where(trial.kept, 1.0, next_length(trial.norm, at.norm, at.length, at.forcing))


@dataclass(frozen=True)
class Patient(Descent):
    """Newton's method with a line search, every step with products of its own."""


@dataclass(frozen=True)
class Jumps(Method):
    """Newton's method without a line search, which may jump out of a local minimum of the residual."""

    newton: bool = True

    def keeps(self, at: Standing, trial: Trial) -> np.ndarray:
        """Keep what is finite."""
        return np.isfinite(trial.norm)

    def stuck(self, at: Standing, trial: Trial, length: np.ndarray) -> np.ndarray:
        """Give up at the first that is not finite."""
        return ~trial.kept


@dataclass(frozen=True)
class Continuation(Method):
    """Pseudo-transient continuation (Kelley & Keyes 1998); the length is the time step τ of (I/τ + I − J) d = r."""

    newton: bool = True
    growth: float = 10.0
    """Of the residual over its least so far, at which a time step is taken back, and as much shortened."""

    def length(self, at: Standing, trial: Trial) -> np.ndarray:
        """Let the time step grow as the residual falls: switched evolution relaxation."""
        growth = at.norm / np.where(trial.norm > 0, trial.norm, 1.0)
        return at.length * np.where(trial.kept, growth, 1 / self.growth)


@dataclass(frozen=True)
class Flow(Method):
    """Euler's method on z' = r, or on z' = −r with negative lengths, with steps as long as the residual allows."""

    factors: tuple[float, float] = (0.1, 4.0)
    """Range of the change of a length."""
    growth: float = 1e3
    """Of the residual over its least so far, beyond which the flow leads away."""
    smallest: float = 1e-6
    """Lengths below this lead nowhere: −z sets a time scale of 1."""

    def keeps(self, at: Standing, trial: Trial) -> np.ndarray:
        """Take back what changes the residual too much: beyond twice its size Euler's method is not stable."""
        kept: np.ndarray = (trial.change <= at.change * at.norm) & (trial.norm <= self.growth * at.least)
        return kept

    def length(self, at: Standing, trial: Trial) -> np.ndarray:
        """Aim at half of the change that would be too much: with 2, at Newton's step of a scalar equation."""
        wanted = np.nan_to_num(0.5 * at.change * at.norm / trial.change, nan=0.0)
        return at.length * np.clip(wanted, *self.factors)

    def stuck(self, at: Standing, trial: Trial, length: np.ndarray) -> np.ndarray:
        """Give up where steps vanish, or lead away."""
        return ~trial.near | (np.abs(length) < self.smallest) | (trial.norm > self.growth * at.least)


@dataclass(frozen=True)
class Spectral(Method):
    """DF-SANE (La Cruz, Martínez & Raydan 2006): steps ±σ r, σ the inverse eigenvalue that the last step showed.

    The length is tried forwards and backwards, then a quarter of it, until the residual is below its largest of the
    last iterates, but for a slack that is summable.
    """

    shrink: float = 0.25
    rejections: int = 20
    range: tuple[float, float] = (1e-10, 1e10)
    """Of |σ|; outside, the length of a Picard step is taken."""

    def window(self, size: int) -> int:
        """Return fewer trials: lengths need not grow first."""
        return 12

    def keeps(self, at: Standing, trial: Trial) -> np.ndarray:
        """Ask for a decrease below the largest of the last residuals."""
        ceiling = np.max(at.history, axis=1) ** 2 + (at.history[:, 0] / (1 + at.trials)) ** 2
        share = self.shrink ** (2 * (at.rejections // 2))
        kept: np.ndarray = trial.norm**2 <= ceiling - 1e-4 * share * at.norm**2
        return kept

    def length(self, at: Standing, trial: Trial) -> np.ndarray:
        """Return σ = ⟨s, s⟩ / ⟨s, y⟩ with s = length·r and y = r − r_new, by the norms of r, r_new and y."""
        overlap = (at.norm**2 + trial.change**2 - trial.norm**2) / 2  # ⟨r, y⟩
        sigma = at.length * at.norm**2 / overlap
        smallest, largest = self.range
        sigma = np.where((np.abs(sigma) >= smallest) & (np.abs(sigma) <= largest), sigma, 1.0)
        return np.where(trial.kept, sigma, -at.length * np.where(trial.rejections % 2 == 1, 1.0, self.shrink))

    def stuck(self, at: Standing, trial: Trial, length: np.ndarray) -> np.ndarray:
        """Give up where no length is short enough."""
        stuck: np.ndarray = trial.rejections > self.rejections
        return stuck


@dataclass(frozen=True)
class Rise(Method):
    """Picard's steps while the residual rises: they show the scale of f, to which the tolerance is relative."""

    growth: float = 1e12
    """Of the residual over its first, beyond which f expands."""

    def keeps(self, at: Standing, trial: Trial) -> np.ndarray:
        """Keep what is finite."""
        return np.isfinite(trial.norm)

    def stuck(self, at: Standing, trial: Trial, length: np.ndarray) -> np.ndarray:
        """End where the residual falls again, or has not risen at once."""
        fallen = trial.norm <= 0.5 * np.max(at.history, axis=1)
        fallen = fallen | (at.trials + 1 == 4) & (trial.norm <= 2 * at.first)
        return fallen | ~trial.kept | (trial.norm > self.growth * at.first)


SECANTS, PLAIN, DESCENT, PATIENT, JUMPS = Secants(), Plain(), Descent(), Patient(), Jumps()
CONTINUATION, FLOW, SPECTRAL, RISE = Continuation(), Flow(), Spectral(), Rise()
METHODS: tuple[Method, ...] = (SECANTS, PLAIN, DESCENT, PATIENT, JUMPS, CONTINUATION, FLOW, SPECTRAL, RISE)
