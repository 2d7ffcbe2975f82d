"""Anderson mixing for z = f(z), safeguarded, each sample with weights of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equilib import Evaluator
from equilib.arrays import Array, array_namespace, units
from equilib.numerics.place import Place
from equilib.numerics.secants import Secants
from equilib.options import Checked, option

RESTART = 2
"""Steps taken back in a row after which a sample forgets its pairs."""


@dataclass(frozen=True)
class AndersonState:
    """The iterate that is mixed from, its residual, and what was learned on the way.

    `least` is the place of the least residual so far; `rejections`, shape (batch,), counts the steps that each sample
    took back since the last one it kept. `failed` marks samples that took back too many.
    """

    z: Array
    residual: Array
    secants: Secants
    least: Place = field(repr=False)
    rejections: np.ndarray
    failed: np.ndarray


@dataclass(frozen=True)
class Anderson(Checked):
    """Type-II Anderson mixing (Anderson 1965; Walker & Ni 2011, SIAM J. Numer. Anal. 49(4)).

    With r = f(z) − z and the last changes Δz, Δr,

        γ = argmin ‖r − Σ γᵢ Δrᵢ‖,   z ← z + β r − Σ γᵢ (Δzᵢ + β Δrᵢ).

    The residual may rise by orders of magnitude before it falls, as it has to where the Jacobian is not normal. A step
    after which it exceeds `growth` times its least so far, or is not finite, is taken back. The first time its pair of
    changes is kept, since it is true all the same, and corrects the next step. From the second time in a row, the
    sample starts again without pairs, by default from the place of its least residual, with half of β each time.
    """

    memory: int = option(6, help="keep so many pairs of changes", minimum=1)
    mixing: float = option(1.0, help="add this share β of the residual", exclusive_minimum=0.0, maximum=1.0)
    regularization: float = option(1e-10, help="add this ridge to the Gram matrix, relative to its size", minimum=0.0)
    growth: float = option(1e4, help="take a step back when the residual is so many times its least", minimum=1.0)
    rejections: int = option(8, help="give a sample up after so many steps taken back in a row", minimum=1)
    restart: str = option(
        "least",
        help="choose the place from which a sample starts again: of its least residual, or the last one",
        choices=("least", "last"),
    )

    def init(self, f: Evaluator, z0: Array) -> AndersonState:
        """Evaluate the initial guess."""
        least = Place.at(z0, f.residual(z0))
        none = np.zeros(len(least.norm), dtype=int)
        return AndersonState(z0, least.residual, Secants.none(len(none), units(least.norm, z0)), least, none, none > 0)

    def step(self, f: Evaluator, state: AndersonState) -> AndersonState:
        """Mix, evaluate, and go on from the better place."""
        secants, mixing = state.secants, None if self.mixing == 1.0 else np.full(len(state.rejections), self.mixing)
        if np.count_nonzero(state.rejections):
            secants = secants.discarded(state.rejections >= RESTART)
            mixing = self.mixing * 0.5 ** np.maximum(state.rejections - RESTART + 1.0, 0.0)
        new = secants.mixed(state.z, state.residual, mixing, secants.weights(self._ridge(state.z)))
        residual = f.residual(new)
        secants, norm, accepted = secants.extended(
            new - state.z,
            state.residual,
            residual,
            memory=self.memory,
            accept=lambda norm: norm <= self.growth * state.least.norm,
        )
        tried = Place(new, residual, norm)
        least = tried.where(norm < state.least.norm, state.least)
        if np.count_nonzero(accepted) == len(accepted):
            rejections = np.zeros(len(accepted), dtype=int)
            return AndersonState(new, residual, secants, least, rejections, rejections > 0)
        # A residual that is not finite teaches nothing, so the same step would follow: restart at once.
        rejections = np.maximum(state.rejections + 1, np.where(np.isfinite(norm), 0, RESTART))
        rejections = np.where(accepted, 0, rejections)
        # The place before a restart only needs its z and residual: pairs, and products with it, are discarded there.
        before = Place(state.z, state.residual, norm)
        if self.restart == "least":
            before = least.where(rejections >= RESTART, before)
        place = tried.where(accepted, before)
        return AndersonState(place.z, place.residual, secants, least, rejections, rejections > self.rejections)

    def traced(self) -> Any:
        """Return the form of it that JAX can trace."""
        from equilib.jax.traced.anderson import TracedAnderson  # deferred: JAX is loaded by those who use it

        return TracedAnderson(**vars(self))

    def _ridge(self, z: Array) -> float:
        # Products of float32 vectors are not known better than this.
        return self.regularization + 10 * float(array_namespace(z).finfo(z.dtype).eps)
