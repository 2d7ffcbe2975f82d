"""Fixed points as functions of autograd, forward mode and `torch.func`: of what f depends on, to any order.

At z = f(z, θ) tangents solve dz = J dz + (∂f/∂θ) dθ, and a cotangent g becomes (∂f/∂θ)ᵀ w with w = Jᵀ w + g.

A plain backward pass needs none of that: w goes into the graph of f at z, whatever f closes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from equilib.adjoints.idle import UNDECLARED, undeclared
from equilib.adjoints.sensitivity import check_pulled
from equilib.arrays import Array
from equilib.errors import NoDerivativeError, warn
from equilib.fixed_points.evaluator import counted
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import ConvergenceWarning, Solution
from equilib.torch.bridge import Bridge
from equilib.torch.call import UNKNOWN, Call, without_autocast
from equilib.torch.closures import Outsiders
from equilib.torch.ends import hooked
from equilib.torch.equation import Equation, Graph, Held
from equilib.torch.first_order import MAPPED, Cotangents, Pulled
from equilib.torch.products import linearization, of_leaves
from equilib.torch.resolved import folded, resolved, unfolded
from equilib.torch.transforms import (
    differentiable,
    dual,
    in_forward_mode,
    primal,
    pulled,
    pushed,
    require_unbatched,
    transformed,
)

NO_CALCULUS = (
    "the adjoint {} has first derivatives in reverse mode only; for tangents and second derivatives take "
    "adjoint='implicit' or 'unrolled'"
)
"""Why there is no other derivative."""

TRANSFORMED = (
    "inside of torch.func f must be given all that is differentiated or mapped over, as inputs, f(z, *inputs), or as "
    "the parameters of a module f; it closes over {}"
)


class FixedPoint(torch.autograd.Function):
    """z, shape (batch, size), of y = f(z), of where the solve starts, and of the leaves."""

    @staticmethod
    def forward(equation: Equation, held: Held, y: Tensor | None, z0: Tensor, *leaves: Tensor) -> Tensor:
        """Solve, where that has not been done."""
        if held.solution is None:
            _require_inputs(equation, z0, leaves)
            equation.solve(z0, leaves, held)
            assert held.solution is not None
        if held.graph is not None:
            return held.graph.leaf.detach()  # in the same memory, so that changes in place are seen
        return Bridge(z0).tensor(held.solution.z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what derivatives need."""
        ctx.equation, held, y, z0, *leaves = inputs
        ctx.set_materialize_grads(False)
        ctx.held, ctx.count, ended = held, len(leaves), ()
        if held.graph is not None and held.graph.ends is not None:  # it is to go with what is saved, as soon as that
            ctx.held, ended = Held(held.solution), (held.graph.y, held.graph.leaf, *held.graph.ends)
        ctx.save_for_backward(y, z0, output, *leaves, *ended)
        ctx.save_for_forward(y, z0, output, *leaves)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> Cotangents:
        """Return the cotangent of y, or else those of the leaves."""
        y, z0, z, *saved = ctx.saved_tensors
        leaves, ended = saved[: ctx.count], saved[ctx.count :]
        if g is None:
            return (None,) * (4 + len(leaves))
        require_unbatched(g)
        if ended and not torch.is_grad_enabled() and not hasattr(ctx.equation.adjoint, "unroll"):
            asked = ctx.needs_input_grad[4:]
            ended[2:] = [end if needed else None for end, needed in zip(ended[2:], asked, strict=True)]
            y_bar, start, *bars = None, *_to_ends(ctx.equation, ctx.held, g, leaves, ended)
        else:
            y_bar, start, *bars = _cotangents(ctx.equation, ctx.held, g, y, z0, z, leaves)
        if start is None and ctx.needs_input_grad[3]:  # the fixed point does not depend on it
            start = torch.zeros_like(z0)
        return None, None, y_bar, start, *bars

    @staticmethod
    def jvp(ctx: Any, _: Any, __: Any, y_dot: Tensor | None, z0_dot: Tensor | None, *dots: Tensor | None) -> Tensor:
        """Return dz."""
        with in_forward_mode():
            return FixedPoint._pushed(ctx, y_dot, z0_dot, dots)

    @staticmethod
    def _pushed(ctx: Any, y_dot: Tensor | None, z0_dot: Tensor | None, dots: Sequence[Tensor | None]) -> Tensor:
        y, *at = ctx.saved_tensors
        z0, z, *leaves = map(primal, at)
        equation, held = ctx.equation, ctx.held
        if hasattr(equation.adjoint, "solve_adjoint"):
            b = y_dot
            if y is None or z.requires_grad:  # that of y knows nothing of how z depends on the leaves
                b = pushed(lambda *given: equation.value(z, given, strict=True), leaves, dots)
                _require_all_tangents(y_dot, b)
            return torch.zeros_like(z) if b is None else resolved(equation, b, z, leaves, transpose=False)
        if hasattr(equation.adjoint, "unroll"):
            equation.call.require_complete()
            found = pushed(lambda *given: _unrolled(equation, held, given), (z0, *leaves), (z0_dot, *dots))
            return torch.zeros_like(z) if found is None else found
        raise NoDerivativeError(_no_calculus(equation))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], equation: Equation, held: Held, y: None, z0: Tensor, *leaves: Tensor
    ) -> Any:
        """Solve all of them as one batch."""
        _, _, _, axis, *axes = in_dims
        inner, (start,), moved = folded(equation, info, (axis,), (z0,), axes, leaves)
        z = FixedPoint.apply(inner, Held(), None, start, *moved)
        return unfolded(z, info, z0, axis), 0


