"""Sensitivities and integrators that break one law each, and the checks that must find it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from inspect import getclosurevars
from typing import Any, ClassVar

import numpy as np

from equilib import ImplicitAdjoint, JacobianFree, Needs, Pullback, Solution, solve
from equilib.adjoints.equation import adjoint_problem
from equilib.arrays import array_namespace, samples_as_rows
from equilib.numerics.affine import Affine
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integrator import Attempt, Memory, Step
from tests.initial_value_problems import Heun as _Heun

Array = Any


@dataclass(frozen=True)
class Sound:
    """The implicit adjoint, to be broken."""

    needs: ClassVar[Needs] = Needs()

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Return the cotangents of the inputs."""
        return ImplicitAdjoint().pullback(problem, solution, cotangent)


def scaled(pulled: Pullback[Solution], factor: Any) -> Pullback[Solution]:
    """Return the cotangents times a factor."""
    tree = {name: leaf * factor for name, leaf in pulled.inputs[0].items()}
    return replace(pulled, inputs=(tree,))


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    needs: ClassVar[Needs] = Needs()
    pullback = Sound.pullback


@dataclass(frozen=True)
class Needless:
    """Needs that are not declared."""

    pullback = Sound.pullback


@dataclass(frozen=True)
class Doubled(Sound):
    """A factor that was forgotten."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Return twice the cotangents."""
        return scaled(super().pullback(problem, solution, cotangent), 2)


@dataclass(frozen=True)
class Clipped(Sound):
    """Large cotangents that are clipped."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Clip at 10, which a standard normal variable does not reach."""
        return super().pullback(problem, solution, array_namespace(cotangent).clip(cotangent, -10.0, 10.0))


@dataclass(frozen=True)
class Normalizing(Sound):
    """A cotangent that is divided by its size, sample by sample."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Scale there and back."""
        xp = array_namespace(cotangent)
        size = xp.max(xp.abs(cotangent), axis=tuple(range(1, cotangent.ndim)), keepdims=True)
        return super().pullback(problem, solution, cotangent / size * size)


@dataclass(frozen=True)
class Widening(Sound):
    """Cotangents in float64."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Convert them."""
        pulled = super().pullback(problem, solution, cotangent)
        xp = array_namespace(cotangent)
        return replace(pulled, inputs=({k: xp.astype(v, xp.float64) for k, v in pulled.inputs[0].items()},))


@dataclass(frozen=True)
class Silent(Sound):
    """A solve that is not reported."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Drop the report."""
        return replace(super().pullback(problem, solution, cotangent), solves=())


@dataclass(frozen=True)
class Raising(Sound):
    """The forward policy, kept for the adjoint."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Solve, and raise where that fails."""
        linear = problem.linearize(solution.z)
        adjoint = solve(adjoint_problem(linear, cotangent), Affine(), cotangent, solution.options)
        return Pullback(inputs=linear.inputs_vjp(adjoint.z), solves=(adjoint,))


@dataclass(frozen=True)
class Masking(Sound):
    """Samples that are picked by multiplying with zeros and ones."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Pick all of them."""
        xp, rows = array_namespace(cotangent), samples_as_rows(cotangent)
        picked = xp.sum(xp.eye(rows.shape[0], dtype=rows.dtype)[:, :, None] * rows[None, :, :], axis=1)
        return super().pullback(problem, solution, xp.reshape(picked, cotangent.shape))


@dataclass(frozen=True)
class Averaging(Sound):
    """A mean over the batch, which is the loss's business."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Divide by the size of the batch."""
        return scaled(super().pullback(problem, solution, cotangent), 5 / cotangent.shape[0])


@dataclass(frozen=True)
class InPlace(Sound):
    """A cotangent that is overwritten."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Overwrite it at the end."""
        pulled = super().pullback(problem, solution, cotangent)
        cotangent *= 0.5
        return pulled


