"""A safeguarded polyalgorithm for z = f(z): mix, measure, choose, fall back, each sample for itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from equilib import Evaluator, Linearization
from equilib.arrays import Array, array_namespace, coefficients, host_norm, rows_like, where_samples, zeros_like
from equilib.fixed_points.compaction import restricted_state
from equilib.numerics.dense import dense_jacobian, identity_like, solve_dense
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver
from equilib.numerics.secants import Secants
from equilib.options import option, part
from equilib_auto.progress import GIVEN_UP, METHODS, MIXING, Limits, Progress


@dataclass(frozen=True)
class AutoState:
    """The iterate that each sample goes on from, its residual, and what its method needs.

    `linear` is f's linearization at the last trial, which is the iterate of the samples in `linearized`; `direction`
    holds Newton steps. `guess` is the initial state.
    """

    z: Array
    residual: Array
    progress: Progress
    secants: Secants = field(repr=False)
    direction: Array = field(repr=False)
    linear: Linearization | None = field(repr=False)
    linearized: np.ndarray
    guess: tuple[Array, Array, np.ndarray] = field(repr=False)

    @property
    def failed(self) -> np.ndarray:
        """Samples that no method brought further."""
        failed: np.ndarray = self.progress.method == GIVEN_UP
        return failed

    @property
    def finished_by(self) -> tuple[str, ...]:
        """The method that each sample is with: for a converged one, the method that finished it."""
        return tuple(METHODS[index] for index in self.progress.method)


@dataclass(frozen=True)
class Auto(Limits):
    """Anderson mixing, then Newton's method with a line search, then Newton's method as it is.

    A sample begins with mixing. Every `probe` steps the contraction is measured; if at that rate it needs more than
    `patience` further steps, or mixing made it worse twice in a row, it goes on with Newton's method: from where it is
    if mixing has reduced the residual to a tenth, else from the initial guess, since it has only wandered. If a Newton
    step is no descent however short, the sample tries plain Newton steps from the initial guess, which may jump out of
    a local minimum of the residual; after `plain_steps` of them it is given up.

    A step is one trial of every sample, so one evaluation of f; a further one where samples go over to Newton. Newton
    steps of states with up to `dense` elements are by LU, of larger ones by GMRES.
    """

    memory: int = option(6, help="pairs of changes that mixing keeps", minimum=1)
    dense: int = option(64, help="elements of a state up to which Newton steps are by LU", minimum=0)
    linear_solver: LinearSolver = part("gmres", GMRES, kind="linear solver", help="solver of the equation of a step")
    forcing: float = option(0.01, help="residual reduction asked of the linear solver", minimum=1e-12, maximum=0.9)

    def init(self, f: Evaluator, z0: Array) -> AutoState:
        """Evaluate the initial guess."""
        residual = f.residual(z0)
        norm = host_norm(residual)
        return AutoState(
            z=z0,
            residual=residual,
            progress=Progress.at(norm),
            secants=Secants.none(len(norm)),
            direction=zeros_like(z0),
            linear=None,
            linearized=np.zeros(len(norm), dtype=bool),
            guess=(z0, residual, norm),
        )

    def step(self, f: Evaluator, state: AutoState) -> AutoState:
        """Try the next iterate of each sample by its method, and keep it, take it back, or change the method."""
        active, progress = f.active, state.progress
        newton = active & (progress.method != MIXING)
        target = f.missing(f.size(state.residual))
        forcing = np.maximum(self.forcing, np.minimum(0.5 * target, 0.9)) if self._by_gmres(state.z) else 0 * target
        state = self._directed(f, state, newton & (progress.length == 1), forcing)
        trial = where_samples(active, self._trial(state, newton), state.z)
        linear = f.linearize(trial) if newton.any() else None
        residual = f.residual(trial) if linear is None else linear.value - trial
        secants, norm, kept = self._judged(state, trial, residual, active & ~newton, forcing)
        following = progress.advanced(norm, kept, target, forcing, self)
        # A finished sample stays with the method that finished it.
        following = replace(following, method=np.where(active, following.method, progress.method))
        state = AutoState(
            z=where_samples(kept, trial, state.z),
            residual=where_samples(kept, residual, state.residual),
            progress=following,
            secants=secants,
            direction=state.direction,
            linear=linear,
            linearized=kept & (linear is not None),
            guess=state.guess,
        )
        return _begun_again(state, following.returns(progress, state.guess[2]))

    def restrict(self, f: Evaluator, state: AutoState, rows: np.ndarray) -> AutoState:
        """Return the state of the samples `rows` only; those with Newton's method are linearized anew when needed."""
        without = replace(state, linear=None, linearized=np.zeros_like(state.linearized))
        return restricted_state(f, without, rows)

    def _by_gmres(self, z: Array) -> bool:
        return prod(int(length) for length in z.shape[1:]) > self.dense

    def _directed(self, f: Evaluator, state: AutoState, wanting: np.ndarray, forcing: np.ndarray) -> AutoState:
        """Solve (I − J) d = f(z) − z for the samples that need a new Newton step."""
        if not wanting.any():
            return state
        linear = state.linear
        if linear is None or not state.linearized[wanting].all():
            linear = f.linearize(state.z)
        if self._by_gmres(state.z):
            direction = self.linear_solver.solve(
                lambda v: v - linear.jvp(v), state.residual, rtol=forcing, active=wanting
            )
        else:
            J = dense_jacobian(linear)
            direction = solve_dense(identity_like(J) - J, state.residual, wanting)
        return replace(state, direction=where_samples(wanting, direction, state.direction))

    def _trial(self, state: AutoState, newton: np.ndarray) -> Array:
        length = rows_like(coefficients(state.progress.length, state.z), state.z)
        along = state.z + length * state.direction
        if newton.all():
            return along
        # Products of float32 vectors are not known better than this.
        ridge = 1e-10 + 10 * float(array_namespace(state.z).finfo(state.z.dtype).eps)
        full = np.ones(newton.shape)
        return where_samples(
            newton, along, state.secants.mixed(state.z, state.residual, full, state.secants.weights(ridge))
        )

    def _judged(
        self, state: AutoState, trial: Array, residual: Array, mixing: np.ndarray, forcing: np.ndarray
    ) -> tuple[Secants, np.ndarray, np.ndarray]:
        if mixing.any():
            return state.secants.extended(
                trial - state.z,
                state.residual,
                residual,
                memory=self.memory,
                accept=lambda norm: state.progress.keeps(norm, forcing),
            )
        norm = host_norm(residual)
        return state.secants, norm, state.progress.keeps(norm, forcing)


def _begun_again(state: AutoState, samples: np.ndarray) -> AutoState:
    """Return the given samples to the initial guess."""
    if not samples.any():
        return state
    z, residual, norm = state.guess
    return replace(
        state,
        z=where_samples(samples, z, state.z),
        residual=where_samples(samples, residual, state.residual),
        progress=replace(state.progress, norm=np.where(samples, norm, state.progress.norm)),
        linearized=state.linearized & ~samples,
    )
