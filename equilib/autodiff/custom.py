"""Values whose derivative is given, not traced: how an equilibrium enters the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from autograd.tracer import isbox

from equilib.arrays import Array, zeros_like
from equilib.autodiff.boxes import static_value
from equilib.autodiff.primitives import primitive
from equilib.autodiff.rules import joint_rule
from equilib.autodiff.tape import Linearized
from equilib.errors import NoDerivativeError

Pull = Callable[[Array], Sequence[Array | None]]


class Differential(Protocol):
    """**Protocol:** the derivative of a value beyond its pullback of plain arrays, by operations that are traced."""

    def push(self, value: Array, sources: Sequence[Array], tangents: Sequence[Array | None]) -> Array:
        """Return the tangent of `value` for those of its `sources`, None for a constant."""

    def pull(self, value: Array, sources: Sequence[Array], cotangent: Array) -> Sequence[Array | None]:
        """Return the cotangents of all `sources` for that of `value`, as a function of all three."""


@dataclass(frozen=True)
class Refused:
    """The differential of a value that has none, and the sentence that says so."""

    reason: str = "this value has first derivatives in reverse mode only: take vjp or value_and_grad, once"

    def push(self, value: Array, sources: Sequence[Array], tangents: Sequence[Array | None]) -> NoReturn:
        """Raise `NoDerivativeError`."""
        raise NoDerivativeError(self.reason)

    pull = push


@dataclass(frozen=True)
class Traced:
    """The differential of a function of all sources, which is traced when it is asked for."""

    function: Callable[..., Array]

    def push(self, value: Array, sources: Sequence[Array], tangents: Sequence[Array | None]) -> Array:
        """Return J·v."""
        known = tuple(number for number, tangent in enumerate(tangents) if tangent is not None)
        pushed: Array = Linearized(self.function, *sources).push([tangents[number] for number in known], known)
        return pushed

    def pull(self, value: Array, sources: Sequence[Array], cotangent: Array) -> Sequence[Array | None]:
        """Return Jᵀ·w, None for a source without influence."""
        linear, every = Linearized(self.function, *sources), tuple(range(len(sources)))
        bars = linear.vjp(cotangent, every)
        return [bar if used else None for bar, used in zip(bars, linear.used(every), strict=True)]


@primitive
def with_pullback(value: Array, pullback: Pull, *sources: Array, differential: Differential | None = None) -> Array:
    """Return `value`, as a function of `sources` whose pullback is given.

    Parameters
    ----------
    value : array
        An untraced array.
    pullback : callable
        Maps a cotangent of `value` to the cotangents of all `sources`, None for one without influence: plain arrays.
    *sources : arrays
        What `value` depends on, traced.
    differential : Differential, optional
        What forward mode and further derivatives are made of; by default they raise `NoDerivativeError`.
    """
    return value


@joint_rule(with_pullback)
class _GivenMap:
    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._value, self._pullback, self._sources = ans, args[1], args[2:]
        self._places = [argnum - 2 for argnum in argnums]
        self._differential: Differential = kwargs.get("differential") or Refused()

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        known = {self._places[position]: each for position, each in zip(positions, tangents, strict=True)}
        tangents_of_all = [known.get(place) for place in range(len(self._sources))]
        return self._differential.push(self._value, self._sources, tangents_of_all)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array | None]:
        if isbox(cotangent) or any(map(isbox, self._sources)):
            cotangents = self._differential.pull(self._value, self._sources, cotangent)
        else:
            cotangents = self._pullback(cotangent)
        return [cotangents[self._places[position]] for position in positions]


@primitive
def beside(value: Array, *constants: Array) -> Array:
    """Return `value`, whose derivative with respect to `constants` is zero: known, not taken for a mistake."""
    return value


@joint_rule(beside)
class _ZeroMap:
    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._argnums, self._args = argnums, args

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        known = {self._argnums[position]: each for position, each in zip(positions, tangents, strict=True)}
        return known[0] if 0 in known else zeros_like(static_value(self._args[0]))

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        numbers = [self._argnums[position] for position in positions]
        return [zeros_like(static_value(self._args[number])) if number else cotangent for number in numbers]
