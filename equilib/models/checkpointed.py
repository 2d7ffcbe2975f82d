"""A fixed number of iterations whose derivative takes little memory."""

from __future__ import annotations

from collections.abc import Sequence

from equilib.arrays import Array
from equilib.autodiff import static_value
from equilib.autodiff.custom import with_pullback
from equilib.checkpoints import Iterates
from equilib.problem import FixedPointProblem
from equilib.trees import Tree, tree_leaves
from equilib.unrolled import carry_back, linearizations


def iterate(problem: FixedPointProblem, z0: Array, depth: int, kept: int, *inputs: Tree) -> tuple[Array, Array]:
    """Apply f of `problem` to `z0` `depth` times, with at most `kept` iterates in memory.

    Parameters
    ----------
    problem : FixedPointProblem
        With constant inputs.
    z0 : array
        May be traced.
    depth, kept : int
        Positive.
    *inputs : trees of arrays
        The inputs of `problem`, which may be traced.

    Returns
    -------
    previous : array
        The last iterate but one, a constant.
    last : array
        The last iterate, a function of z0 and the inputs that has first derivatives in reverse mode.
    """
    iterates = Iterates(problem, static_value(z0), kept)
    previous = iterates[depth - 1]

    def pullback(cotangent: Array) -> Sequence[Array]:
        found, guess, _ = carry_back(linearizations(problem, iterates, depth), cotangent)
        return [guess, *tree_leaves(found)]

    return previous, with_pullback(problem(previous), pullback, z0, *tree_leaves(inputs))
