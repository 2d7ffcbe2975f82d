"""Calls of a user's f: of packed states, with its inputs, parameters and what it closes over as they are, or others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from equilib.errors import NoDerivativeError
from equilib.fixed_points.boundary import explain
from equilib.options.kinds import described
from equilib.torch.closures import Edge, Held, Replaced, closed_over, current, edge_of, edges_into, with_tangents
from equilib.torch.layout import Layout
from equilib.torch.mistakes import explain_mixed
from equilib.torch.parametrized import AS_IT_IS, evaluated_anew, initialize
from equilib.torch.transforms import next_node, tangent_of, transformed

UNKNOWN = (
    "f depends on a tensor that requires grad, but is not among its inputs nor parameters, and is not found in what it "
    "closes over: give it as an input, f(z, *inputs), for derivatives beyond the first and for this adjoint"
)


class Call:
    """f(*at, *inputs), of states that are packed.

    Parameters
    ----------
    f : callable
        Maps z, or t and y, and the inputs to the next state.
    inputs : tuple of trees
        What PyTorch's pytrees know.
    layout : Layout
        Of the state.
    has_aux : bool
        Whether f returns a pair, of which the first counts.
    coarse : bool
        Whether it may be called under autocast.
    call : str
        How errors write the call.
    at : tuple
        Where a module whose parameters have no shape before its first call is called: a state, maybe after a time.

    Attributes
    ----------
    leaves : list of Tensor
        The tensors of the inputs, the parameters of a module f that are trained, and what else f closes over that
        requires grad, as far as it is known. Each is there once.
    given : set of int
        The identities of those of the inputs.
    mixed : bool
        Whether there are arrays of NumPy's among the inputs.
    complete : bool
        Whether these are all that f depends on.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        inputs: tuple[Any, ...],
        layout: Layout,
        *,
        has_aux: bool = False,
        coarse: bool = False,
        call: str = "f(z)",
        at: tuple[Any, ...] = (),
    ) -> None:
        self.f, self.inputs, self.layout = f, inputs, layout
        self._has_aux, self._name, self.complete = has_aux, call, True
        flat, self._spec = pytree.tree_flatten(inputs)
        self._flat = [current(leaf) if isinstance(leaf, Tensor) else leaf for leaf in flat]
        named = _named_tensors(f)
        if initialize(f, named.values(), *at, *inputs):
            named = _named_tensors(f)
        self.named = {name: current(each) for name, each in named.items()}
        self._moved = {name for name, each in named.items() if self.named[name] is not each}
        self._as_given = not self._moved and all(map(is_, flat, self._flat))
        given = [leaf for leaf in self._flat if isinstance(leaf, Tensor)]
        self.leaves = list({id(leaf): leaf for leaf in (*given, *self.named.values())}.values())
        self.given = {id(leaf) for leaf in given}
        self.mixed = any(isinstance(leaf, np.ndarray) for leaf in self._flat)
        self._closed: list[Held] = []
        kind = layout.device.type
        self._autocast = torch.get_autocast_dtype(kind) if _casts(kind) else None
        self._may_cast = coarse or self._autocast is not None

    def __call__(self, *at: Tensor) -> Tensor:
        """Return f of a packed state, shape (batch, size), maybe after a time, in the same form."""
        return self._called(self.f, at, self.inputs, self._flat)

    def with_leaves(self, at: Sequence[Tensor], leaves: Sequence[Tensor], *, strict: bool = True) -> Tensor:
        """Return f, shape (batch, size), with other tensors in the places of all `leaves`.

        It is `strict` where derivatives by all of them are taken.

        Raises
        ------
        NoDerivativeError
            If it still depends on tensors that require grad and are not among these.
        """
        table = {id(old): new for old, new in zip(self.leaves, leaves, strict=True) if old is not new}
        # Those of an equilibrium in f stand for what f still holds, also when nobody else puts them there.
        for held, own in self._closed:
            new = table.get(id(own), own)
            table |= {} if new is held else {id(held): new}
        if self._as_given and not table and not strict:
            return self._called(self.f, at, self.inputs, self._flat)
        flat = [table.get(id(leaf), leaf) for leaf in self._flat]
        inputs = pytree.tree_unflatten(flat, self._spec)
        named = {
            name: table.get(id(leaf), leaf)
            for name, leaf in self.named.items()
            if id(leaf) in table or name in self._moved
        }
        f = self.f
        if named:
            f = lambda *arguments: torch.func.functional_call(self.f, named, arguments)  # noqa: E731
        first = next_node() if strict else 0
        with Replaced(table) if self._closed and table else AS_IT_IS:
            y = self._called(f, at, inputs, flat)
        if strict and y.requires_grad and not transformed():
            known = {edge_of(leaf) for leaf in leaves if leaf.requires_grad}
            if edges_into(y, first, *at) - known:
                raise NoDerivativeError(UNKNOWN)
        return y

    def require_complete(self) -> None:
        """Raise `NoDerivativeError` where f depends on what is not among the leaves."""
        if not self.complete:
            raise NoDerivativeError(UNKNOWN)

    def close(self, y: Tensor, edges: set[Edge], known: Sequence[Tensor]) -> None:
        """Add to `leaves` what y depends on, by `edges_into` it; f was given `known` tensors in their places."""
        found = edges - {edge_of(leaf) for leaf in known if leaf.requires_grad}
        mine = {id(leaf) for leaf in self.leaves}
        if found:
            self._closed, self.complete = closed_over(self.f, found)
        if tangent_of(y) is not None:
            self._closed += [each for each in with_tangents(self.f) if id(each[1]) not in mine]
        self.leaves += [tensor for _, tensor in self._closed if id(tensor) not in mine]

    def _called(
        self, f: Callable[..., Any], at: Sequence[Tensor], inputs: tuple[Any, ...], flat: Sequence[Any]
    ) -> Tensor:
        """Return f of a packed state, of which `flat` are the leaves of the inputs."""
        *before, packed = at
        state, name = self.layout.unpack(packed), self._name[-2]
        changes = version_of(packed)
        versions = [version_of(leaf) for leaf in flat] if flat else flat
        try:
            with self._casting(), evaluated_anew():
                cast = self._may_cast and _casts(self.layout.device.type)
                returned = f(*before, state, *inputs)
            if changes is not None and packed._version != changes:
                raise ValueError(f"f changed {name} in place, which it is only lent; work on a clone")
            for leaf, version in zip(flat, versions, strict=True):
                if version is not None and leaf._version != version:
                    raise ValueError(f"f changed an input of shape {tuple(leaf.shape)} in place; work on a clone of it")
            returned = pair(returned)[0] if self._has_aux else returned
            if before:  # times
                cast = cast or any(each.dtype != packed.dtype for each in before)
            checked = self.layout.checked(returned, packed.shape[0], cast=cast)
        except Exception as error:
            shape = f" of shape {tuple(state.shape)} and {state.dtype}" if isinstance(state, Tensor) else ", a tree"
            if not hasattr(error, "__notes__"):
                explain_mixed(error, self.f, inputs, name, packed)
            explain(error, self._name, name + shape)
            raise
        return self.layout.pack(checked)

    @property
    def eps(self) -> float:
        """The rounding of the dtype that f is cast to, 0 where it is not."""
        return 0.0 if self._autocast is None else torch.finfo(self._autocast).eps

    def aux(self, z: Any) -> Any:
        """Return what f returns beside the next state at z."""
        with self._casting():
            return pair(self.f(z, *self.inputs))[1]

    def _casting(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return AS_IT_IS
        # What was cast without a graph would be taken where there is one.
        return torch.autocast(self.layout.device.type, self._autocast, cache_enabled=False)


def version_of(leaf: Any) -> int | None:
    """Return how often a tensor was changed in place, None of what has no such number."""
    return leaf._version if isinstance(leaf, Tensor) and not leaf.is_inference() else None


def pair(returned: Any) -> tuple[Any, Any]:
    """Return what f returned with has_aux; raises TypeError if that is no pair."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"with has_aux=True f must return a pair, the next z and a tree, got {described(returned)}")
    return returned


def without_autocast(kind: str) -> AbstractContextManager[Any]:
    """Return a block in which PyTorch casts nothing on devices of a kind: solvers choose their own dtypes."""
    return torch.autocast(kind, enabled=False) if _casts(kind) else AS_IT_IS


def _casts(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _named_tensors(f: Any) -> dict[str, Tensor]:
    """Return the parameters of a module, and its buffers, which a transform may map over."""
    if not isinstance(f, nn.Module):
        return {}
    named = dict(f.named_parameters())
    if transformed():
        return {**named, **dict(f.named_buffers())}
    return {name: each for name, each in named.items() if each.requires_grad or tangent_of(each) is not None}
