"""The derivative of a loop: a cotangent carried back through each of its steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from equilib.adjoints.idle import without_idle
from equilib.adjoints.revolve import Iterates
from equilib.adjoints.sensitivity import Needs, Pullback, check_pullback
from equilib.arrays import Array, Tree, tree_map
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.picard import State
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.stopping import judged
from equilib.options import Checked, option


@dataclass(frozen=True)
class Unrolled(Checked):
    """Differentiate Picard iteration from the initial guess, step by step.

    Exact for the iterate it ends at, which is the fixed point where Picard iteration converges; how far that is from
    converged is what `Pullback.solves` reports.

    Memory does not grow with the depth: `checkpoints` iterates are kept, the others evaluated again, and a step is
    linearized when the cotangent comes to it. With `checkpoints=None` each step is evaluated once and stays linearized
    until then; the gradient is the same, bit for bit.
    """

    needs: ClassVar[Needs] = Needs()

    depth: int = option(30, help="differentiate so many iterations", minimum=1)
    checkpoints: int | None = option(
        10, help="keep so many iterates in memory; none keeps every step, and evaluates none again", minimum=1
    )

    @np.errstate(all="ignore")  # what is not finite gets a status
    def pullback(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[Solution]:
        """Repeat the iteration, then carry the cotangent of z, shape (batch, ...), back through each step."""
        check_pullback(problem, solution, cotangent)
        problem, solution = without_idle(problem, solution, cotangent)
        counts = Counts()
        problem = counted(problem, counts)
        backwards: Iterable[Linearization]
        if self.checkpoints is None:
            steps = [problem.linearize(solution.z0)]
            while len(steps) < self.depth:
                steps.append(problem.linearize(steps[-1].value))
            previous = steps[-2].value if self.depth > 1 else solution.z0
            backwards = (steps.pop() for _ in range(self.depth))
        else:
            iterates = Iterates(problem, solution.z0, self.checkpoints)
            previous = iterates[self.depth - 1]
            backwards = linearizations(problem, iterates, self.depth)
        inputs, start, last = carry_back(backwards, cotangent)
        report = self._report(previous, last, solution, counts.nfe)
        return Pullback(inputs=inputs, start=start, solves=(report,), truncated=True)

    def unroll(self, problem: FixedPointProblem, solution: Solution, start: Array, *inputs: Tree) -> Array:
        """Return the last iterate, shape (batch, ...), by steps that are traced: all of them stay in memory."""
        z = start
        for _ in range(self.depth):
            z = problem.f(z, *inputs)
        return z

    def _report(self, previous: Array, z: Array, solution: Solution, nfe: int) -> Solution:
        residual = z - previous
        batch = State(z, residual) if solution.batched else State(z[None, ...], residual[None, ...])
        status, norm = judged(solution.options, batch)
        return replace(
            solution,
            z=z,
            residual=residual,
            status=status,
            residual_norm=norm,
            steps=np.full(len(status), self.depth),
            nfe=nfe,
            sample_nfe=nfe * len(status),
            njvp=0,
            nvjp=2 * self.depth,
            trace=norm[None, :],
            solver=str(self),
            state=None,
            fallbacks=(),
            attempt=np.zeros(len(status), dtype=int),
        )


def linearizations(problem: FixedPointProblem, iterates: Iterates, depth: int) -> Iterable[Linearization]:
    """Yield the linearizations of `depth` steps, last to first, made as they are asked for."""
    return (problem.linearize(iterates[k]) for k in reversed(range(depth)))


def carry_back(steps: Iterable[Linearization], cotangent: Array) -> tuple[tuple[Tree, ...], Array, Array]:
    """Carry a cotangent through at least one step, given last to first.

    Returns
    -------
    inputs : tuple of trees
        The cotangents of the problem's inputs.
    start : array
        The cotangent of the iterate before all steps.
    last : array
        The iterate after them.
    """
    inputs: Tree = None
    last: Array = None
    for linear in steps:
        last = linear.value if last is None else last
        found = linear.inputs_vjp(cotangent)
        inputs = found if inputs is None else tree_map(lambda total, new: total + new, inputs, found)
        cotangent = linear.vjp(cotangent)
        del linear  # two at a time would take twice the memory
    return inputs, cotangent, last
