"""Records of a solve in JAX: those of the host, and arrays that stand for them in traced code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from equilib.arrays import Tree
from equilib.errors import UserError
from equilib.fixed_points.solution import Solution, Status
from equilib.jax.how import STATUSES


class JitError(UserError):
    """A solver or an adjoint that the host drives was asked for under `jit`."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TracedSolution:
    """What a `Solution` tells, as arrays: `status` are numbers of `STATUSES`, and all numbers are of each sample.

    Attributes
    ----------
    z, residual : like z0
        The best iterate, and f(z) − z.
    status, steps : array of int, shape (batch,)
    residual_norm : array, shape (batch,)
    nfe : array of int, shape ()
    """

    z: Tree
    residual: Tree
    status: jax.Array
    residual_norm: jax.Array
    steps: jax.Array
    nfe: jax.Array

    @property
    def converged(self) -> jax.Array:
        """Which samples converged: bool, shape (batch,)."""
        return self.status == STATUSES.index(Status.CONVERGED)

    @property
    def success(self) -> jax.Array:
        """Whether every sample converged: bool, shape ()."""
        return jnp.all(self.converged)

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The statuses of the samples, once they are known."""
        return tuple(STATUSES[int(code)] for code in self.status.ravel())


@dataclass(frozen=True)
class Equilibrium:
    """What `equilib.jax.equilibrium` returns, a tree of JAX's.

    Attributes
    ----------
    z : like z0
        The fixed point, differentiable.
    aux : tree of arrays or None
        What f returned beside z, evaluated at the fixed point, differentiable.
    solution : Solution or TracedSolution
        The solve, as arrays under `jit` and `vmap`.
    adjoints, tangents : list of Solution
        Filled by derivatives outside of `jit`: the solves of w = Jᵀw + g and of dz = J dz + b.
    """

    z: Tree = field(repr=False)
    aux: Tree = field(repr=False)
    solution: Solution | TracedSolution
    adjoints: list[Solution] = field(repr=False)
    tangents: list[Solution] = field(repr=False)


def _taken_apart(found: Equilibrium) -> tuple[tuple[Any, ...], Any]:
    traced = isinstance(found.solution, TracedSolution)
    shown = found.solution if traced else None
    return (found.z, found.aux, shown), None if traced else (found.solution, found.adjoints, found.tangents)


def _put_together(rest: Any, parts: tuple[Any, ...]) -> Equilibrium:
    z, aux, shown = parts
    return Equilibrium(z, aux, *((shown, [], []) if rest is None else rest))


jax.tree_util.register_pytree_node(Equilibrium, _taken_apart, _put_together)