@dataclass(frozen=True)
class NumPyOnly(Sound):
    """NumPy's functions on whatever comes."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[Solution]:
        """Call one of them."""
        return super().pullback(problem, solution, np.multiply(cotangent, 1.0))


SENSITIVITIES: tuple[tuple[Any, set[str]], ...] = (
    (NotFrozen(), {"declares_its_options"}),
    (Needless(), {"declares_its_options"}),
    (JacobianFree(), {"agrees_with_the_dense_inverse", "reports_its_solve"}),
    (Doubled(), {"agrees_with_the_dense_inverse", "is_right_where_the_jacobian_vanishes"}),
    (Clipped(), {"is_linear_in_the_cotangent"}),
    (Normalizing(), {"sends_zero_to_zero"}),
    (Widening(), {"returns_trees_like_the_inputs"}),
    (Silent(), {"reports_its_solve"}),
    (Raising(), {"does_not_raise_where_it_fails"}),
    (Masking(), {"a_nan_stays_in_its_sample"}),
    (Averaging(), {"treats_samples_separately", "agrees_with_the_dense_inverse"}),
    (InPlace(), {"changes_no_array_in_place"}),
    (NumPyOnly(), {"runs_on_other_arrays"}),
)
"""Each with all the checks that it fails when it is called exact."""


@dataclass(frozen=True)
class Heun(_Heun):
    """Heun's method without options, to be broken."""

    order: int = field(default=2, init=False)


@dataclass
class HeunNotFrozen:
    """A dataclass, but not a frozen one."""

    order = 2
    controller = _Heun.controller
    begin = _Heun.begin
    attempt = _Heun.attempt
    advance = _Heun.advance
    interpolant = _Heun.interpolant


@dataclass(frozen=True)
class Boasting(Heun):
    """An order that it does not have."""

    order: int = field(default=3, init=False)


@dataclass(frozen=True)
class Careless(Heun):
    """An estimate of the error that is far too small."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error * 1e-4)


@dataclass(frozen=True)
class Stepwise(Heun):
    """Values between steps that are those before the step."""

    def interpolant(self, flow: Flow, step: Step) -> list[Any]:
        """Return nothing to add."""
        return []


@dataclass(frozen=True)
class Forward(Heun):
    """Step sizes that are taken for positive."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        return super().attempt(flow, start, np.abs(h), memory)


@dataclass(frozen=True)
class Clinging(Heun):
    """A rejected step that moves the solution."""

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Go on from the attempt, accepted or not."""
        return FlowPoint(t, attempt.y, flow(t, attempt.y)), memory


@dataclass(frozen=True)
class SummingUp(Heun):
    """A sum over the batch in the update."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, y=attempt.y + 0 * array_namespace(attempt.y).sum(attempt.y))


@dataclass(frozen=True)
class Numerous(Heun):
    """Steps that depend on how many samples there are."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error * (1 + 0.1 * start.y.shape[0]))


@dataclass(frozen=True)
class PastTheCounter(Heun):
    """An evaluation that the flow does not see."""

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Call f itself."""
        problem = getattr(flow._f, "__self__", None)
        if problem is not None:
            getclosurevars(problem.f).nonlocals["problem"].f(np.zeros((1,) * start.y.ndim), start.y)
        return Memory()


@dataclass(frozen=True)
class WideningHeun(Heun):
    """A step in float64."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Convert the state."""
        attempt = super().attempt(flow, start, h, memory)
        xp = array_namespace(attempt.y)
        return replace(attempt, y=xp.astype(attempt.y, xp.float64))


@dataclass(frozen=True)
class Remembering(Heun):
    """A derivative that is kept on the integrator."""

    uses: list[int] = field(default_factory=list)

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Count."""
        self.uses.append(1)
        return Memory()

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step whose error grows with the number of integrations."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error * len(self.uses))


@dataclass(frozen=True)
class HeunOnNumPy(Heun):
    """NumPy's functions on whatever comes."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Call one of them."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, y=np.multiply(attempt.y, 1.0))


INTEGRATORS: tuple[tuple[Any, set[str]], ...] = (
    (HeunNotFrozen(), {"declares_its_options"}),
    (Boasting(), {"has_the_order_it_declares"}),
    (Careless(), {"follows_the_tolerance", "is_honest_where_the_solution_blows_up"}),
    (Stepwise(), {"answers_between_its_steps"}),
    (Forward(), {"integrates_backwards"}),
    (Clinging(), {"recovers_from_a_step_too_long"}),
    (SummingUp(), {"a_nan_stays_in_its_sample"}),
    (Numerous(), {"treats_samples_separately"}),
    (PastTheCounter(), {"counts_every_evaluation"}),
    (WideningHeun(), {"keeps_dtypes"}),
    (Remembering(), {"keeps_nothing_on_itself"}),
    (HeunOnNumPy(), {"runs_on_other_arrays"}),
)
"""Each with checks that it fails."""
