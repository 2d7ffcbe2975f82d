"""Linearizations of f near a point: its value there and products with its derivatives, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from equilib.arrays import Array, Tree, tree_map
from equilib.errors import NoDerivativeError
from equilib.fixed_points.boundary import copied, evaluate, evaluate_product, traced

Map = Callable[..., Array]


@dataclass(frozen=True, kw_only=True)
class Linearization:
    """f near one point z: its value there, and products with its derivatives.

    `jvp(v)` is J·v and `vjp(w)` is Jᵀ·w with J = ∂f/∂z; `inputs_vjp(w)` is (∂f/∂inputs)ᵀ·w, a tuple of trees.
    They satisfy ⟨Jv, w⟩ = ⟨v, Jᵀw⟩ and may be applied many times. Where known, `both_vjps(w)` is the pair of the last
    two in a pass, `inputs_jvp(v)` is ∂f/∂inputs·v for a tuple of trees, None for an input that is a constant, and
    `used()` tells for each leaf of the inputs whether f depends on it.
    """

    value: Array
    jvp: Callable[[Array], Array]
    vjp: Callable[[Array], Array]
    inputs_vjp: Callable[[Array], tuple[Tree, ...]]
    both_vjps: Callable[[Array], tuple[Array, tuple[Tree, ...]]] | None = None
    inputs_jvp: Callable[[tuple[Tree, ...]], Array] | None = None
    used: Callable[[], Sequence[bool]] | None = None

    def pull(self, w: Array) -> tuple[Array, tuple[Tree, ...]]:
        """Return Jᵀ·w, shape (batch, ...), and (∂f/∂inputs)ᵀ·w."""
        return (self.vjp(w), self.inputs_vjp(w)) if self.both_vjps is None else self.both_vjps(w)


def autodiff_linearize(
    f: Map, z: Array, *inputs: Tree, instead: str = "FixedPointProblem(..., jvp=..., vjp=...)"
) -> Linearization:
    """Return the linearization of f at z, shape (batch, ...), by automatic differentiation.

    Raises
    ------
    NoDerivativeError
        If f cannot be traced; `instead` is what may be given in place of its derivative.
    """
    # Deferred: autograd is loaded by those who differentiate with it, not by `import equilib`.
    import equilib.ops  # noqa: F401  operators of traced arrays
    from equilib.autodiff import linearize

    linear = traced(linearize, f, z, *inputs, instead=instead)
    everything = tuple(range(1 + len(inputs)))

    def both_vjps(w: Array) -> tuple[Array, tuple[Tree, ...]]:
        first, *rest = linear.vjp(w, argnums=everything)
        return first, tuple(rest)

    def inputs_jvp(tangents: tuple[Tree, ...]) -> Array:
        known = tuple(number for number, each in enumerate(tangents) if each is not None)
        return linear.push([tangents[number] for number in known], tuple(1 + number for number in known))

    return Linearization(
        value=linear.value,
        jvp=lambda v: linear.jvp(v, argnum=0),
        vjp=lambda w: linear.vjp(w, argnums=(0,))[0],
        inputs_vjp=lambda w: linear.vjp(w, argnums=everything[1:]),
        both_vjps=both_vjps,
        inputs_jvp=inputs_jvp,
        used=lambda: linear.used(everything[1:]),
    )


@dataclass(frozen=True)
class Products:
    """`linearize` of a problem by products that its author wrote, None where there is none."""

    jvp: Map | None = None
    vjp: Map | None = None
    inputs_vjp: Callable[..., tuple[Tree, ...]] | None = None

    def __call__(self, f: Map, z: Array, *inputs: Tree) -> Linearization:
        """Evaluate f at z, shape (batch, ...), and return its products there."""

        def product(name: str) -> Callable[[Array], Array]:
            given = getattr(self, name)
            return _needs(name) if given is None else lambda v: evaluate_product(given, name, z, v, *inputs)

        return Linearization(
            value=copied(evaluate(f, z, *inputs)),
            jvp=product("jvp"),
            vjp=product("vjp"),
            inputs_vjp=lambda w: self._pulled(z, w, inputs),
        )

    def _pulled(self, z: Array, w: Array, inputs: tuple[Tree, ...]) -> tuple[Tree, ...]:
        if not inputs:
            return ()
        if self.inputs_vjp is None:
            return cast("tuple[Tree, ...]", _needs("inputs_vjp")(w))
        pulled = self.inputs_vjp(z, w, *inputs)
        if not isinstance(pulled, tuple) or len(pulled) != len(inputs):
            raise TypeError(f"inputs_vjp must return a tuple with one tree for each of {len(inputs)} inputs")
        return tuple(tree_map(lambda _, bar: bar, each, bar) for each, bar in zip(inputs, pulled, strict=True))


_WHY = {
    "jvp": "J·v, which a solver of Newton's kind or a tangent asks for",
    "vjp": "Jᵀ·w, which an adjoint solves with",
    "inputs_vjp": "(∂f/∂inputs)ᵀ·w, which an adjoint ends with",
}


def _needs(name: str) -> Callable[[Array], Any]:
    def missing(_: Array) -> Any:
        raise NoDerivativeError(
            f"the problem does not know {_WHY[name]}: give FixedPointProblem(..., {name}=...), called as "
            f"{name}(z, {'v' if name == 'jvp' else 'w'}, *inputs), or linearize=..., or none of them, for equilib.ops"
        )

    return missing
