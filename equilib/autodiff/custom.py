"""Values whose derivative is given, not traced: how an equilibrium enters the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd.tracer import isbox

from equilib.arrays import Array
from equilib.autodiff.primitives import primitive
from equilib.autodiff.rules import joint_rule
from equilib.errors import NoDerivativeError

Pull = Callable[[Array], Sequence[Array | None]]


@primitive
def with_pullback(value: Array, pullback: Pull, *sources: Array) -> Array:
    """Return `value`, as a function of `sources` whose pullback is given.

    Parameters
    ----------
    value : array
        An untraced array.
    pullback : callable
        Maps a cotangent of `value` to the cotangents of all `sources`, None for one without influence.
    *sources : arrays
        What `value` depends on, traced.
    """
    return value


@joint_rule(with_pullback)
class _GivenMap:
    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._pullback: Pull = args[1]
        self._places = [argnum - 2 for argnum in argnums]
        self._traced_again = any(isbox(source) for source in args[2:])

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        raise NoDerivativeError(
            "an equilibrium has no forward-mode derivative here; use vjp or value_and_grad, or a fixed depth without "
            "checkpoints"
        )

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array | None]:
        if self._traced_again or isbox(cotangent):
            raise NoDerivativeError(
                "second derivatives through an equilibrium are not available; use a fixed depth without checkpoints "
                "for them"
            )
        cotangents = self._pullback(cotangent)
        return [cotangents[self._places[position]] for position in positions]
