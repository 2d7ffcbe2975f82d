"""Solvers that break one law each, the way it happens to people, and the checks that must find it."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import getclosurevars
from typing import Any

import numpy as np

from equilib import JacobianFree, State
from equilib.arrays import array_namespace, host_norm, samples_as_rows, to_host, two_norm, where_samples
from equilib.fixed_points.evaluator import Evaluator
from equilib.options import option

Array = Any


@dataclass(frozen=True)
class Sound:
    """Picard iteration, to be broken."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Evaluate the initial guess."""
        return self.at(f, z0)

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, state.z + state.residual)

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        return State(z, f.residual(z))


@dataclass(frozen=True)
class Failing(State):
    """A state that gives samples up."""

    failed: Any


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    init = Sound.init
    step = Sound.step
    at = Sound.at


@dataclass(frozen=True)
class WithoutHelp(Sound):
    """An option nobody can read about."""

    damping: float = 0.0


@dataclass(frozen=True)
class WithoutDefault(Sound):
    """A solver that cannot be chosen by its name."""

    matrix: np.ndarray = field(kw_only=True)


@dataclass(frozen=True)
class WrongSign(Sound):
    """The residual as z − f(z)."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Evaluate the initial guess."""
        return State(z0, z0 - f(z0))

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        z = state.z - state.residual
        return State(z, z - f(z))


@dataclass(frozen=True)
class Stale(Sound):
    """The residual of the iterate before."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        residual = f.residual(state.z)
        return State(state.z + residual, residual)


@dataclass(frozen=True)
class Looping(Sound):
    """All the iterations in one step."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Iterate."""
        for _ in range(200):
            state = self.at(f, state.z + state.residual)
        return state


@dataclass(frozen=True)
class Remembering(Sound):
    """A warm start that is kept on the solver."""

    memory: dict[str, Array] = field(default_factory=dict)

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Start from the last answer."""
        return self.at(f, self.memory.get(str(z0.shape), z0))

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z, and keep it."""
        self.memory[str(z.shape)] = z
        return State(z, f.residual(z))


@dataclass(frozen=True)
class InPlace(Sound):
    """A step that saves an array."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Scale the residual where it is."""
        step = state.residual
        step *= 0.9
        return self.at(f, state.z + step)


@dataclass(frozen=True)
class OnTheGuess(Sound):
    """A step that works on the array it was given."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Add to the iterate."""
        z = state.z
        z += state.residual
        return self.at(f, z)


@dataclass(frozen=True)
class Flattening(Sound):
    """A state of rows, whatever the shape of z0."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Evaluate the initial guess."""
        return State(samples_as_rows(z0), samples_as_rows(f.residual(z0)))


@dataclass(frozen=True)
class OneVerdict(Sound):
    """One `failed` for the whole batch."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        return Failing(z, f.residual(z), np.zeros(1, dtype=bool))


@dataclass(frozen=True)
class Widening(Sound):
    """A residual in float64."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        xp = array_namespace(state.z)
        z = state.z + xp.astype(state.residual, state.z.dtype)
        return State(z, xp.astype(f.residual(z), xp.float64))


@dataclass(frozen=True)
class Uncounted(Sound):
    """An evaluation past the counter."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        problem = getclosurevars(f.problem.f).nonlocals["problem"]
        return State(z, problem(z) - z)


@dataclass(frozen=True)
class Undeclared(Sound):
    """A product J·v that nobody was told of."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Take a step of a Neumann series."""
        linear = f.linearize(state.z)
        return self.at(f, state.z + state.residual + linear.jvp(state.residual))


@dataclass(frozen=True)
class NumPyOnly(Sound):
    """NumPy's functions on whatever comes."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, np.add(state.z, state.residual))


@dataclass(frozen=True)
class Eager(Sound):
    """A step before the first."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Begin at f(z0)."""
        return self.at(f, f(z0))


@dataclass(frozen=True)
class Resting(Sound):
    """A solver that goes nowhere."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Stay."""
        return state


@dataclass(frozen=True)
class RowsOnly(Sound):
    """Samples that are taken for vectors."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Unpack the shape."""
        _batch, _size = z0.shape
        return self.at(f, z0)


@dataclass(frozen=True)
class Squeezing(Sound):
    """A batch of one that loses its axis."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        return State(z, residual[0] if z.shape[0] == 1 else residual)


@dataclass(frozen=True)
class AbsoluteThreshold(Sound):
    """A constant that knows the size of z."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        small = host_norm(residual) < 1e-10
        return Failing(z, residual, small & f.active)


@dataclass(frozen=True)
class Raising(Sound):
    """An exception about divergence."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        if np.any(host_norm(residual)[1:] > 100):
            raise ArithmeticError("it diverges")
        return State(z, residual)


@dataclass(frozen=True)
class Lying(Sound):
    """A residual of zero for those who are lost."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        lost = host_norm(residual) > 100
        return State(z, where_samples(lost, array_namespace(z).zeros_like(z), residual))


