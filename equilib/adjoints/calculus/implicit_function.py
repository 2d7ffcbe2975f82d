"""Derivatives of any order of a fixed point, by one linear equation and its transpose.

At z = f(z, θ) tangents solve dz = J dz + (∂f/∂θ) dθ, and a cotangent g becomes (∂f/∂θ)ᵀ w with w = Jᵀ w + g. The
solution of x = A x + b, with A = J or Jᵀ at (z, θ), is differentiable again: dx = A dx + (db + dA x), and a cotangent c
of it becomes b̄ = y and the gradient of ⟨y, A x⟩ with respect to (z, θ), where y = Aᵀ y + c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from equilib import ops
from equilib.adjoints.equation import transposed
from equilib.arrays import Array, Tree, tree_leaves, tree_unflatten, zeros_like
from equilib.autodiff import Linearized, joint_rule, linearize, primitive, static_value
from equilib.fixed_points.boundary import is_traced
from equilib.fixed_points.linearization import Linearization, autodiff_linearize
from equilib.fixed_points.problem import FixedPointProblem


@dataclass(frozen=True, eq=False)
class LinearEquations:
    """x = J x + b and x = Jᵀ x + b at a fixed point, for plain b.

    Parameters
    ----------
    problem : FixedPointProblem
    z : array, shape (batch, ...)
        The fixed point.
    solve_adjoint : callable
        Returns x = Jᵀ x + b for a linearization and b. By keyword it takes `guess`, where x starts, and `transpose`:
        x = J x + b, where that is false, is this equation of the transposed products.
    """

    problem: FixedPointProblem
    z: Array
    solve_adjoint: Callable[..., Array]

    def solve(self, b: Array, *, transpose: bool, guess: Array | None = None) -> Array:
        """Return x, shape (batch, ...)."""
        linear = self.problem.linearize(self.z)
        products = linear if transpose else transposed(linear)
        return self.solve_adjoint(products, b, transpose=transpose, guess=guess)

    def product(self, x: Array, z: Array, leaves: Sequence[Array], *, transpose: bool) -> Array:
        """Return J x or Jᵀ x at z and the leaves of the inputs, all of which may be traced."""
        inputs = tree_unflatten(self.problem.inputs, list(leaves))
        linear = linearize(lambda z: self.problem.f(z, *inputs), z)
        product: Array = linear.vjp(x)[0] if transpose else linear.jvp(x)
        return product


@primitive
def resolved(b: Array, z: Array, *leaves: Array, equations: LinearEquations, **how: Any) -> Array:
    """Return the x of x = A x + b, shape (batch, ...), as a function of b, z and the leaves of the inputs.

    `how` is what `LinearEquations.solve` takes.
    """
    return equations.solve(b, **how)


@joint_rule(resolved)
class _Resolved:
    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._argnums, self._x, self._at = argnums, ans, args[1:]
        self._equations: LinearEquations = kwargs["equations"]
        self._transpose: bool = kwargs["transpose"]

    @cached_property
    def _product(self) -> Linearized:
        """(z, θ) ↦ A x at a constant x."""
        return linearize(
            lambda z, *leaves: self._equations.product(self._x, z, leaves, transpose=self._transpose), *self._at
        )

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        known = {self._argnums[p]: tangent for p, tangent in zip(positions, tangents, strict=True)}
        b = known.pop(0, None)
        if known:
            moved = self._product.push(list(known.values()), tuple(number - 1 for number in known))
            b = moved if b is None else ops.add(b, moved)
        return resolved(b, *self._at, equations=self._equations, transpose=self._transpose)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array | None]:
        y = resolved(cotangent, *self._at, equations=self._equations, transpose=not self._transpose)
        found: dict[int, Array | None] = {-1: y}
        at = tuple(self._argnums[p] - 1 for p in positions if self._argnums[p])
        if at:
            bars = zip(self._product.vjp(y, at), self._product.used(at), strict=True)
            found |= {number: bar if used else None for number, (bar, used) in zip(at, bars, strict=True)}
        return [found[self._argnums[p] - 1] for p in positions]


@dataclass(frozen=True, eq=False)
class ImplicitFunction:
    """A fixed point as a function of where the solve starts, which does not matter, and the leaves of its inputs.

    Parameters
    ----------
    equations : LinearEquations
    guess : array, shape (batch, ...), optional
        Where the adjoint equation starts.
    """

    equations: LinearEquations
    guess: Array | None = None

    def push(self, value: Array, sources: Sequence[Array], tangents: Sequence[Array | None]) -> Array:
        """Return dz, with dz = J dz + (∂f/∂θ) dθ."""
        by_input = _by_input(self.equations.problem.inputs, tangents[1:])
        if all(each is None for each in by_input):
            return zeros_like(static_value(value))
        linear = self._linearized(value, sources[1:])
        assert linear.inputs_jvp is not None  # it is made by automatic differentiation
        b = linear.inputs_jvp(by_input)
        return resolved(b, value, *sources[1:], equations=self.equations, transpose=False)

    def pull(self, value: Array, sources: Sequence[Array], cotangent: Array) -> Sequence[Array | None]:
        """Return zero for the start, and (∂f/∂θ)ᵀ w with w = Jᵀ w + g."""
        linear = self._linearized(value, sources[1:])
        w = resolved(cotangent, value, *sources[1:], equations=self.equations, transpose=True, guess=self.guess)
        bars = tree_leaves(linear.inputs_vjp(w))
        used = [True] * len(bars) if linear.used is None else linear.used()
        start = zeros_like(static_value(sources[0]))
        return [start, *(bar if depends else None for bar, depends in zip(bars, used, strict=True))]

    def _linearized(self, z: Array, leaves: Sequence[Array]) -> Linearization:
        """Return the linearization of f, through which derivatives can go where something is traced."""
        problem = self.equations.problem
        if any(map(is_traced, (z, *leaves))):
            return autodiff_linearize(problem.f, z, *tree_unflatten(problem.inputs, list(leaves)))
        return problem.linearize(self.equations.z)


def _by_input(inputs: tuple[Tree, ...], tangents: Sequence[Array | None]) -> tuple[Tree | None, ...]:
    """Return the tangents of leaves as trees, zero for leaves without one, None for inputs of such leaves only."""
    remaining = iter(tangents)
    trees = []
    for each in inputs:
        known = [(leaf, next(remaining)) for leaf in tree_leaves(each)]
        filled = [zeros_like(leaf) if tangent is None else tangent for leaf, tangent in known]
        trees.append(tree_unflatten(each, filled) if any(tangent is not None for _, tangent in known) else None)
    return tuple(trees)
