"""A safeguarded polyalgorithm for z = f(z): learn, measure, choose, fall back, each sample for itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from equilib import Evaluator, Linearization
from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    host_norm,
    only_samples,
    rows_like,
    samples_as_rows,
    where_samples,
    zeros_like,
)
from equilib.fixed_points.compaction import restricted_state
from equilib.numerics.affine import SHARE
from equilib.numerics.forcing import LARGEST
from equilib.numerics.gmres import GMRES
from equilib.numerics.krylov_levels import may_grow, solve_at_levels
from equilib.numerics.linear_solver import LinearSolver
from equilib.numerics.low_rank import LowRankInverse
from equilib.numerics.place import Place
from equilib.options import Checked, option, part
from equilib_auto.methods import CONTINUATION, DESCENT, FLOW, PLAIN, RESTART, RISE, SECANTS, SPECTRAL
from equilib_auto.progress import Progress
from equilib_auto.recycling import Pair, Recycled
from equilib_auto.stages import GIVEN_UP, NAMES
from equilib_auto.trial import Trial

RUNAWAY = 1e3
"""Size of z, over the scale of the solve, at which a step is taken back that has not reduced the residual: where
f(z) − z is bounded, methods run away to places where it says nothing. A driver that sees that calls it divergence."""

FARTHEST = 1e8
"""The same, whatever the residual, which is rounding there."""

ROUNDING = 100.0
"""Units of rounding of z, below which a residual is noise: a step by what was learned would follow it far."""

NOISE = 10.0
"""The same, below which Newton's method can do no more."""

REDUCED = 0.4
"""Share of the first residual that is a reduction."""


@dataclass(frozen=True)
class AutoState:
    """The iterate that each sample goes on from, its residual, and what its stage needs.

    `guess` and `least` are the places of the initial guess and of the least residual, `anchor` and `retreat` that where
    a step ahead began, and the step that is shortened if it was in vain; `scale` is ‖z‖ + ‖f(z) − z‖ at the guess, or a
    later residual that is larger. `image` is H r; `krylov` is what Newton's products taught. `linear` is f's
    linearization at the last trial, which is the iterate of the samples in `linearized`; `direction` holds Newton
    steps.
    """

    z: Array
    residual: Array
    progress: Progress
    guess: Place = field(repr=False)
    least: Place = field(repr=False)
    anchor: Place = field(repr=False)
    scale: np.ndarray = field(repr=False)
    inverse: LowRankInverse = field(repr=False)
    krylov: Recycled = field(repr=False)
    image: Array = field(repr=False)
    direction: Array = field(repr=False)
    retreat: Array = field(repr=False)
    linear: Linearization | None = field(repr=False)
    linearized: np.ndarray

    @property
    def place(self) -> Place:
        """Where each sample is."""
        return Place(self.z, self.residual, self.progress.norm)

    @property
    def failed(self) -> np.ndarray:
        """Samples that no stage brought further."""
        failed: np.ndarray = self.progress.stage == GIVEN_UP
        return failed

    @property
    def finished_by(self) -> tuple[str, ...]:
        """The stage that each sample is in: for a converged one, the stage that finished it."""
        return tuple(NAMES[index] for index in self.progress.stage)


