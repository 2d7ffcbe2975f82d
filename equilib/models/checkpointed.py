"""A fixed number of iterations whose derivative takes little memory."""

from __future__ import annotations

from collections.abc import Sequence

from equilib.adjoints.linearizations import leaves_of_used
from equilib.adjoints.revolve import Iterates
from equilib.adjoints.unrolled import carry_back, linearizations
from equilib.arrays import Array, Tree, tree_leaves, tree_unflatten
from equilib.autodiff import static_value
from equilib.autodiff.custom import Traced, with_pullback
from equilib.fixed_points.problem import FixedPointProblem


def iterate(problem: FixedPointProblem, z0: Array, depth: int, kept: int, *inputs: Tree) -> tuple[Array, Array]:
    """Apply f of `problem` to `z0` `depth` times, with at most `kept` iterates in memory.

    The inputs of the problem are constants; z0 and the same inputs as arguments may be traced. Returns the last iterate
    but one, a constant, and the last, a function of z0 and the inputs; its tangents and second derivatives keep every
    step in memory.
    """
    iterates = Iterates(problem, static_value(z0), kept)
    previous = iterates[depth - 1]

    def pullback(cotangent: Array) -> Sequence[Array | None]:
        found, guess, _ = carry_back(linearizations(problem, iterates, depth), cotangent)
        return [guess, *leaves_of_used(problem, found)]

    def unrolled(z: Array, *leaves: Array) -> Array:
        own = tree_unflatten(inputs, list(leaves))
        for _ in range(depth):
            z = problem.f(z, *own)
        return z

    last = with_pullback(problem(previous), pullback, z0, *tree_leaves(inputs), differential=Traced(unrolled))
    return previous, last
