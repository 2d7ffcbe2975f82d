"""The gradient of the reversible relaxation: its steps taken back, and the cotangent carried along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from equilib import Counts, FixedPointProblem, ImplicitAdjoint, Needs, Pullback, Solution, Status
from equilib.adjoints.idle import idle_samples, set_aside
from equilib.adjoints.revolve import Iterates
from equilib.adjoints.sensitivity import check_pullback
from equilib.arrays import (
    Array,
    Tree,
    array_namespace,
    from_host,
    rows_like,
    samples_as_rows,
    to_host,
    tree_map,
    where_samples,
    zeros_like,
)
from equilib.errors import UserError
from equilib.fixed_points.evaluator import counted
from equilib.fixed_points.solve import rearranged
from equilib.options import Checked, option
from equilib_revdeq.trajectory import Cotangents, Point, ReversibleState, Trajectory
from equilib_revdeq.words import where_words


class NoStepsError(UserError):
    """`Reversible` was asked for after a forward solve whose steps cannot be taken back."""


@dataclass(frozen=True)
class Reversible(Checked):
    """Take back the steps of `revdeq`, and carry the cotangent along (McCallum et al. 2025, arXiv:2509.12917).

    The gradient is that of the steps that each sample took, to rounding, whether they converged or not. A step back
    costs two linearizations, and nothing is kept. After as many as the precision of the states allows, the state is
    computed forward, from one of few that are kept, and what was computed backward is compared with it; at last with
    the initial guess. Where it is off by more than rounding, fewer of these steps are taken back at a time.

    Samples that a fallback solved have the implicit adjoint.
    """

    needs: ClassVar[Needs] = Needs()

    checkpoints: int = option(2, help="keep so many states in memory where many steps are to be taken back", minimum=1)

    @np.errstate(all="ignore")  # what is not finite gets a status
    def pullback(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[Solution]:
        """Return the cotangents of the inputs and of the initial guess for that of z, shape (batch, ...).

        Raises
        ------
        NoStepsError
            If the forward solver was not `revdeq`.
        """
        check_pullback(problem, solution, cotangent)
        state = _reversible(solution)
        if not solution.batched:
            problem = rearranged(problem, lambda z: z[None, ...], lambda z: z[0, ...])
            arrays = {name: getattr(solution, name)[None, ...] for name in ("z0", "z", "residual")}
            pulled = self.pullback(problem, replace(solution, batched=True, **arrays), cotangent[None, ...])
            start: Array = pulled.start
            return replace(pulled, start=start[0, ...])
        elsewhere = solution.attempt > 0
        if elsewhere.any():
            return self._beside_fallbacks(problem, solution, cotangent, elsewhere)
        counts = Counts()
        idle = idle_samples(solution, cotangent)
        steps = np.where(idle, 0, _steps(solution))
        problem, stood = set_aside(problem, solution, idle)
        trajectory = Trajectory(counted(problem, counts), steps, state.share, stood.z0, stood.z)
        bar = self._taken_back(trajectory, state, cotangent)
        inputs = bar.inputs
        if inputs is None:
            inputs = problem.linearize(stood.z).inputs_vjp(zeros_like(cotangent))
        return Pullback(
            inputs=inputs, start=bar.first + bar.second, solves=(self._report(solution, steps, counts),), truncated=True
        )

    def unroll(self, problem: FixedPointProblem, solution: Solution, start: Array, *inputs: Tree) -> Array:
        """Return z, shape (batch, ...), by the same steps, traced: all of them stay in memory.

        Raises
        ------
        NoStepsError
            As `pullback` does, and if a fallback solved some samples.
        """
        from equilib import ops  # autograd is loaded by those who differentiate

        if solution.attempt.any():
            raise NoStepsError("samples that a fallback solved took no steps; for further derivatives take implicit")
        share, steps = _reversible(solution).share, _steps(solution)
        first = second = start
        for k in range(2 * int(np.max(steps, initial=0))):
            moved = share * first + (1 - share) * problem.f(second, *inputs)
            active = 2 * steps > k
            mask = rows_like(from_host(active, solution.z), solution.z)
            first, second = second, moved if active.all() else ops.where(mask, moved, first)
        return second

    def _taken_back(self, trajectory: Trajectory, state: ReversibleState, cotangent: Array) -> Cotangents:
        """Take back all steps, so many at a time, between states that are computed forward."""
        turn = trajectory.reach
        turns = -(-trajectory.length // turn)
        kept = Iterates(lambda point: trajectory.forward(point, turn), trajectory.start, self.checkpoints)
        point = _end(trajectory, state, lambda: kept[turns])
        bar = Cotangents(zeros_like(cotangent), cotangent)
        for number in reversed(range(turns)):
            before, given = kept[number], bar
            while point.number > before.number:
                point, bar = trajectory.back(point, bar)
            if not trajectory.agree(point, before):
                # f may have rounded otherwise when there were other samples beside; if not, it expands.
                steps = min(turn, trajectory.length - before.number)
                bar = _in_halves(trajectory, before, steps, given)
            point = before
        return bar

    def _beside_fallbacks(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, elsewhere: np.ndarray
    ) -> Pullback[Solution]:
        nothing, own = zeros_like(cotangent), replace(solution, attempt=np.zeros_like(solution.attempt))
        implicit = ImplicitAdjoint().pullback(problem, solution, where_samples(elsewhere, cotangent, nothing))
        pulled = self.pullback(problem, own, where_samples(elsewhere, nothing, cotangent))
        inputs = tree_map(lambda one, other: one + other, pulled.inputs, implicit.inputs)
        return replace(pulled, inputs=inputs, solves=(*pulled.solves, *implicit.solves), truncated=not implicit.failed)

    def _report(self, solution: Solution, steps: np.ndarray, counts: Counts) -> Solution:
        converged = solution.converged
        return replace(
            solution,
            status=tuple(Status.CONVERGED if each else Status.MAX_STEPS for each in converged),
            steps=steps,
            nfe=counts.nfe,
            sample_nfe=counts.sample_nfe,
            njvp=0,
            nvjp=counts.nvjp,
            solver=str(self),
            state=None,
            fallbacks=(),
            attempt=np.zeros_like(solution.attempt),
        )


def _reversible(solution: Solution) -> ReversibleState:
    if isinstance(solution.state, ReversibleState):
        return solution.state
    raise NoStepsError(
        f"the adjoint reversible takes back the steps of revdeq, but the forward solver was {solution.solver}; "
        "choose that one, or the adjoint implicit"
    )


def _end(trajectory: Trajectory, state: ReversibleState, reached: Callable[[], Point]) -> Point:
    """Return the states after all steps: the solver's last, in the other samples what is reached from the start."""
    last = Point(trajectory.length, state.first, state.second)
    # Not where the best iterate was another, nor where it is not finite.
    same = array_namespace(state.z).all(samples_as_rows(state.z == trajectory.rest), axis=1)
    known = to_host(same) | (trajectory.steps == 0)
    if known.all():
        return last
    first, second = (where_words(known, *each) for each in zip(last[1:], reached()[1:], strict=True))
    return Point(trajectory.length, first, second)


def _in_halves(trajectory: Trajectory, before: Point, steps: int, given: Cotangents) -> Cotangents:
    """Carry cotangents back through some steps, of which as many are taken back at a time as can be."""
    point, bar = trajectory.forward(before, steps), given
    while point.number > before.number:
        point, bar = trajectory.back(point, bar)
    if steps == 1 or trajectory.agree(point, before):
        return bar
    middle = trajectory.forward(before, steps // 2)
    bar = _in_halves(trajectory, middle, steps - steps // 2, given)
    return _in_halves(trajectory, before, steps // 2, bar)


def _steps(solution: Solution) -> np.ndarray:
    """Return after how many steps each sample was at the z that was returned, shape (batch,)."""
    trace = np.where(np.isfinite(solution.trace), solution.trace, np.inf)
    return np.where(solution.converged, solution.steps, np.argmin(trace, axis=0))
