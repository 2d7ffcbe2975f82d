"""Anderson mixing for z = f(z), safeguarded, each sample with weights of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import Evaluator
from equilib.arrays import Array, array_namespace, host_norm, where_samples
from equilib.numerics.secants import Secants
from equilib.options import Checked, option

RESTART = 2
"""Steps taken back in a row after which a sample forgets its pairs."""


@dataclass(frozen=True)
class AndersonState:
    """The iterate that is mixed from, its residual, and what was learned on the way.

    `best` is the least Euclidean norm of a residual so far; `rejections` counts the steps that each sample took back
    since the last one it kept; both have shape (batch,). `failed` marks samples that took back too many.
    """

    z: Array
    residual: Array
    secants: Secants
    best: np.ndarray
    rejections: np.ndarray
    failed: np.ndarray


@dataclass(frozen=True)
class Anderson(Checked):
    """Type-II Anderson mixing (Anderson 1965; Walker & Ni 2011, SIAM J. Numer. Anal. 49(4)).

    With r = f(z) − z and the last changes Δz, Δr,

        γ = argmin ‖r − Σ γᵢ Δrᵢ‖,   z ← z + β r − Σ γᵢ (Δzᵢ + β Δrᵢ).

    A step after which the residual exceeds `growth` times its least so far, or is not finite, is taken back. The
    first time its pair of changes is kept, since it is true all the same, and corrects the next step. From the second
    time in a row, the sample starts again without pairs, with half of β each time.
    """

    memory: int = option(6, help="pairs of changes that are kept", minimum=1)
    mixing: float = option(1.0, help="share β of the residual that is added", exclusive_minimum=0.0, maximum=1.0)
    regularization: float = option(1e-10, help="ridge, relative to the size of the Gram matrix", minimum=0.0)
    growth: float = option(2.0, help="growth of the residual at which a step is taken back", minimum=1.0)
    rejections: int = option(8, help="steps taken back in a row before the sample is given up", minimum=1)

    def init(self, f: Evaluator, z0: Array) -> AndersonState:
        """Evaluate the initial guess."""
        residual = f.residual(z0)
        norm = host_norm(residual)
        none = np.zeros(len(norm), dtype=int)
        return AndersonState(z0, residual, Secants.none(len(norm)), norm, none, none > 0)

    def step(self, f: Evaluator, state: AndersonState) -> AndersonState:
        """Mix, evaluate, and go on from the better place."""
        restarted = state.rejections >= RESTART
        secants = state.secants.discarded(restarted)
        mixing = self.mixing * 0.5 ** np.maximum(state.rejections - RESTART + 1.0, 0.0)
        new = secants.mixed(state.z, state.residual, mixing, secants.weights(self._ridge(state.z)))
        residual = f.residual(new)
        secants, norm, accepted = secants.extended(
            new - state.z,
            state.residual,
            residual,
            memory=self.memory,
            accept=lambda norm: norm <= self.growth * state.best,
        )
        # A residual that is not finite teaches nothing, so the same step would follow: restart at once.
        rejections = np.maximum(state.rejections + 1, np.where(np.isfinite(norm), 0, RESTART))
        rejections = np.where(accepted, 0, rejections)
        return AndersonState(
            z=where_samples(accepted, new, state.z),
            residual=where_samples(accepted, residual, state.residual),
            secants=secants,
            best=np.where(accepted, np.minimum(norm, state.best), state.best),
            rejections=rejections,
            failed=rejections > self.rejections,
        )

    def _ridge(self, z: Array) -> float:
        # Products of float32 vectors are not known better than this.
        return self.regularization + 10 * float(array_namespace(z).finfo(z.dtype).eps)
