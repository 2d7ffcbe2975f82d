"""The tape: one evaluation of a function, recorded, and replayed in either direction as often as needed.

autograd's tracer finds the operations; our node keeps for each of them the linear map and its transpose
(`rules.JointMap`). Nodes are appended as they are made, so the tape is in topological order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import autograd.numpy  # noqa: F401  registers which operations need no trace
import numpy as np
from autograd.core import JVPNode, add_outgrads
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import Node, isbox, new_box, notrace_primitives, register_notrace

from equilib.arrays import Array, array_namespace, is_array, zeros_like
from equilib.arrays.trees import Tree, leaves_like, named_leaves, tree_leaves, tree_unflatten
from equilib.autodiff.boxes import ensure_traceable, static_value
from equilib.autodiff.primitives import TRACES
from equilib.autodiff.replay import Program
from equilib.autodiff.rules import JointMap, joint_map
from equilib.errors import NoDerivativeError, UserError


class IndependentError(UserError, ValueError):
    """The output does not depend on an input it is differentiated with respect to, a parameter left unused."""


class TapeNode(Node):  # type: ignore[misc]  # autograd has no annotations
    """One recorded operation: who fed it, and its derivative."""

    __slots__ = ("derivative", "parents", "tape")

    def __init__(self, value: Any, fun: Any, args: Any, kwargs: Any, argnums: Any, parents: Any) -> None:
        tape: list[TapeNode] | None = parents[0].tape
        if tape is None:
            raise RuntimeError(
                "a traced array outlived the function it was traced in: return it, or keep stop_gradient of it"
            )
        self.tape: list[TapeNode] | None = tape
        self.parents: Sequence[TapeNode] = parents
        self.derivative: JointMap | None = joint_map(fun, argnums, value, args, kwargs)
        tape.append(self)

    def initialize_root(self, tape: list[TapeNode]) -> None:
        """Start a tape's input: autograd calls this for `new_root(tape)`."""
        self.parents, self.derivative, self.tape = (), None, tape
        tape.append(self)


for _operation in notrace_primitives[JVPNode]:
    register_notrace(TapeNode, _operation)


def _unless_read_only(self: ArrayBox, other: Any) -> Any:
    """Refuse to work in place on what NumPy would not change; else a trace makes a new array."""
    value = static_value(self)
    if type(self._node) is TapeNode and isinstance(value, np.ndarray) and not value.flags.writeable:
        raise ValueError("output array is read-only")
    return NotImplemented


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(ArrayBox, f"__i{_name}__", _unless_read_only)


