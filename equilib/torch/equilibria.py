"""The fixed point of a map of tensors as a differentiable function of all that the map depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.fixed_point import chosen_adjoint
from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.arguments import check_declared
from equilib.fixed_points.options import SolveOptions, overridden
from equilib.fixed_points.reproduced import check_reproduced
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import resolved_fallback
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.options.kinds import check_kind
from equilib.options.named import resolved
from equilib.torch.bridge import Bridge, on_host
from equilib.torch.call import Call, without_autocast
from equilib.torch.closures import Edge, current, edges_into
from equilib.torch.coarse import check_coarse
from equilib.torch.compiling import uncompiled
from equilib.torch.ends import ends_of, stand_ins
from equilib.torch.equation import Equation, Graph, Held, Records
from equilib.torch.implicit import FixedPoint, require_no_outsiders
from equilib.torch.layout import Layout
from equilib.torch.mistakes import check_map
from equilib.torch.transforms import dual, next_node, normal, state_leaf, tangent_of, transformed


def fixed_point(
    f: Callable[..., Any],
    z0: Any,
    *inputs: Any,
    solver: str | Solver | WholeSolver = "auto",
    adjoint: str | Sensitivity[Solution] | None = None,
    has_aux: bool = False,
    options: SolveOptions | None = None,
    fallback: Sequence[str | Solver | WholeSolver] = (),
    batched: bool = True,
    batched_inputs: Sequence[bool] | None = None,
    coarse: torch.dtype | None = None,
    **overrides: Any,
) -> Any:
    """Return z = f(z, *inputs), differentiable in inputs, parameters and what f closes over, to any order.

    The solve leaves no graph, so memory does not grow with its steps. Backward, forward mode and the transforms of
    `torch.func` solve linear equations at z: w = Jᵀw + g and dz = J dz + (∂f/∂θ) dθ. Inside of `torch.func`, what is
    differentiated or mapped over must be inputs, or parameters of a module f.

    Parameters
    ----------
    f : callable
        Maps z and the inputs to the like of z; a module or a function. Sample i of the result may depend on sample i of
        z only. Under `torch.autocast` f alone is cast.
    z0 : Tensor, shape (batch, ...), or tree of such tensors
        The initial guess; its dtype and device are those of the solve. Trees are what PyTorch's pytrees know.
    *inputs : trees of tensors
    solver : str or Solver
        A name as on the command line, such as "anderson" or "anderson:memory=5", or an object.
    adjoint : str or Sensitivity, optional
        How it is differentiated; by default as suits the solver, else by `ImplicitAdjoint()`. One without a linear
        equation, such as "jacobian-free", has first derivatives in reverse mode only.
    has_aux : bool
        Whether f returns a pair of the next z and something else; it is evaluated once more, at the fixed point.
    options, fallback, batched, **overrides
        As in `equilib.solve`. A norm that is a function is given tensors like z0, or (batch, size) of a tree.
    batched_inputs : sequence of bool, optional
        For each of the inputs whether axis 0 of all its tensors is the batch: then finished samples leave it.
    coarse : torch.dtype, optional
        bfloat16 or float16: f is evaluated under autocast to it until the residual is as small as its rounding, from
        then on in float32, the dtype of z0. What has converged was held to the same test as without.

    Returns
    -------
    Tensor, shape (batch, ...), or tree
        The fixed point; with `has_aux` the pair of it and what f returned beside it.

    Raises
    ------
    ConvergenceError, TypeError, ValueError
        As `equilib.solve` does.
    UserError
        If a name or an option is unknown.
    NoDerivativeError
        If a derivative is asked for that there is not.
    """
    found = equilibrium(
        f,
        z0,
        *inputs,
        solver=solver,
        adjoint=adjoint,
        has_aux=has_aux,
        options=options,
        fallback=fallback,
        batched=batched,
        batched_inputs=batched_inputs,
        coarse=coarse,
        **overrides,
    )
    return (found.z, found.aux) if has_aux else found.z


@uncompiled
def equilibrium(
    f: Callable[..., Any],
    z0: Any,
    *inputs: Any,
    solver: str | Solver | WholeSolver = "auto",
    adjoint: str | Sensitivity[Solution] | None = None,
    has_aux: bool = False,
    options: SolveOptions | None = None,
    fallback: Sequence[str | Solver | WholeSolver] = (),
    batched: bool = True,
    batched_inputs: Sequence[bool] | None = None,
    coarse: torch.dtype | None = None,
    **overrides: Any,
) -> Equilibrium:
    """Solve z = f(z, *inputs) as `fixed_point` does, whose arguments it takes, and return the whole record.

    Its `z` is the fixed point, `aux` what f returned beside it; `solution` tells status, residual and counts of each
    sample, `adjoints` and `tangents` hold the linear solves of derivatives. Raises what `fixed_point` does.
    """
    check_kind(f, "f", "map of z")
    check_map(f, "f", "z", inputs=len(inputs), where="fixed_point(f, z0, *inputs)")
    method = resolved(solver, "solver", "solver")
    given = on_host(overridden(SolveOptions, options, overrides, fixed_point))
    layout = Layout(z0, batched=batched)
    check_coarse(coarse, layout)
    call = Call(f, inputs, layout, has_aux=has_aux, coarse=coarse is not None, at=(z0,))
    equation = Equation(
        call=call,
        solver=method,
        adjoint=chosen_adjoint(adjoint, method),
        options=_packed(given, layout),
        given=given,
        fallback=resolved_fallback(fallback),
        batched=_batched_leaves(call, inputs, batched_inputs),
        records=Records(),
        coarse=coarse,
    )
    z = layout.unpack(_solved(equation, layout.pack(z0)))
    solution = equation.records.solution
    assert solution is not None
    return Equilibrium(
        z=z,
        z0=z0,
        residual=solution.residual,
        residual_norm=solution.residual_norm,
        status=solution.status,
        nfe=solution.nfe,
        njvp=solution.njvp,
        solution=solution,
        aux=call.aux(z) if has_aux else None,
        adjoints=equation.records.adjoints,
        tangents=equation.records.tangents,
        backward=equation.records.backward,
    )


def _solved(equation: Equation, z0: Tensor) -> Tensor:
    """Return z, shape (batch, size), from z0, with its derivative where one may be asked for."""
    held, call = Held(), equation.call
    if transformed():
        require_no_outsiders(call, z0)
        return FixedPoint.apply(equation, held, None, z0, *call.leaves)
    differentiated = torch.is_grad_enabled() or dual()
    leaves = stand_ins(call) if differentiated and not dual() else list(call.leaves)
    leaves = [normal(each) for each in leaves] if differentiated else leaves
    if differentiated and call.mixed:  # NumPy takes tensors without a graph: what it will refuse is told before
        _graph(equation, state_leaf(z0.detach()), leaves)
    equation.solve(z0.detach(), leaves, held, keep=differentiated)
    assert held.solution is not None
    bridge = Bridge(z0)
    if differentiated:
        graph = held.graph or _graph(equation, state_leaf(bridge.tensor(held.solution.z)), leaves)
        y = graph.y
        if z0.shape[0] > 1:
            check_reproduced(held.solution, bridge.array(y), call.eps)
        edges = edges_into(y, graph.first, graph.leaf)
        if edges or tangent_of(y) is not None:
            call.close(y, edges, leaves)
        if edges or z0.requires_grad or tangent_of(y) is not None or tangent_of(z0) is not None:
            graph = held.graph = _ended(equation, graph, edges, leaves)
            y = graph.y if graph.ends is None else None
            start = normal(_start(equation, z0))
            return FixedPoint.apply(equation, held, y, start, *map(normal, call.leaves)).clone()
    return bridge.tensor(held.solution.z).clone()


def _start(equation: Equation, z0: Tensor) -> Tensor:
    """Return what is kept of the start: where no derivative asks for its numbers it may be overwritten afterwards."""
    asked = z0.requires_grad or tangent_of(z0) is not None or not hasattr(equation.adjoint, "solve_adjoint")
    return z0 if asked else z0.data  # in the same memory, and of a version of its own


def _graph(equation: Equation, leaf: Tensor, leaves: Sequence[Tensor]) -> Graph:
    """Evaluate f at a leaf, shape (batch, size), of a graph."""
    first = next_node()
    with torch.enable_grad(), without_autocast(leaf.device.type):
        return Graph(None, leaf, equation.value(leaf, leaves), first)


def _ended(equation: Equation, graph: Graph, edges: set[Edge], leaves: Sequence[Tensor]) -> Graph:
    """Return a graph that ends at leaves, or is linked to all that f depends on; f was given `leaves`."""
    call = equation.call
    ends = None if dual() else ends_of(edges, [*leaves, *call.leaves[len(leaves) :]])
    if ends is None and any(one is not other for one, other in zip(leaves, call.leaves, strict=False)):
        return _graph(equation, graph.leaf, [normal(each) for each in call.leaves])
    return replace(graph, ends=ends)


def _batched_leaves(
    call: Call, inputs: tuple[Any, ...], batched_inputs: Sequence[bool] | None
) -> tuple[bool, ...] | None:
    """Return for each leaf whether axis 0 is the batch; None where that is not declared.

    Raises
    ------
    TypeError, ValueError
        If it is not declared for as many inputs as there are, or an axis has another length.
    """
    if batched_inputs is None:
        return None
    check_declared(batched_inputs, len(inputs))
    if not call.layout.batched:
        raise ValueError("with batched=False nothing has the batch axis; leave out batched_inputs")
    batched, shared = set[int](), {id(leaf) for leaf in call.named.values()}
    for number, (tree, has) in enumerate(zip(inputs, batched_inputs, strict=True)):
        for leaf in pytree.tree_leaves(tree):
            if isinstance(leaf, Tensor):
                (batched if has else shared).add(id(current(leaf)))
                if has and leaf.shape[:1] != (call.layout.batch,):
                    raise ValueError(
                        f"input {number} is declared to have the batch axis, but it has the shape {tuple(leaf.shape)} "
                        f"where z0 has {call.layout.batch} samples; give its tensors that axis, or declare it "
                        "False in batched_inputs"
                    )
    if batched & shared:  # one tensor in both roles, as a parameter that the module is also given
        return None
    return tuple(id(leaf) in batched for leaf in call.leaves)


def _packed(options: SolveOptions, layout: Layout) -> SolveOptions:
    """Return options of packed states: a norm that is a function, and tolerances of single elements."""
    changed: dict[str, Any] = {}
    if not isinstance(options.norm, str):
        norm, bridges = options.norm, Bridge(torch.empty(0, dtype=layout.dtype, device=layout.device))
        changed["norm"] = lambda rows: bridges.array(norm(layout.unpack(bridges.tensor(rows))))
    for name in ("rtol", "atol"):
        value = getattr(options, name)
        if getattr(value, "ndim", 0):
            changed[name] = layout.row(np.asarray(value))
    return replace(options, **changed) if changed else options
