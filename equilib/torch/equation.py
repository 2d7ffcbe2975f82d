"""One fixed-point equation in PyTorch: how it is solved and linearized, and the record of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from equilib.adjoints.equation import transposed
from equilib.arrays import Array
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.settled import settled
from equilib.fixed_points.solution import (
    ConvergenceError,
    ConvergenceWarning,
    Solution,
    check_success,
    of_adjoint,
)
from equilib.fixed_points.solve import solve
from equilib.torch.bridge import Bridge
from equilib.torch.call import Call, without_autocast
from equilib.torch.coarse import Coarse
from equilib.torch.products import linearization, of_leaves
from equilib.torch.transforms import differentiable, next_node, normal, state_leaf

_LARGE = 1 << 16
"""Elements of a batch from which the graph of each evaluation costs less than another evaluation at the end."""


@dataclass
class Records:
    """What was solved for one fixed point and its derivatives, in states as the user knows them."""

    solution: Solution | None = None
    adjoints: list[Solution] = field(default_factory=list)
    tangents: list[Solution] = field(default_factory=list)
    backward: Counts = field(default_factory=Counts)


@dataclass(frozen=True)
class Graph:
    """What f returned at a packed state, a leaf of its graph, whose nodes have numbers from `first`.

    `ends` are the leaves where the graph ends, None for those that y does not depend on; no list where it is linked to
    what was there before it.
    """

    z: Array
    leaf: Tensor
    y: Tensor
    first: int
    ends: Sequence[Tensor | None] | None = None


@dataclass(eq=False)
class Held:
    """What a derivative may use of a solve: its arrays, and f's graph at its end."""

    solution: Solution | None = None
    graph: Graph | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Equation:
    """z = f(z, *leaves) for packed states, shape (batch, size), and how it is solved.

    `batched` tells for each leaf whether its axis 0 is the batch, None where that is not declared. `options` are as
    arrays of the solver need them, `given` as the user gave them. `mapped` is f where several such equations are solved
    side by side, their leaves with an axis of their own. `coarse` is the dtype of the first evaluations, if another.
    """

    call: Call
    solver: Any
    adjoint: Any
    options: SolveOptions
    given: SolveOptions
    fallback: Sequence[Any]
    batched: tuple[bool, ...] | None
    records: Records
    mapped: Callable[..., Tensor] | None = None
    coarse: torch.dtype | None = None

    def over(self, lanes: int, dims: Sequence[int | None], randomness: str) -> Self:
        """Return the equation of `lanes` batches in a row, with leaves of which some have an axis of lanes in front."""
        inner = torch.vmap(lambda z, *leaves: self.value(z, leaves), in_dims=(0, *dims), randomness=randomness)

        def mapped(z: Tensor, *leaves: Tensor) -> Tensor:
            if not lanes:
                return z
            values: Tensor = inner(z.unflatten(0, (lanes, z.shape[0] // lanes)), *leaves)
            return values.flatten(0, 1)

        return replace(self, mapped=mapped, batched=None)

    def value(self, z: Tensor, leaves: Sequence[Tensor], *, strict: bool = False) -> Tensor:
        """Return f at z, shape (batch, size), of leaves; `strict` as in `Call.with_leaves`."""
        if self.mapped is not None:
            return self.mapped(z, *leaves)
        return self.call.with_leaves((z,), leaves, strict=strict)

    def solve(self, z0: Tensor, leaves: Sequence[Tensor], held: Held, *, keep: bool = False) -> None:
        """Solve from z0, shape (batch, size); with `keep` f's graph is held as well, where there was one at the end."""
        bridge, inputs = Bridge(z0), () if self.batched is None else tuple(leaves)
        last: list[Graph] = []

        def graph(z: Array, restricted: Sequence[Tensor]) -> Graph:
            last.clear()  # two at once would be too much for the memory
            first = next_node() if keep else 0
            with torch.enable_grad():
                leaf = state_leaf(normal(bridge.tensor(z)))
                made = Graph(z, leaf, self.value(leaf, [normal(each) for each in restricted or leaves]), first)
            last.extend([made] if keep else [])
            return made

        def value(z: Array, *restricted: Tensor) -> Array:
            return bridge.array(self.value(bridge.tensor(z), restricted or leaves))

        def kept(z: Array, *restricted: Tensor) -> Array:
            return bridge.array(graph(z, restricted).y)

        def linearize(_: object, z: Array, *restricted: Tensor) -> Linearization:
            made = graph(z, restricted)
            return linearization(bridge, made.leaf, made.y, lambda w: ())

        start, device = bridge.array(z0), z0.device.type
        exact = kept if keep and z0.numel() >= _LARGE else value
        coarse = None if self.coarse is None else Coarse(value, exact, self.coarse, device, self.options)
        f: Callable[..., Array] = exact if coarse is None else coarse
        problem = FixedPointProblem(f, *inputs, linearize=linearize, batched_inputs=self.batched, coarse=coarse)
        # In inference mode there are no graphs, which products are made of.
        with torch.inference_mode(mode=False), torch.no_grad(), without_autocast(device):
            solution = solve(problem, self.solver, start, self.options, fallback=self.fallback)
        if solution.z is start:  # which is the user's
            solution = replace(solution, z=start.copy() if bridge.on_host else start.clone())
        if bridge.on_host:
            solution.z.setflags(write=False)
        if hasattr(self.adjoint, "solve_adjoint"):  # it has no use for the state, which may hold many arrays
            solution = replace(solution, state=None)
        held.solution, self.records.solution = solution, self.known(solution, bridge)
        if last and last[0].z.shape == solution.z.shape and bool((last[0].z == solution.z).all()):
            held.graph = last[0]

    def flags(self, leaves: Sequence[Tensor]) -> tuple[bool, ...] | None:
        """Return for each leaf whether axis 0 is the batch; of what f was later found to close over it is not."""
        return None if self.batched is None else self.batched + (False,) * (len(leaves) - len(self.batched))

    def known(self, solution: Solution, bridge: Bridge) -> Solution:
        """Return a solution with states as the user knows them."""
        states = {name: self._unpacked(bridge.tensor(getattr(solution, name))) for name in ("z0", "z", "residual")}
        batched = self.call.layout.batched
        return replace(solution, **states, state=None, options=self.given, batched=batched)

    def _unpacked(self, rows: Tensor) -> Any:
        """Return packed states as the user knows them: those of several batches one after the other."""
        layout = self.call.layout
        return rows if self.mapped is not None and not layout.batched else layout.unpack(rows)

    def problem(self, like: Tensor, leaves: Sequence[Tensor]) -> FixedPointProblem:
        """Return the problem whose inputs are the leaves, plain tensors; their cotangents can be asked for."""
        bridge = Bridge(like)

        def value(z: Array, *given: Tensor) -> Array:
            with torch.no_grad():
                return bridge.array(self.value(bridge.tensor(z), given))

        def linearize(_: object, z: Array, *given: Tensor) -> Linearization:
            with torch.enable_grad():
                at = state_leaf(bridge.tensor(z))
                copies = [leaf.detach().requires_grad_(differentiable(leaf)) for leaf in given]
                y = self.value(at, copies, strict=True)
            return linearization(bridge, at, y, of_leaves(y, copies))

        return FixedPointProblem(value, *leaves, linearize=linearize, batched_inputs=self.flags(leaves))

    def resolve(self, b: Tensor, z: Tensor, leaves: Sequence[Tensor], *, transpose: bool) -> Tensor:
        """Return the x of x = A x + b, with A = J or Jᵀ at z; all of shape (batch, size), plain tensors."""
        bridge = Bridge(z)
        with torch.no_grad(), without_autocast(z.device.type):
            problem = counted(self.problem(z, leaves), self.records.backward)
            linear = problem.linearize(bridge.array(z))
            products = linear if transpose else transposed(linear)
            found = self.adjoint.solve_adjoint(
                products, settled(bridge.array(z), self.solver, self.options), bridge.array(b)
            )
        self.note(found, bridge, transpose=transpose)
        return bridge.tensor(found.z)

    def note(self, found: Solution, bridge: Bridge, *, transpose: bool = True) -> None:
        """Keep the record of a linear solve, and raise or warn if it failed, as the policy says."""
        (self.records.adjoints if transpose else self.records.tangents).append(self.known(found, bridge))
        self.check(found, "adjoint" if transpose else "tangent")

    def check(self, found: Solution, what: str = "adjoint") -> None:
        """Raise or warn if a linear solve failed, as the policy says."""
        of = of_adjoint(self.adjoint, what)
        check_success(found, self.options.on_failure, ConvergenceError, ConvergenceWarning, of=of)
