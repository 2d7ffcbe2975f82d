"""Rules of differentiable operations: one linear map, and its transpose, per argument.

The derivative of an operation at a point is a linear map. A rule computes what the map needs once (it is
*staged*) and returns both directions: `push` carries a tangent forward (J·v), `pull` carries a cotangent back
(Jᵀ·w). One rule thus serves reverse mode, forward mode and linearizations that are applied many times, and the
law that ties the two, ⟨push(v), w⟩ = ⟨v, pull(w)⟩, can be checked for every operation. Rules call operations of
`equilib.ops` only, so that they can themselves be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import autograd.numpy as anp
import numpy as np
from autograd.core import (
    defjvp,
    defjvp_argnums,
    defvjp_argnums,
    primitive_jvps,
    primitive_vjps,
    sum_outgrads,
)
from autograd.numpy import linalg
from autograd.numpy.numpy_wrapper import _astype

from equilib.arrays import Array
from equilib.autodiff.primitives import primitive as primitive  # what a rule is for
from equilib.errors import NoDerivativeError


class LinearMap(NamedTuple):
    """A linear map between arrays and its transpose."""

    push: Callable[[Array], Array]
    pull: Callable[[Array], Array]


class JointMap(Protocol):
    """**Protocol:** the derivative of one operation with respect to several arguments.

    `positions` counts among the differentiated arguments, so that only what is asked for is computed.
    """

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        """Return the sum over `positions` of J·v, of the shape of the result."""

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array | None]:
        """Return Jᵀ·w for each of `positions`, of their shapes; None where there is no dependence."""


Rule = Callable[..., LinearMap]
JointRule = Callable[[tuple[int, ...], Any, tuple[Any, ...], dict[str, Any]], JointMap]
R = TypeVar("R", bound=JointRule)
F = TypeVar("F", bound=Callable[..., Any])

_argument_rules: dict[Any, dict[int, Rule]] = {}
_joint_rules: dict[Any, JointRule] = {}


def linear_rule(operation: Any, argnum: int = 0) -> Callable[[Rule], Rule]:
    """Register the decorated `rule(ans, *args, **kwargs) -> LinearMap` for one argument of `operation`."""

    def register(rule: Rule) -> Rule:
        rules = _argument_rules.setdefault(operation, {})
        rules[argnum] = rule
        if len(rules) == 1:
            joint_rule(operation)(partial(_PerArgument, operation, rules))
        return rule

    return register


def with_rules(*rules: Rule | None) -> Callable[[F], F]:
    """Make the decorated function an operation with a rule, as `linear_rule` takes it, for each argument in turn.

    A rule is None where the argument is a constant.
    """

    def register(function: F) -> F:
        operation = primitive(function)
        for argnum, rule in enumerate(rules):
            if rule is not None:
                linear_rule(operation, argnum)(rule)
        return operation

    return register


def with_transposes(*transposes: Callable[..., Callable[[Array], Array]]) -> Callable[[F], F]:
    """Make the decorated function, which is linear in its first arguments, an operation: J·v is the operation of v.

    `transposes` holds for each of these in turn what makes w ↦ Jᵀ·w of the operation's arguments.
    """

    def register(function: F) -> F:
        def rule(argnum: int, ans: Array, *args: Any, **kwargs: Any) -> LinearMap:
            with_tangent = lambda v: operation(*args[:argnum], v, *args[argnum + 1 :], **kwargs)  # noqa: E731
            return LinearMap(with_tangent, transposes[argnum](*args, **kwargs))

        operation = with_rules(*[partial(rule, argnum) for argnum in range(len(transposes))])(function)
        return operation

    return register


def joint_rule(operation: Any) -> Callable[[R], R]:
    """Register `rule(argnums, ans, args, kwargs) -> JointMap`, for maps that share work between arguments."""

    def register(rule: R) -> R:
        _joint_rules[operation] = rule
        # The same rule for autograd's own grad, jacobian, make_jvp ...
        defvjp_argnums(operation, lambda argnums, *call: _autograd_vjp(rule(argnums, *call), argnums, call[1]))
        defjvp_argnums(
            operation,
            lambda argnums, tangents, *call: rule(argnums, *call).push(range(len(argnums)), tangents),
        )
        return rule

    return register


def joint_map(operation: Any, argnums: tuple[int, ...], ans: Any, args: Any, kwargs: Any) -> JointMap:
    """Return the derivative of one recorded call, from our rules or from autograd's.

    Raises
    ------
    NoDerivativeError
        If nobody has defined a derivative for `operation`.
    """
    rule = _joint_rules.get(operation)
    if rule is not None:
        return rule(argnums, ans, args, kwargs)
    if operation not in primitive_vjps:
        raise NoDerivativeError(f"no derivative is defined for {getattr(operation, '__name__', operation)}")
    return _FromAutograd(operation, argnums, ans, args, kwargs)


def _autograd_vjp(joint: JointMap, argnums: tuple[int, ...], args: Any) -> Callable[[Array], Sequence[Array]]:
    def vjp(cotangent: Array) -> Sequence[Array]:
        found = joint.pull(range(len(argnums)), cotangent)
        return [0 * args[argnum] if each is None else each for argnum, each in zip(argnums, found, strict=True)]

    return vjp


class _PerArgument:
    """The derivative assembled from one `LinearMap` per argument, each made when it is first used."""

    __slots__ = ("call", "maps", "rules")

    def __init__(
        self, operation: Any, rules: dict[int, Rule], argnums: tuple[int, ...], ans: Any, args: Any, kwargs: Any
    ) -> None:
        try:
            self.rules = [rules[argnum] for argnum in argnums]
        except KeyError as error:
            name = getattr(operation, "__name__", operation)
            raise NoDerivativeError(f"{name} has no derivative with respect to argument {error}") from None
        self.call = (ans, args, kwargs)
        self.maps: list[LinearMap | None] = [None] * len(argnums)

    def _map(self, position: int) -> LinearMap:
        ans, args, kwargs = self.call
        made = self.maps[position] = self.rules[position](ans, *args, **kwargs)
        return made

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        pushed = [
            (self.maps[position] or self._map(position)).push(tangent)
            for position, tangent in zip(positions, tangents, strict=True)
        ]
        return pushed[0] if len(pushed) == 1 else sum_outgrads(pushed)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        return [(self.maps[position] or self._map(position)).pull(cotangent) for position in positions]


defjvp(_astype, "same")  # linear, which autograd does not say


def _push_norm(tangent: Any, norm: Any, x: Any, *positional: Any, **named: Any) -> Any:
    given = dict(zip(("ord", "axis", "keepdims"), positional, strict=False)) | named
    flat = anp.sum(norm, axis=given.get("axis")) if given.pop("keepdims", False) else norm
    return anp.reshape(linalg.norm_jvp(tangent, flat, x, **given), np.shape(norm))


# autograd's own rule forgets keepdims; what broadcasts then is wrong without a word.
defjvp(linalg._primitive_norm, _push_norm)


class _FromAutograd:
    """The derivative of an operation of autograd.numpy, by autograd's rules, which know float64 only."""

    __slots__ = ("argnums", "call", "operation")

    def __init__(self, operation: Any, argnums: tuple[int, ...], *call: Any) -> None:
        self.operation, self.argnums, self.call = operation, argnums, call

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        if self.operation not in primitive_jvps:
            raise NoDerivativeError(
                f"autograd has no jvp for {self.operation.__name__}; write it with equilib.ops, or take a solver "
                "without products J·v, such as anderson"
            )
        argnums = tuple(self.argnums[p] for p in positions)
        return _with_dtype(primitive_jvps[self.operation](argnums, tangents, *self.call), self.call[0])

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        argnums = tuple(self.argnums[p] for p in positions)
        found = primitive_vjps[self.operation](argnums, *self.call)(cotangent)
        return [_with_dtype(each, self.call[1][argnum]) for each, argnum in zip(found, argnums, strict=True)]


def _with_dtype(derivative: Any, like: Any) -> Any:
    """Return a derivative in the dtype of what it is one of; sparse ones and those of Python's numbers have none."""
    dtype = getattr(like, "dtype", None)
    if dtype is None or getattr(derivative, "dtype", dtype) == dtype:
        return derivative
    return derivative.astype(dtype)
