"""Maps of arrays that are compiled once: f and its derivatives as functions of z and of all that f depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any, TypeAlias

import jax

from equilib.errors import NoDerivativeError, UserError
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.problem import FixedPointProblem
from equilib.options.kinds import described

Arrays: TypeAlias = Sequence[jax.Array]

SHARED, FIRST, ROWS = None, "first", "rows"
"""Where an array has the axis of `vmap`: nowhere, as its first, or before the batch axis and in one with it."""


_HIDDEN = (
    "f reads {} that JAX traces where it is no input of the solve: an attribute of a class, what a library's object, a "
    "generator or a cache holds; give it as an input, as in fixed_point(f, z0, *inputs)"
)


class Map:
    """z ↦ f(z, θ), on arrays (batch, ...) and the flat arrays θ, with what was compiled for it.

    Parameters
    ----------
    call : callable
        Maps z and the sequence of arrays to an array like z.
    """

    def __init__(self, call: Callable[[jax.Array, Arrays], jax.Array]) -> None:
        self._traced = jax.jit(call)
        self._seen: set[Any] = set()
        self._folded: dict[tuple[Any, ...], Map] = {}

    def call(self, z: jax.Array, arrays: Arrays) -> jax.Array:
        """Return f(z, θ), traced once for each shape: a derivative must not find what f would read by then.

        JAX knows what it traced by the mesh as well, which is none in a solve, and one without axes going backward.
        """
        mesh = jax.sharding.get_abstract_mesh()
        with jax.sharding.use_abstract_mesh(mesh) if mesh.empty else nullcontext():
            for each in jax.make_jaxpr(self._traced)(z, tuple(arrays)).consts:
                if isinstance(each, jax.core.Tracer):
                    raise UserError(_HIDDEN.format(described(each)))
            return self._traced(z, tuple(arrays))

    def look(self, z: jax.Array, arrays: Arrays) -> None:
        """Trace f for such arrays, unless that was done: now, for what f reads, and what it may not, is there now."""
        every = (z, *arrays)
        kinds = tuple((x.shape, x.dtype) for x in every)
        if kinds not in self._seen or any(isinstance(x, jax.core.Tracer) for x in every):
            jax.eval_shape(self.call, z, tuple(arrays))
            self._seen.add(kinds)

    @cached_property
    def evaluate(self) -> Callable[[jax.Array, Arrays], jax.Array]:
        """f, compiled."""
        return jax.jit(lambda z, arrays: self.call(z, arrays))

    @cached_property
    def product(self) -> Callable[..., jax.Array]:
        """(x, z, θ) ↦ J x, or Jᵀ x with `transpose=True`, compiled."""

        def product(x: jax.Array, z: jax.Array, arrays: Arrays, *, transpose: bool) -> jax.Array:
            return products(self.call, z, arrays, transpose=transpose)[1](x)

        return jax.jit(product, static_argnames="transpose")

    @cached_property
    def _linearize(self) -> Any:
        return jax.jit(lambda z, arrays: jax.linearize(lambda z: self.call(z, arrays), z))

    @cached_property
    def _pull(self) -> Any:
        def pull(w: jax.Array, z: jax.Array, arrays: Arrays) -> Any:
            return jax.vjp(lambda *arrays: self.call(z, arrays), *arrays)[1](w)

        return jax.jit(pull)

    def problem(self, arrays: Arrays, batched: Sequence[bool] | None) -> FixedPointProblem:
        """Return the problem on the host, of compiled pieces; `batched` tells which arrays have the batch axis."""
        return FixedPointProblem(
            lambda z, *arrays: self.evaluate(z, arrays), *arrays, linearize=self.linearize, batched_inputs=batched
        )

    def linearize(self, _: object, z: jax.Array, *arrays: jax.Array) -> Linearization:
        """Return the linearization at z."""
        value, forward = self._linearize(z, arrays)
        return Linearization(
            value=value,
            jvp=lambda v: _pushed(forward, v),
            vjp=lambda w: _transposed(forward, w),
            inputs_vjp=lambda w: self._pull(w, z, arrays),
        )

    def folded(self, axes: tuple[str | None, ...], size: int) -> Map:
        """Return the map of `size` batches in one, z of shape (size·batch, ...), of θ with their axes of `vmap`."""

        def call(z: jax.Array, arrays: Arrays) -> jax.Array:
            if not size:
                return z
            batch = z.shape[0] // size
            axis = tuple(None if each is SHARED else 0 for each in axes)
            rows = [
                x.reshape(size, batch, *x.shape[1:]) if each == ROWS else x
                for x, each in zip(arrays, axes, strict=True)
            ]
            f = jax.vmap(lambda z, *arrays: self.call(z, arrays), in_axes=(0, *axis), axis_size=size)
            return f(z.reshape(size, batch, *z.shape[1:]), *rows).reshape(z.shape)

        key = (*axes, size)
        if key not in self._folded:
            self._folded[key] = Map(call)
        return self._folded[key]


def products(
    call: Callable[[jax.Array, Arrays], jax.Array], z: jax.Array, arrays: Arrays, *, transpose: bool
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """Return f(z) and x ↦ J x, or Jᵀ x, which may be traced."""
    if transpose:
        value, pull = jax.vjp(lambda z: call(z, arrays), z)
        return value, lambda x: pull(x)[0]
    return jax.linearize(lambda z: call(z, arrays), z)


BACKWARD_ONLY = (
    "f has derivatives in reverse mode only, by jax.custom_vjp, and its J·v is asked for; take a solver that asks for "
    "none, such as anderson, or define what f calls by jax.custom_jvp"
)


def _pushed(forward: Callable[..., Any], v: jax.Array) -> Any:
    try:
        return _apply(forward, v)
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise NoDerivativeError(BACKWARD_ONLY) from error


@jax.jit
def _apply(product: Callable[..., Any], v: jax.Array) -> Any:
    return product(v)


@jax.jit
def _transposed(product: Callable[..., Any], w: jax.Array) -> Any:
    return jax.linear_transpose(product, w)(w)[0]