@dataclass(frozen=True)
class Auto(Checked):
    """Limited-memory Broyden, then Newton–GMRES, the flow z' = f(z) − z, and what else may help, for each sample.

    A sample begins with Broyden's method, which needs no derivative. It goes over to the next stage of
    `equilib_auto.stages.STAGES` where there is no further step, or where, at the rate of its last trials, more are
    needed than the stage has patience for: from the place of its least residual if that has come down far enough, else
    from the initial guess, since it has only wandered. So slow methods do not hold up the others, and every method has
    its turn before a sample is given up.

    A step is one trial of every sample, so one evaluation of f; a further one where samples go over to Newton. Newton
    steps are by GMRES with the forcing terms of Eisenstat and Walker, in Krylov spaces that grow up to the size of the
    state where a step does not halve the residual. A full step after which the residual has risen a little is once
    followed by another before it is shortened: so valleys of the residual are crossed. What their products tell of the
    Jacobian is kept: while it changes little, it preconditions the next Krylov space, or replaces it.
    """

    memory: int = option(150, help="keep so many steps in the inverse Jacobian", minimum=1)
    linear_solver: LinearSolver = part("gmres", GMRES, kind="linear solver", help="solve the equation of each step")
    forcing: float = option(0.1, help="ask the first GMRES for this residual reduction", minimum=1e-12, maximum=0.9)

    def traced(self) -> object:
        """Return what JAX traces in its place: Anderson mixing, since Newton's method is not traced."""
        from equilib.jax.traced.anderson import TracedAnderson  # deferred: JAX is loaded by those who use it

        return TracedAnderson()

    def init(self, f: Evaluator, z0: Array) -> AutoState:
        """Evaluate the initial guess."""
        guess = Place.at(z0, f.residual(z0))
        inverse = LowRankInverse(self.memory)
        return AutoState(
            z=z0,
            residual=guess.residual,
            progress=Progress.at(guess.norm, self.forcing),
            guess=guess,
            least=guess,
            anchor=guess,
            scale=host_norm(z0) + guess.norm,
            inverse=inverse,
            krylov=Recycled(inverse),
            image=inverse.apply(guess.residual),
            direction=zeros_like(z0),
            retreat=zeros_like(z0),
            linear=None,
            linearized=np.zeros(len(guess.norm), dtype=bool),
        )

    def step(self, f: Evaluator, state: AutoState) -> AutoState:
        """Try the next iterate of each sample by its stage, and keep it, take it back, or go over to the next."""
        state = _learning_anew(f, state)
        target = f.missing(f.size(state.residual))
        newton = f.active & state.progress.newton
        state = self._directed(f, state, newton, target)
        progress, step = state.progress, _step(state, f.active)
        z = state.z + step
        linear = f.linearize(z) if newton.any() else None
        new = Place.at(z, f.residual(z) if linear is None else linear.value - z)
        length = host_norm(new.z)
        rounding = float(array_namespace(z).finfo(z.dtype).eps) * length
        clear = new.norm > ROUNDING * rounding
        size = length / np.where(state.scale > 0, state.scale, 1.0)
        near = (size <= RUNAWAY) | (size <= FARTHEST) & (new.norm <= REDUCED * state.guess.norm)
        trial = progress.judged(new.norm, host_norm(new.residual - state.residual), near, clear, NOISE * rounding)
        trial = replace(trial, kept=trial.kept & f.active)
        elements = samples_as_rows(new.z).shape[1]
        following = progress.advanced(trial, target, elements, may_grow(self.linear_solver, progress.level, new.z))
        # A finished sample stays with the stage that finished it.
        following = replace(following, stage=np.where(f.active, following.stage, progress.stage))
        place = state.anchor.where(trial.returned, new.where(trial.kept, state.place))
        before = state.place
        state = _learned(f, state, step, new.residual, place.residual, trial)
        state = replace(
            state,
            z=place.z,
            residual=place.residual,
            progress=following,
            scale=np.where(trial.kept, np.fmax(state.scale, new.norm), state.scale),
            least=new.where(trial.kept & (new.norm < state.least.norm), state.least),
            anchor=before.where(trial.ahead, state.anchor),
            retreat=where_samples(trial.ahead, state.direction, state.retreat),
            direction=where_samples(trial.returned, state.retreat, state.direction),
            linear=linear,
            linearized=trial.kept & (linear is not None),
        )
        return _begun(f, state, f.active & (following.stage != progress.stage))

    def restrict(self, f: Evaluator, state: AutoState, rows: np.ndarray) -> AutoState:
        """Return the state of the samples `rows` only; those with Newton's method are linearized anew when needed."""
        without = replace(state, linear=None, linearized=np.zeros_like(state.linearized))
        return restricted_state(f, without, rows)

    def _directed(self, f: Evaluator, state: AutoState, newton: np.ndarray, target: np.ndarray) -> AutoState:
        """Solve (I − J) d = f(z) − z for the samples that need a new Newton step; with I/τ added in a continuation."""
        progress = state.progress
        wanting = newton & ((progress.rejections == 0) & ~progress.inverted | progress.by(CONTINUATION))
        if not wanting.any():
            return state
        linear = state.linear
        if linear is None or not state.linearized[wanting].all():
            linear = f.linearize(state.z)
        progress = replace(progress, forcing=np.maximum(progress.forcing, np.minimum(SHARE * target, LARGEST)))
        added = np.where(progress.by(CONTINUATION), 1 / np.where(progress.length != 0, progress.length, 1.0), 0.0)
        shift = rows_like(coefficients(1 + added, state.z), state.z)
        pairs: list[Pair] = []
        reusing = wanting & progress.recycling
        krylov = state.krylov.forgotten(wanting & ~reusing)

        def conditioned(v: Array) -> Array:
            return where_samples(reusing, -krylov.inverse.apply(v), v) if reusing.any() else v

        def matvec(v: Array) -> Array:
            v = conditioned(v)
            product = shift * v - linear.jvp(v)
            pairs.append((v, product))
            return product

        solved, which = solve_at_levels(
            self.linear_solver,
            matvec,
            state.residual,
            rtol=progress.forcing,
            active=wanting,
            level=progress.level,
        )
        direction = where_samples(wanting, conditioned(solved), state.direction)
        progress = progress.asked(wanting, np.sum(which, axis=0))
        if isinstance(self.linear_solver, GMRES):  # others ask for products of samples that are done
            for (v, product), samples in zip(pairs, which & progress.by(DESCENT), strict=True):
                krylov = krylov.taught(samples, v, -product) if samples.any() else krylov
        return replace(state, progress=progress, direction=direction, krylov=krylov)