class Linearized:
    """A function near one point, evaluated once: its value, J·v and Jᵀ·w.

    `jvp` and `vjp` may be called many times; only the path to the arguments asked for is computed.

    Parameters
    ----------
    f : callable
        Maps trees of arrays to a tree of arrays.
    args : trees
        Every leaf of floating dtype is differentiable.

    Attributes
    ----------
    value : tree
        f(*args).
    """

    def __init__(self, f: Callable[..., Tree], *args: Tree) -> None:
        self._args = args
        nodes: list[TapeNode] = []
        level = next(TRACES)
        try:
            self._roots, boxed = [], []
            for arg in args:
                roots, boxes = _box_leaves(arg, level, nodes)
                self._roots.append(roots)
                boxed.append(boxes)
            out = f(*boxed)
        finally:
            for node in nodes:
                node.tape = None  # breaks the cycle node ↔ tape: arrays are freed without the collector
        leaves = [_unbox(leaf, level) for leaf in tree_leaves(out)]
        if any(getattr(getattr(value, "dtype", None), "kind", "") == "O" for value, _ in leaves):
            raise NoDerivativeError(
                "f joined traced arrays by a function of NumPy's own, which makes objects of them; take np.stack, "
                "np.concatenate, np.where and the like from autograd.numpy or equilib.ops"
            )
        self._outputs = [node for _, node in leaves]
        self.value: Tree = tree_unflatten(out, [value for value, _ in leaves])
        self._nodes = nodes
        self._programs: dict[tuple[int, ...], Program] = {}

    def used(self, argnums: tuple[int, ...]) -> list[bool]:
        """Tell for each leaf of `argnums` whether an output depends on it; those that are constants count as used."""
        used = self._program(argnums).used
        return [root is None or root in used for argnum in argnums for root in self._roots[argnum]]

    def jvp(self, tangent: Tree, argnum: int = 0) -> Tree:
        """Return J·v with respect to one argument."""
        return self.push([tangent], (argnum,))

    def push(self, tangents: Sequence[Tree], argnums: tuple[int, ...]) -> Tree:
        """Return J·v for `tangents` of the arguments `argnums`."""
        carried: dict[TapeNode, Array] = {}
        for argnum, tangent in zip(argnums, tangents, strict=True):
            leaves = _leaves_of_shape(self._args[argnum], tangent, "tangent")
            carried.update((r, leaf) for r, leaf in zip(self._roots[argnum], leaves, strict=True) if r is not None)
        program = self._program(argnums)
        for (node, parents, positions, derivative), finished in zip(program.steps, program.last_uses, strict=True):
            carried[node] = derivative.push(positions, [carried[parent] for parent in parents])
            for parent in finished:  # freeing early halves the memory traffic of a replay
                del carried[parent]
        outputs = [
            _zeros_like(value) if node is None or node not in carried else carried[node]
            for value, node in zip(tree_leaves(self.value), self._outputs, strict=True)
        ]
        return tree_unflatten(self.value, outputs)

    def vjp(
        self,
        cotangent: Tree,
        argnums: tuple[int, ...] = (0,),
        *,
        strict: bool = False,
        arrived: Callable[[int, Array], None] | None = None,
    ) -> tuple[Tree, ...]:
        """Return Jᵀ·w, shaped as each of `argnums`.

        `arrived` is given a leaf's number in the first argument and its cotangent as soon as that is whole, unless the
        leaf has no influence.

        Raises
        ------
        IndependentError
            If it is `strict` and none arrives at a leaf of floating dtype, or there is no such leaf.
        """
        carried: dict[TapeNode, Any] = {}
        for node, leaf in zip(self._outputs, _leaves_of_shape(self.value, cotangent, "cotangent"), strict=True):
            if node is not None:
                carried[node] = _sum(carried.get(node), leaf)
        program = self._program(argnums)
        whole: Iterable[list[TapeNode]] = reversed(program.first_uses) if arrived else repeat([])
        for (node, parents, positions, derivative), roots in zip(reversed(program.steps), whole, strict=False):
            grad_of_node, _ = carried.pop(node, (None, False))
            if grad_of_node is None:
                continue
            for parent, grad in zip(parents, derivative.pull(positions, grad_of_node), strict=True):
                if grad is None:  # a given pullback says that there is no dependence
                    continue
                before = carried.get(parent)
                carried[parent] = (grad, False) if before is None and type(grad) is np.ndarray else _sum(before, grad)
            if arrived and roots:
                self._tell(arrived, {root: carried[root][0] for root in roots if root in carried})
        if strict:
            self._require(argnums, carried)
        return tuple(self._collect(argnum, carried) for argnum in argnums)

    def _tell(self, arrived: Callable[[int, Array], None], cotangents: Mapping[TapeNode, Array]) -> None:
        for root, cotangent in cotangents.items():
            arrived(self._roots[0].index(root), cotangent)

    def _require(self, argnums: tuple[int, ...], carried: Mapping[TapeNode, Any]) -> None:
        roots = [root for argnum in argnums for root in self._roots[argnum] if root is not None]
        if roots and carried.keys() >= set(roots):
            return
        floating = [
            (f"argument {argnum}" + (f" at '{path}'" if path else ""), root)
            for argnum in argnums
            for (path, _), root in zip(named_leaves(self._args[argnum]), self._roots[argnum], strict=True)
            if root is not None
        ]
        if not floating:
            raise IndependentError(
                "there is nothing to differentiate with respect to: "
                f"no array of floating dtype in argument {', '.join(map(str, argnums))}"
            )
        unused = [name for name, root in floating if root not in carried]
        if unused:
            raise IndependentError(
                f"the output does not depend on {', '.join(unused)}: a gradient there would be silently zero; "
                "use it, leave it out, or say allow_unused=True"
            )

    def _collect(self, argnum: int, carried: dict[TapeNode, Any]) -> Tree:
        arg = self._args[argnum]
        leaves = [
            _like(leaf, carried[root][0]) if root in carried else _zeros_like(leaf)
            for root, leaf in zip(self._roots[argnum], tree_leaves(arg), strict=True)
        ]
        return tree_unflatten(arg, leaves)

    def _program(self, argnums: tuple[int, ...]) -> Program:
        if argnums not in self._programs:
            roots = [root for argnum in argnums for root in self._roots[argnum] if root is not None]
            outputs = [node for node in self._outputs if node is not None]
            self._programs[argnums] = Program(self._nodes, roots, outputs)
        return self._programs[argnums]


