"""The reversible relaxation of two coupled states for z = f(z)."""

from __future__ import annotations

from dataclasses import dataclass

from equilib import Evaluator
from equilib.arrays import Array, where_samples
from equilib.options import Checked, option
from equilib_revdeq.reversible import Reversible
from equilib_revdeq.trajectory import ReversibleState
from equilib_revdeq.words import relaxed, rounded, where_words, widened


@dataclass(frozen=True)
class RevDEQ(Checked):
    """Relax two coupled states by steps that can be taken back (McCallum et al. 2025, arXiv:2509.12917).

    y ← (1 − β) y + β f(z), then z ← (1 − β) z + β f(y): two evaluations a step. It converges where the real eigenvalues
    μ of the Jacobian have |μ| < 1 and the imaginary ones |μ| < (2 − β)/β.

    A step back divides by 1 − β, which magnifies rounding. So 1 − β is a power of two, and the states are of float64,
    or where z is so as well sums of two arrays; f is evaluated at the states in the dtype of z.
    """

    beta: float = option(
        0.75, help="put this share of f(z) in the next state; the rest is a power of two", choices=(0.5, 0.75, 0.875)
    )

    def init(self, f: Evaluator, z0: Array) -> ReversibleState:
        """Evaluate the initial guess, shape (batch, ...), with which both states begin."""
        begin = widened(z0)
        return ReversibleState(z0, f(z0), begin, begin, 1 - self.beta)

    def step(self, f: Evaluator, state: ReversibleState) -> ReversibleState:
        """Return the next two states."""
        first = relaxed(state.first, state.value, state.share)
        second = relaxed(state.second, f(rounded(first, state.z)), state.share)
        z = where_samples(f.active, rounded(second, state.z), state.z)
        return ReversibleState(
            z,
            where_samples(f.active, f(z), state.value),
            where_words(f.active, first, state.first),
            where_words(f.active, second, state.second),
            state.share,
        )

    def adjoint(self) -> Reversible:
        """Return the sensitivity that takes the steps back."""
        return Reversible()