def _learning_anew(f: Evaluator, state: AutoState) -> AutoState:
    """Begin again with H = −I, at the place of the least residual, where steps had to be taken back."""
    due = f.active & state.progress.by(SECANTS, PLAIN) & (state.progress.rejections == RESTART)
    if not due.any():
        return state
    place = state.least.where(due, state.place)
    inverse = state.inverse.restarted(f, place.z, due)
    # The others' is the sum of its updates, which rounds otherwise than the whole product.
    image = where_samples(due, inverse.apply(place.residual), state.image)
    return replace(
        state,
        z=place.z,
        residual=place.residual,
        progress=replace(state.progress, norm=place.norm),
        inverse=inverse,
        image=image,
    )


def _step(state: AutoState, active: np.ndarray) -> Array:
    """Return what is added to z in the next trial, zero for finished samples."""
    progress = state.progress
    direction = where_samples(progress.by(SECANTS, PLAIN), -state.image, state.direction)
    if progress.inverted.any():
        direction = where_samples(progress.inverted, -state.krylov.inverse.apply(state.residual), direction)
    direction = where_samples(progress.picard, state.residual, direction)
    direction = where_samples(progress.by(FLOW, SPECTRAL, RISE), state.residual, direction)
    length = np.where(progress.by(CONTINUATION), 1.0, progress.length)
    step = rows_like(coefficients(length, direction), direction) * direction
    return only_samples(active, step)


def _learned(f: Evaluator, state: AutoState, step: Array, tried: Array, standing: Array, trial: Trial) -> AutoState:
    """Update the inverse Jacobians of the samples with Broyden's method, by the residual that was tried.

    `standing` is the residual that each sample goes on from.
    """
    newton = f.active & state.progress.by(DESCENT) & trial.kept
    if newton.any():
        state = replace(state, krylov=state.krylov.taught(newton, step, tried - state.residual))
    learning = f.active & state.progress.by(SECANTS, PLAIN)
    if not learning.any():
        return replace(state, inverse=LowRankInverse(state.inverse.memory)) if state.inverse.left else state
    # A restarted H is not spoilt by the failures of its own steps.
    taught = learning & (trial.kept | (trial.rejections <= RESTART))
    step = only_samples(taught, step)
    room = state.inverse.with_room()
    before = state.image if room is state.inverse else room.apply(state.residual)
    image = room.apply(tried)
    inverse = room.updated(step, tried - state.residual, image - before, state.progress.cosine)
    after = inverse.apply_updated(standing, where_samples(trial.kept, image, before))
    return replace(state, inverse=inverse, image=after)


def _begun(f: Evaluator, state: AutoState, samples: np.ndarray) -> AutoState:
    """Place the samples that have come to a new stage where it begins."""
    if not samples.any():
        return state
    plain = samples & state.progress.by(PLAIN)
    inverse = state.inverse.restarted(f, state.z, plain)
    worthy = state.least.norm <= state.progress.worth * state.guess.norm
    place = state.guess.where(samples & ~worthy, state.least.where(samples, state.place))
    return replace(
        state,
        inverse=inverse,
        image=where_samples(plain, -place.residual, state.image),
        krylov=state.krylov.forgotten(samples),
        z=place.z,
        residual=place.residual,
        progress=state.progress.moved(samples, place.norm),
        linearized=state.linearized & ~samples,
    )