def _cotangents(
    equation: Equation, held: Held, g: Tensor, y: Tensor | None, z0: Tensor, z: Tensor, leaves: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """Return the cotangents of y, of the start and of the leaves, for that of z."""
    adjoint = equation.adjoint
    if torch.is_grad_enabled() or transformed() or dual():
        equation.call.require_complete()
        if hasattr(adjoint, "solve_adjoint"):
            w = resolved(equation, g, z, leaves, transpose=True)
            return None, None, *pulled(lambda *given: equation.value(z, given, strict=True), leaves, w)
        if hasattr(adjoint, "unroll"):
            return None, *pulled(lambda *given: _unrolled(equation, held, given), (z0, *leaves), g)
        pullback = lambda g, _, *leaves: _pullback(equation, held, g, leaves)  # noqa: E731
        return None, *Pulled.apply(_no_calculus(equation), pullback, g, z0, *leaves)
    if held.graph is not None and y is not None and not hasattr(adjoint, "unroll"):
        try:
            return _into_graph(equation, held.solution, held.graph, y, g), None, *[None] * len(leaves)
        except _Elsewhere:
            pass  # it linearizes f at another place as well
    return None, *_pullback(equation, held, g, leaves)


def _unrolled(equation: Equation, held: Held, given: Sequence[Tensor]) -> Tensor:
    start, *leaves = given
    if held.solution is None:
        raise NoDerivativeError(MAPPED)
    problem = FixedPointProblem(lambda z: equation.value(z, leaves, strict=True))
    solution = replace(held.solution, z=Bridge(start).tensor(held.solution.z))  # what it makes is like z
    found: Tensor = equation.adjoint.unroll(problem, solution, start)
    return found


class _Elsewhere(Exception):  # noqa: N818  it ends an attempt
    """A sensitivity asks for f at another place than the fixed point."""


def _into_graph(equation: Equation, solution: Solution | None, graph: Graph, y: Tensor, g: Tensor) -> Tensor:
    """Return w, the cotangent of y = f(z), for that of z: all that f depends on gets its own from the graph of y."""
    linear = linearization(Bridge(g), graph.leaf, y, lambda w: (w,))
    # The linearization takes y for its input, whose cotangent is w; there is none where no sample has a cotangent.
    (w,) = _pulled_at_end(equation, solution, linear, g, (y,)) or (torch.zeros_like(y),)
    found: Tensor = w.detach()
    return found


def _to_ends(
    equation: Equation, held: Held, g: Tensor, leaves: Sequence[Tensor], ended: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Return the cotangents of the start and of the leaves for that of z, by the graph of y = f(z) with its ends."""
    y, state, *ends = ended
    assert y is not None
    assert state is not None
    wanted = [end for end in ends if end is not None]
    if not wanted:
        return [None] * (1 + len(leaves))
    if not any(map(hooked, wanted)):
        linear = linearization(Bridge(g), state, y, of_leaves(y, wanted), wanted)
        try:
            bars = iter(_pulled_at_end(equation, held.solution, linear, g, wanted) or map(torch.zeros_like, wanted))
            return [None, *(None if end is None else next(bars) for end in ends)]
        except _Elsewhere:
            pass  # it linearizes f at another place as well
    return _pullback(equation, held, g, leaves)


def _pulled_at_end(
    equation: Equation, solution: Solution | None, linear: Linearization, g: Tensor, inputs: Sequence[Tensor]
) -> tuple[Any, ...]:
    """Return the cotangents of the inputs of a linearization at the fixed point, none where no sample has one."""
    assert solution is not None
    bridge = Bridge(g)

    def linearize(_: object, z: Array) -> Linearization:
        if z is not solution.z:
            raise _Elsewhere
        return linear

    def elsewhere(z: Array) -> Array:
        raise _Elsewhere

    problem = counted(FixedPointProblem(elsewhere, linearize=linearize), equation.records.backward)
    with torch.no_grad(), without_autocast(g.device.type):
        pulled = equation.adjoint.pullback(problem, solution, bridge.array(g))
    check_pulled(equation.adjoint, pulled, tuple(inputs))
    _keep(equation, pulled, bridge)
    return pulled.inputs


def _pullback(equation: Equation, held: Held, g: Tensor, leaves: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the cotangents of the start and of all leaves for that of z, plain tensors."""
    equation.call.require_complete()
    if held.solution is None:
        raise NoDerivativeError(MAPPED)
    bridge = Bridge(g)
    problem = equation.problem(g, leaves)
    g_array = bridge.array(g)
    with torch.no_grad(), without_autocast(g.device.type):
        pulled = equation.adjoint.pullback(counted(problem, equation.records.backward), held.solution, g_array)
        check_pulled(equation.adjoint, pulled, problem.inputs)
        if undeclared(problem, held.solution, g_array, pulled.inputs):
            warn(UNDECLARED, ConvergenceWarning)
    _keep(equation, pulled, bridge)
    start = None if pulled.start is None else bridge.tensor(pulled.start)
    return [start, *(bar if differentiable(leaf) else None for bar, leaf in zip(pulled.inputs, leaves, strict=True))]


def _keep(equation: Equation, pulled: Any, bridge: Bridge) -> None:
    equation.records.adjoints.extend(equation.known(each, bridge) for each in pulled.solves)
    for each in pulled.failed[:1]:  # once a pass
        equation.check(each)


def _no_calculus(equation: Equation) -> str:
    return NO_CALCULUS.format(type(equation.adjoint).__name__)


def _require_all_tangents(of_y: Tensor | None, by_leaves: Tensor | None) -> None:
    """Require that the tangents of the leaves are all that f(z) has at a constant z."""
    if of_y is not None:
        known = torch.zeros_like(of_y) if by_leaves is None else by_leaves
        if not torch.allclose(known.detach(), of_y.detach(), rtol=1e-3, atol=1e-3 * float(of_y.detach().abs().max())):
            raise NoDerivativeError(UNKNOWN)


def _require_inputs(equation: Equation, z0: Tensor, leaves: Sequence[Tensor]) -> None:
    """Require that f depends on no tensor that requires grad, but z and the leaves."""
    with torch.enable_grad():
        y = equation.value(z0.detach(), [leaf.detach() for leaf in leaves])
    if y.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(y):
        raise NoDerivativeError(TRANSFORMED.format("such a tensor"))


def require_no_outsiders(call: Call, *at: Tensor) -> None:
    """Require that f(*at), of a state of shape (batch, size), depends on nothing that may have a derivative but leaves.

    Raises
    ------
    NoDerivativeError
        If it closes over a tensor that a transform follows, or that requires grad.
    """
    with torch.no_grad(), Outsiders((*at, *call.leaves)) as seen:
        call(*at)
    for each in seen.found:
        if torch._C._functorch.is_functorch_wrapped_tensor(each):
            why = "is transformed: give it as an input"
        elif each.requires_grad:
            why = "requires grad: give it as an input, or, where it is a constant, take tensor.detach() outside of f"
        else:
            continue
        raise NoDerivativeError(TRANSFORMED.format(f"a tensor of shape {tuple(each.shape)} that {why}"))