def _sum(before: tuple[Any, bool] | None, grad: Any) -> tuple[Any, bool]:
    """Add to what a node's cotangent is so far, in place where it is ours (true); what autograd does, sooner."""
    if before is not None and type(grad) is np.ndarray is type(before[0]):
        total, ours = before
        return (np.add(total, grad, out=total) if ours else total + grad), True
    sum_and_ownership: tuple[Any, bool] = add_outgrads(before, grad)
    return sum_and_ownership


def _box_leaves(arg: Tree, level: int, nodes: list[TapeNode]) -> tuple[list[TapeNode | None], Tree]:
    leaves = tree_leaves(arg)
    roots: list[TapeNode | None] = [None] * len(leaves)
    for number, leaf in enumerate(leaves):
        if _is_floating(leaf):
            ensure_traceable(leaf)
            root = roots[number] = TapeNode.new_root(nodes)
            leaves[number] = new_box(leaf, level, root)
    return roots, tree_unflatten(arg, leaves)


def _is_floating(leaf: Any) -> bool:
    value = static_value(leaf)
    if type(value) is np.ndarray:
        return bool(value.dtype.kind == "f")
    if isinstance(value, float):
        return True
    return is_array(value) and bool(array_namespace(value).isdtype(value.dtype, "real floating"))


def _unbox(leaf: Any, level: int) -> tuple[Any, TapeNode | None]:
    if isbox(leaf) and leaf._trace == level:
        return leaf._value, leaf._node
    return leaf, None


def _leaves_of_shape(like: Tree, tree: Tree, name: str) -> list[Any]:
    if type(like) is np.ndarray is type(tree) and like.shape == tree.shape:
        return [tree]
    leaves = leaves_like(like, tree)
    for known, leaf in zip(tree_leaves(like), leaves, strict=True):
        if getattr(known, "shape", ()) != getattr(leaf, "shape", ()):
            shapes = f"{tuple(getattr(known, 'shape', ()))}, it has {tuple(getattr(leaf, 'shape', ()))}"
            raise ValueError(f"a {name} must have the shape of what it belongs to, {shapes}")
    return leaves


def _zeros_like(leaf: Any) -> Any:
    value = static_value(leaf)
    return zeros_like(value) if is_array(value) else 0.0


def _like(leaf: Any, grad: Any) -> Any:
    """Return a derivative in the dtype of what it is of, where an input was wider."""
    value = static_value(leaf)
    if isbox(grad) or not (is_array(value) and is_array(grad)) or grad.dtype == value.dtype:
        return grad
    return array_namespace(grad).astype(grad, value.dtype)