@dataclass(frozen=True)
class RefusingNan(Sound):
    """An exception about nan."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        if np.isnan(to_host(residual)).any():
            raise FloatingPointError("nan in the residual")
        return State(z, residual)


@dataclass(frozen=True)
class WrongAdjoint(Sound):
    """An approximate gradient as if it were the gradient."""

    def adjoint(self) -> JacobianFree:
        """Return it."""
        return JacobianFree()


@dataclass(frozen=True)
class Masking(Sound):
    """Samples that are picked by multiplying with zeros and ones."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        rows = samples_as_rows(state.residual)
        xp = array_namespace(rows)
        picked = xp.sum(xp.eye(rows.shape[0], dtype=rows.dtype)[:, :, None] * rows[None, :, :], axis=1)
        return self.at(f, state.z + xp.reshape(picked, state.z.shape))


@dataclass(frozen=True)
class Dividing(Sound):
    """A quotient of residuals, summed over the batch."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        xp = array_namespace(state.z)
        norm = two_norm(state.residual)
        return self.at(f, state.z + state.residual + 0 * xp.sum(norm / norm))


@dataclass(frozen=True)
class Squaring(Sound):
    """A square that overflows, summed over the batch."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, state.z + state.residual + 0 * array_namespace(state.z).sum(state.z**2))


@dataclass(frozen=True)
class Coupling(Sound):
    """One step length for the batch."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, state.z + (1 - 0.02 * state.z.shape[0]) * state.residual)


@dataclass(frozen=True)
class NeverEmpty(Sound):
    """A largest residual of no samples."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        array_namespace(z).max(residual)
        return State(z, residual)


@dataclass(frozen=True)
class Mislaying(Sound):
    """The first samples of its state, whichever go on."""

    def restrict(self, f: Evaluator, state: Any, rows: np.ndarray) -> Any:
        """Return the state of some samples."""
        return State(state.z[: len(rows), ...], state.residual[: len(rows), ...])


@dataclass(frozen=True)
class WholePicard:
    """Picard iteration with a loop of its own; `own` replaces the tolerance that was asked for."""

    own: float = option(0.0, help="tolerance of its own")

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> Any:
        """Iterate until the tolerance is met."""
        active = f.active.copy()
        z, residual = z0, f.residual(z0)
        for _ in range(max_steps):
            z = where_samples(active, z + residual, z)
            residual = f.residual(z)
            allowed = f.tolerance_at(z, residual)
            active &= f.size(residual) > (self.own or allowed)
            if not active.any():
                break
        return State(z, residual)


FINDS = {"finds_dense_fixed_points", "finds_fixed_points_of_images", "finds_a_fixed_point_without_a_batch"}
CONVERGES = FINDS | {
    "honours_the_tolerance",
    "does_not_depend_on_units",
    "differentiates_through_its_default_adjoint",
    "a_finished_sample_harms_nobody",
    "takes_one_sample_or_none",
}
SEPARATES = {
    "a_nan_stays_in_its_sample",
    "a_finished_sample_harms_nobody",
    "a_hopeless_sample_harms_nobody",
    "treats_samples_separately",
}
REMOVES = {"keeps_answers_without_finished_samples"}
TAKES_IMAGES = {
    "returns_the_residual_of_its_iterate",
    "keeps_nothing_on_itself",
    "keeps_shapes",
    "finds_fixed_points_of_images",
}

BROKEN: tuple[tuple[Any, set[str]], ...] = (
    (NotFrozen(), {"declares_its_options"}),
    (WithoutHelp(), {"declares_its_options"}),
    (WithoutDefault(matrix=np.eye(2)), {"declares_its_options"}),
    (WrongSign(), {"returns_the_residual_of_its_iterate"}),
    (Stale(), {"returns_the_residual_of_its_iterate"}),
    (Looping(), {"takes_one_step_at_a_time"}),
    (Remembering(), {"keeps_nothing_on_itself"}),
    (InPlace(), {"changes_no_array_in_place"}),
    (OnTheGuess(), {"changes_no_array_in_place"} | SEPARATES - {"a_hopeless_sample_harms_nobody"} | REMOVES),
    (Flattening(), TAKES_IMAGES),
    (OneVerdict(), {"keeps_shapes"} | REMOVES),
    (Widening(), {"keeps_dtypes"}),
    (Uncounted(), {"counts_every_evaluation"} | REMOVES),
    (NumPyOnly(), {"runs_on_other_arrays"}),
    (Eager(), {"needs_no_step_from_the_answer", "allows_no_step_at_all"}),
    (Resting(), CONVERGES | REMOVES),
    (RowsOnly(), TAKES_IMAGES),
    (
        Squeezing(),
        {"finds_a_fixed_point_without_a_batch", "treats_samples_separately", "takes_one_sample_or_none"} | REMOVES,
    ),
    (AbsoluteThreshold(), {"does_not_depend_on_units"}),
    (Lying(), {"is_honest_where_f_expands", "is_honest_without_a_fixed_point"}),
    (RefusingNan(), {"survives_a_map_that_returns_nan", "a_nan_stays_in_its_sample"}),
    (WrongAdjoint(), {"differentiates_through_its_default_adjoint"}),
    (Masking(), {"a_nan_stays_in_its_sample"}),
    (Squaring(), {"a_nan_stays_in_its_sample", "a_hopeless_sample_harms_nobody"}),
    (Coupling(), {"treats_samples_separately"} | REMOVES),
    (NeverEmpty(), {"takes_one_sample_or_none"}),
    (Mislaying(), REMOVES),
    (WholePicard(1e-3), CONVERGES),
)
"""Each with all the checks that it fails."""
