"""Tensors that f closes over: found in the graph of what f returned, and replaced by others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import CodeType, FunctionType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from equilib.torch.transforms import is_leaf_since, tangent_of

_PLAIN = (str, int, float, type, type(None))

Edge = tuple[Any, int]
"""A node of a graph and the number of one of its outputs: what stands for a tensor there."""

_DEPTH, _MOST = 6, 5000
"""Levels of objects within objects that are looked through for a tensor, and how many objects at most."""


def edge_of(tensor: Tensor) -> Edge:
    """Return the edge that gradients of a tensor arrive at; it requires grad."""
    if tensor.grad_fn is None and tensor.layout is not torch.strided:  # of which there are no views
        with torch.enable_grad():
            return tensor.clone().grad_fn.next_functions[0]
    if tensor.grad_fn is None:
        return torch.autograd.graph.get_gradient_edge(tensor).node, 0
    return tensor.grad_fn, tensor.output_nr


def edges_into(y: Tensor, first: int, *at: Tensor) -> set[Edge]:
    """Return the edges of the graph of y, which f returned at `at`, to what else was there before it.

    Nodes made by this thread have ascending numbers, of which `first` is the least that belongs to the graph of y.
    """
    found: set[Edge] = set()
    seen, open_edges = set(), [edge_of(y)] if y.requires_grad else []
    while open_edges:
        node, number = open_edges.pop()
        if node is None:
            continue
        if hasattr(node, "variable"):
            if not is_leaf_since(node.variable, first):
                found.add((node, number))
        elif node._sequence_nr() < first:
            found.add((node, number))
        elif node not in seen:
            seen.add(node)
            open_edges.extend(node.next_functions)
    return found - {edge_of(each) for each in at if each.requires_grad}


Held = tuple[Tensor, Tensor]
"""A tensor that f holds, and the one in its place."""


def closed_over(f: Callable[..., Any], edges: set[Edge]) -> tuple[list[Held], bool]:
    """Return the tensors of the edges, as far as they are parameters or f holds them, and whether that is all."""
    tensors = {(node, number): (node.variable,) * 2 for node, number in edges if hasattr(node, "variable")}
    if len(tensors) < len(edges):
        for own in held(f):
            tensor = current(own)
            if tensor.grad_fn is not None and (edge := (tensor.grad_fn, tensor.output_nr)) in edges:
                tensors[edge] = own, tensor
            if len(tensors) == len(edges):
                break
    return list(tensors.values()), len(tensors) == len(edges)


def with_tangents(f: Callable[..., Any]) -> list[Held]:
    """Return the tensors that f holds which have a tangent and no graph: forward mode alone follows them."""
    found = (each for each in held(f) if not each.requires_grad and tangent_of(each) is not None)
    return list({id(each): (each, each) for each in found}.values())


def held(f: Callable[..., Any], kind: type = Tensor) -> Iterator[Any]:
    """Yield the tensors, or what is of another kind, in what a function closes over, its defaults and its object."""
    return _held(f, kind, set(), _DEPTH)


def _held(value: Any, kind: type, seen: set[int], depth: int) -> Iterator[Any]:
    """Yield what is of a kind, in containers too."""
    if isinstance(value, kind):
        yield value
    elif depth and id(value) not in seen and len(seen) < _MOST and not isinstance(value, _PLAIN):
        seen.add(id(value))
        for each in _parts(value):
            yield from _held(each, kind, seen, depth - 1)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return islice(value.values(), _MOST)
    if isinstance(value, list | tuple | set | frozenset):
        return islice(value, _MOST)
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    parts: list[Any] = [_of(value, "__self__"), _of(value, "__wrapped__")]
    for cell in _of(value, "__closure__", tuple) or ():
        try:
            parts.append(cell.cell_contents)
        except ValueError:  # it is empty still
            continue
    parts += _of(value, "__defaults__", tuple) or ()
    code = _of(value, "__code__", CodeType)
    if code is not None:
        names = _of(value, "__globals__", dict) or {}
        parts += [names[name] for name in code.co_names if name in names and not isinstance(names[name], type(torch))]
    elif not isinstance(value, type(torch)):
        parts += [_of(value, "__dict__"), *_methods(value)]
        if isinstance(value, nn.Module):
            parts.append(list(value.children()))
    return parts


def _methods(value: Any) -> list[FunctionType]:
    """Return the method that an object is called by, and those that it names, which may close over something."""
    found: dict[str, FunctionType] = {}
    names = ["forward" if isinstance(value, nn.Module) else "__call__"]
    while names:
        name = names.pop()
        method = None if name in found else _of(type(value), name, FunctionType)
        if method is not None:
            found[name] = method
            names += method.__code__.co_names
    return list(found.values())


def _of(value: Any, name: str, kind: type = object) -> Any:
    """Return an attribute if it is of a kind, None else; an object may raise anything, or answer anything."""
    try:
        found = getattr(value, name)
    except Exception:
        return None
    return found if isinstance(found, kind) else None


_local = threading.local()


def _tables() -> list[dict[int, Tensor]]:
    found: list[dict[int, Tensor]] = _local.__dict__.setdefault("tables", [])
    return found


def current(tensor: Tensor) -> Tensor:
    """Return the tensor that functions of PyTorch take in the place of one: an equilibrium in f is made of such."""
    for table in reversed(_tables()):
        tensor = table.get(id(tensor), tensor)
    return tensor


class Replaced(TorchFunctionMode):
    """A block in which functions of PyTorch take other tensors in place of some: those of `table`, by identity."""

    def __init__(self, table: dict[int, Tensor]) -> None:
        super().__init__()
        self._table = table

    def __enter__(self) -> Self:
        """Begin."""
        _tables().append(self._table)
        super().__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """End."""
        super().__exit__(*exception)
        _tables().pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function with tensors replaced."""
        args, kwargs = pytree.tree_map(self._instead, (args, kwargs or {}))
        return func(*args, **kwargs)

    def _instead(self, value: Any) -> Any:
        return self._table.get(id(value), value) if isinstance(value, Tensor) else value


class Outsiders(TorchFunctionMode):
    """A block that notes the tensors which functions of PyTorch are given, but `known` ones and what they make."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self._seen = {id(each): each for each in known}
        self.found: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, and look at what it was given."""
        made = func(*args, **(kwargs or {}))
        for each in pytree.tree_leaves((args, kwargs)):
            if isinstance(each, Tensor) and id(each) not in self._seen:
                self.found.append(each)
        for each in pytree.tree_leaves(made):
            if isinstance(each, Tensor):
                self._seen[id(each)] = each  # kept, so that no other gets its place
        return made
