"""The tape: one evaluation of a function, recorded, and replayed in either direction as often as needed.

autograd's tracer finds the operations; our node keeps for each of them the linear map and its transpose
(`rules.JointMap`). Nodes are appended as they are made, so the tape is in topological order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import autograd.numpy  # noqa: F401  registers which operations need no trace
from autograd.core import JVPNode, add_outgrads
from autograd.tracer import Node, isbox, new_box, notrace_primitives, register_notrace, trace_stack

from equilib.arrays import Array, array_namespace, is_array
from equilib.autodiff.boxes import ensure_traceable, static_value
from equilib.autodiff.rules import JointMap, joint_map
from equilib.errors import NoDerivativeError
from equilib.trees import Tree, leaves_like, named_leaves, tree_leaves, tree_unflatten


class IndependentError(NoDerivativeError, ValueError):
    """The output does not depend on an input it is differentiated with respect to."""


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


@contextmanager
def _new_trace() -> Iterator[int]:
    # autograd's own context manager leaves the level raised when the traced function raises.
    level = trace_stack.top
    trace_stack.top = level + 1
    try:
        yield level + 1
    finally:
        trace_stack.top = level


class _Step(NamedTuple):
    """One operation of a replay: its node, the parents that matter, and their places among its arguments."""

    node: TapeNode
    parents: tuple[TapeNode, ...]
    positions: tuple[int, ...]
    derivative: JointMap


class Recording:
    """One evaluation `f(*args)`, ready to carry tangents forward and cotangents back.

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
        try:
            with _new_trace() as level:
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
        self._outputs = [node for _, node in leaves]
        self.value: Tree = tree_unflatten(out, [value for value, _ in leaves])
        self._nodes = nodes
        self._programs: dict[tuple[int, ...], list[_Step]] = {}

    def require_dependence(self, argnums: tuple[int, ...]) -> None:
        """Raise `IndependentError` naming the leaves of `argnums` on which no output depends.

        Likewise if there is no leaf to depend on: none of floating dtype.
        """
        if all(root is None for argnum in argnums for root in self._roots[argnum]):
            raise IndependentError(
                "there is nothing to differentiate with respect to: "
                f"no array of floating dtype in argument {', '.join(map(str, argnums))}"
            )
        used = {parent for step in self._program(argnums) for parent in step.parents}
        used.update(node for node in self._outputs if node is not None)
        unused = [
            f"argument {argnum}" + (f" at '{path}'" if path else "")
            for argnum in argnums
            for (path, _), root in zip(named_leaves(self._args[argnum]), self._roots[argnum], strict=True)
            if root is not None and root not in used
        ]
        if unused:
            raise IndependentError(
                f"the output does not depend on {', '.join(unused)}: a gradient there would be silently zero; "
                "was an array converted outside the traced operations, or a parameter left unused?"
            )

    def push(self, tangents: Sequence[Tree], argnums: tuple[int, ...]) -> Tree:
        """Return the tangent of the output for `tangents` of the arguments `argnums`."""
        carried: dict[TapeNode, Array] = {}
        for argnum, tangent in zip(argnums, tangents, strict=True):
            leaves = leaves_like(self._args[argnum], tangent)
            carried.update((r, leaf) for r, leaf in zip(self._roots[argnum], leaves, strict=True) if r is not None)
        program = self._program(argnums)
        last_use = {parent: index for index, step in enumerate(program) for parent in step.parents}
        kept = {node for node in self._outputs if node is not None}
        for index, (node, parents, positions, derivative) in enumerate(program):
            carried[node] = derivative.push(positions, [carried[parent] for parent in parents])
            for parent in parents:  # freeing early halves the memory traffic of a replay
                if last_use[parent] == index and parent not in kept:
                    carried.pop(parent, None)
        outputs = [
            _zeros_like(value) if node is None or node not in carried else carried[node]
            for value, node in zip(tree_leaves(self.value), self._outputs, strict=True)
        ]
        return tree_unflatten(self.value, outputs)

    def pull(self, cotangent: Tree, argnums: tuple[int, ...]) -> tuple[Tree, ...]:
        """Return the cotangents of the arguments `argnums` for `cotangent` of the output."""
        carried: dict[TapeNode, Any] = {}
        for node, leaf in zip(self._outputs, leaves_like(self.value, cotangent), strict=True):
            if node is not None:
                carried[node] = add_outgrads(carried.get(node), leaf)
        for node, parents, positions, derivative in reversed(self._program(argnums)):
            grad_of_node, _ = carried.pop(node)
            for parent, grad in zip(parents, derivative.pull(positions, grad_of_node), strict=True):
                carried[parent] = add_outgrads(carried.get(parent), grad)
        return tuple(self._collect(argnum, carried) for argnum in argnums)

    def _collect(self, argnum: int, carried: dict[TapeNode, Any]) -> Tree:
        arg = self._args[argnum]
        leaves = [
            carried[root][0] if root in carried else _zeros_like(leaf)
            for root, leaf in zip(self._roots[argnum], tree_leaves(arg), strict=True)
        ]
        return tree_unflatten(arg, leaves)

    def _program(self, argnums: tuple[int, ...]) -> list[_Step]:
        """List the operations between the arguments `argnums` and the outputs, in order."""
        if argnums not in self._programs:
            reached = {root for argnum in argnums for root in self._roots[argnum] if root is not None}
            steps = []
            for node in self._nodes:
                positions = tuple(i for i, parent in enumerate(node.parents) if parent in reached)
                if positions and node.derivative is not None:
                    reached.add(node)
                    parents = tuple(node.parents[i] for i in positions)
                    steps.append(_Step(node, parents, positions, node.derivative))
            live = {node for node in self._outputs if node is not None}
            program = []
            for step in reversed(steps):
                if step.node in live:
                    live.update(step.parents)
                    program.append(step)
            self._programs[argnums] = program[::-1]
        return self._programs[argnums]


def _box_leaves(arg: Tree, level: int, nodes: list[TapeNode]) -> tuple[list[TapeNode | None], Tree]:
    roots: list[TapeNode | None] = []
    boxes = []
    for leaf in tree_leaves(arg):
        if not _is_floating(leaf):
            roots.append(None)
            boxes.append(leaf)
            continue
        ensure_traceable(leaf)
        root = TapeNode.new_root(nodes)
        roots.append(root)
        boxes.append(new_box(leaf, level, root))
    return roots, tree_unflatten(arg, boxes)


def _is_floating(leaf: Any) -> bool:
    value = static_value(leaf)
    if isinstance(value, float):
        return True
    return is_array(value) and bool(array_namespace(value).isdtype(value.dtype, "real floating"))


def _unbox(leaf: Any, level: int) -> tuple[Any, TapeNode | None]:
    if isbox(leaf) and leaf._trace == level:
        return leaf._value, leaf._node
    return leaf, None


def _zeros_like(leaf: Any) -> Any:
    value = static_value(leaf)
    return array_namespace(value).zeros_like(value) if is_array(value) else 0.0
