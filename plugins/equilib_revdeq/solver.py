"""The reversible relaxation of two coupled states for z = f(z)."""

from __future__ import annotations

from dataclasses import dataclass

from equilib import Evaluator
from equilib.arrays import Array, where_samples, zeros_like
from equilib.options import Checked, option
from equilib_revdeq.pairs import relaxed, where_pairs
from equilib_revdeq.reversible import Reversible
from equilib_revdeq.trajectory import ReversibleState


@dataclass(frozen=True)
class RevDEQ(Checked):
    """Relax two coupled states by steps that can be taken back (McCallum et al. 2025, arXiv:2509.12917).

    y ← (1 − β) y + β f(z), then z ← (1 − β) z + β f(y): two evaluations a step. It converges where the real eigenvalues
    μ of the Jacobian have |μ| < 1 and the imaginary ones |μ| < (2 − β)/β.

    A step back divides by 1 − β, which magnifies rounding. So the states have twice the precision of z, and 1 − β is a
    power of two; f is evaluated where they are rounded.
    """

    beta: float = option(
        0.75, help="share of f(z) in the next state, which less 1 is a power of two", choices=(0.5, 0.75, 0.875)
    )

    def init(self, f: Evaluator, z0: Array) -> ReversibleState:
        """Evaluate the initial guess, shape (batch, ...), with which both states begin."""
        begin = (z0, zeros_like(z0))
        return ReversibleState(begin, begin, f(z0), 1 - self.beta)

    def step(self, f: Evaluator, state: ReversibleState) -> ReversibleState:
        """Return the next two states."""
        first = relaxed(state.first, state.value, state.share)
        second = relaxed(state.second, f(first[0]), state.share)
        return ReversibleState(
            where_pairs(f.active, first, state.first),
            where_pairs(f.active, second, state.second),
            where_samples(f.active, f(second[0]), state.value),
            state.share,
        )

    def adjoint(self) -> Reversible:
        """Return the sensitivity that takes the steps back."""
        return Reversible()
