"""Derivatives of fixed points by autograd: of all solvers and adjoints, against differences."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest

from equilib import Unrolled
from equilib.errors import NoDerivativeError
from tests.awkward_objects import AWKWARD
from tests.embed.torch.cells import F64, TIGHT, Cell, drawn, f, iterated

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402

from equilib.torch import equilibrium, fixed_point, odeint  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")

EXACT = (
    "implicit",
    "gmres",
    "ode-adjoint",
    "implicit:solver=anderson",
    "implicit:linear_solver=bicgstab",
    Unrolled(depth=80),
    Unrolled(depth=80, checkpoints=None),
)
APPROXIMATE = (
    ("lbroyden", "shine"),
    ("picard", "jacobian-free"),
    ("picard", "neumann"),
    ("picard", "phantom"),
)


def given(weight: Any, x: Any, **how: Any) -> Any:
    """Return the fixed point of f with its inputs given."""
    return fixed_point(f, torch.zeros_like(x), weight, x, **{**TIGHT, **how})


def closed(weight: Any, x: Any, **how: Any) -> Any:
    """Return the fixed point of a function that closes over a leaf and over what was computed from one."""
    injection = 0.5 * (x + x)
    return fixed_point(lambda z: f(z, weight, injection), torch.zeros_like(x), **{**TIGHT, **how})


SOLVERS = ("anderson", "auto", "broyden", "lbroyden", "newton-dense", "newton-gmres", "picard", "tsit5", "dfsane")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("layer", [given, closed])
def test_first_derivatives(layer: Callable[..., Any], solver: str):
    """Cotangents and tangents of what f is given, and of what it closes over, are those of differences."""
    weight, x = drawn(batch=1, size=2)
    assert gradcheck(lambda w, x: layer(w, x, solver=solver), (weight, x), check_forward_ad=True)


@pytest.mark.parametrize("adjoint", EXACT, ids=str)
@pytest.mark.parametrize("layer", [given, closed])
def test_second_derivatives(layer: Callable[..., Any], adjoint: Any):
    """Every exact adjoint has second derivatives, through closures as well."""
    weight, x = drawn(batch=1, size=2)
    assert gradgradcheck(lambda w, x: layer(w, x, adjoint=adjoint), (weight, x))


def test_steps_taken_back_have_second_derivatives():
    """The gradient of `revdeq` is that of its steps, and so is the second one."""
    weight, x = drawn(batch=1, size=2)
    layer = lambda w, x: given(w, x, solver="revdeq")  # noqa: E731
    assert gradcheck(layer, (weight, x))
    assert gradgradcheck(layer, (weight, x))


@pytest.mark.parametrize(("solver", "adjoint"), APPROXIMATE)
def test_approximate_adjoints_are_those_of_numpy(solver: str, adjoint: str):
    """One linearization gives the same cotangents whether it goes into f's graph or is asked for each input."""
    weight, x = drawn()
    direct = torch.autograd.grad(closed(weight, x, solver=solver, adjoint=adjoint, rtol=1e-8).sum(), weight)
    how = {"solver": solver, "adjoint": adjoint, "rtol": 1e-8}
    again = torch.autograd.grad(given(weight, x, **how).sum(), weight, create_graph=True)
    assert torch.allclose(direct[0], again[0], rtol=1e-10)
    with pytest.raises(NoDerivativeError, match="first derivatives in reverse mode only"):
        torch.autograd.grad(again[0].sum(), x)


@pytest.mark.parametrize("layer", [given, closed])
def test_orders_of_both_modes_mix(layer: Callable[..., Any]):
    """Forward over reverse and reverse over forward are those of iterations, with a graph or without."""
    weight, x = drawn()

    def forward_over_reverse(layer: Callable[..., Any]) -> Any:
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(weight, torch.ones_like(weight))
            (bar,) = torch.autograd.grad(layer(dual, x).pow(2).sum(), dual)
            return forward_ad.unpack_dual(bar).tangent

    def reverse_over_forward(layer: Callable[..., Any]) -> Any:
        with forward_ad.dual_level():
            z = layer(forward_ad.make_dual(weight, torch.ones_like(weight)), x)
            tangent = forward_ad.unpack_dual(z).tangent
        return torch.autograd.grad(tangent.pow(2).sum(), weight)[0]

    for mode in (forward_over_reverse, reverse_over_forward):
        assert torch.allclose(mode(layer), mode(iterated), rtol=1e-9)


def test_third_derivatives():
    """Derivatives of any order follow from the same two equations."""
    a = torch.tensor([[0.3]], dtype=F64, requires_grad=True)

    def third(layer: Callable[..., Any]) -> float:
        y = layer(a, torch.full((1, 1), 0.5, dtype=F64)).sum()
        for _ in range(3):
            (y,) = torch.autograd.grad(y.sum(), a, create_graph=True)
        return y.item()

    assert third(given) == pytest.approx(third(iterated), rel=1e-9)


def test_parameters_of_a_module():
    """The parameters of a module have derivatives of any order without being named."""
    cell, (_, x) = Cell(), drawn(grad=False)

    def penalty(z: Any) -> Any:
        bars = torch.autograd.grad(z.pow(2).sum(), list(cell.parameters()), create_graph=True)
        return torch.autograd.grad(sum(bar.pow(2).sum() for bar in bars), list(cell.parameters()))

    z = torch.zeros_like(x)
    for _ in range(80):
        z = cell(z, x)
    expected = penalty(z)
    for found in (
        penalty(fixed_point(cell, torch.zeros_like(x), x, **TIGHT)),
        penalty(fixed_point(lambda z: cell(z, x), torch.zeros_like(x), **TIGHT)),
    ):
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-8)


def closing(weight: Any, x: Any, kind: str) -> Any:
    """Return `f` as an object of a class whose methods close over what is computed of the weight and of x."""
    twice, shifted = 2 * weight, x + 0.0
    base = torch.nn.Module if kind == "module" else object

    class Closing(base):  # type: ignore[misc, valid-type]
        def product(self, z: Any) -> Any:
            return z @ (twice / 2)

        def forward(self, z: Any) -> Any:
            return torch.tanh(self.product(z) + shifted)

    if kind == "callable":
        Closing.__call__ = Closing.forward  # type: ignore[attr-defined]
    return Closing()


@pytest.mark.parametrize("kind", ["module", "callable"])
def test_methods_of_an_object_may_close_over_tensors(kind: str):
    """What is found of a function is found of a module's forward, of an object that is called, and of their methods."""
    found = lambda w, x: fixed_point(closing(w, x, kind), torch.zeros_like(x), **TIGHT)  # noqa: E731
    weight, x = drawn()
    seconds = []
    for solve in (found, iterated):
        (first,) = torch.autograd.grad(solve(weight, x).pow(2).sum(), weight, create_graph=True)
        seconds.append(torch.autograd.grad(first.pow(2).sum(), (weight, x)))
    assert all(torch.allclose(one, other) for one, other in zip(*seconds, strict=True))


def test_what_is_not_found_is_refused():
    """A tensor that f hides where nobody looks has its first derivative, and no wrong second one."""
    weight, x = drawn()
    hidden = weight * 1.0
    elsewhere = weakref.ref(hidden)
    layer = lambda z: f(z, elsewhere(), x)  # noqa: E731
    z = fixed_point(layer, torch.zeros_like(x), **TIGHT)
    (bar,) = torch.autograd.grad(z.sum(), weight, retain_graph=True)
    assert torch.allclose(bar, torch.autograd.grad(iterated(weight, x).sum(), weight)[0])
    with pytest.raises(NoDerivativeError, match="give it as an input"):
        torch.autograd.grad(z.sum(), weight, create_graph=True)


@pytest.mark.parametrize("kind", AWKWARD, ids=lambda each: each.__name__)
def test_objects_may_raise_or_answer_anything_for_an_attribute(kind: Any):
    """A tensor is found in an object that does not answer as objects do, for second derivatives too."""
    weight, x = drawn()

    def layer(weight: Any) -> Any:
        held = kind(weight=1.0 * weight)
        return fixed_point(lambda z: f(z, held.weight, x.detach()), torch.zeros_like(x), **TIGHT)

    assert gradgradcheck(layer, (weight,))


def test_equilibria_inside_of_equilibria():
    """A solve inside of f is differentiated to any order, whatever f closes over, where it is given its inputs."""
    weight, x = drawn(batch=1, size=2)
    nest = lambda w, x: fixed_point(lambda z: 0.5 * given(w, 0.5 * z + x), torch.zeros_like(x), **TIGHT)  # noqa: E731
    assert gradcheck(nest, (weight, x))
    assert gradgradcheck(nest, (weight, x))


def rested(z: torch.Tensor) -> torch.Tensor:
    """Return the fixed point of a map that closes over z, and over nothing else that requires grad."""
    return fixed_point(lambda v: 0.3 * torch.tanh(v) + 0.4 * z, torch.zeros_like(z), **TIGHT)


def linked(z: torch.Tensor) -> torch.Tensor:
    """Return the same of a map that closes over what is made of z."""
    made = 0.4 * z
    return fixed_point(lambda v: 0.3 * torch.tanh(v) + made, torch.zeros_like(z), **TIGHT)


def moved(z: torch.Tensor) -> torch.Tensor:
    """Return where the flow of such a map is at time 1."""
    return odeint(lambda t, y: torch.tanh(0.4 * z - y), torch.zeros_like(z), (0.0, 1.0), rtol=1e-8, atol=1e-10)[-1]


@pytest.mark.parametrize(
    ("inner", "solver"), [(rested, "picard"), (rested, "newton-gmres"), (linked, "picard"), (moved, "picard")]
)
def test_a_solve_inside_that_depends_on_the_state_alone(inner: Any, solver: str):
    """What f solves for may hold nothing that requires grad but z, which is a leaf of the graph of f then."""
    weight, x = drawn(batch=1, size=2)
    options = {**TIGHT, "solver": solver}
    nest = lambda w, x: fixed_point(lambda z: torch.tanh(inner(z) @ w + x), torch.zeros_like(x), **options)  # noqa: E731
    assert gradcheck(nest, (weight, x))
    assert inner is moved or gradgradcheck(nest, (weight, x))
    assert not nest(weight.detach(), x.detach()).requires_grad


def test_cotangents_in_the_older_batches_are_refused():
    """`is_grads_batched`, which has no rules, is refused by a sentence that says what has."""
    weight, x = drawn()
    z = given(weight, x)
    with pytest.raises(NoDerivativeError, match=r"take torch\.func\.jacrev"):
        torch.autograd.grad(z, weight, torch.ones(2, *z.shape, dtype=F64), is_grads_batched=True)


def test_the_start_has_no_influence():
    """The cotangent of the initial guess is zero, but of a loop that is differentiated itself."""
    weight, x = drawn(grad=False)
    start = torch.zeros_like(x).requires_grad_()
    implicit = torch.autograd.grad(fixed_point(f, start, weight, x, **TIGHT).sum(), start)[0]
    assert not implicit.any()
    unrolled = fixed_point(f, start, weight, x, adjoint=Unrolled(depth=2), max_steps=2, on_failure="record")
    assert torch.autograd.grad(unrolled.sum(), start)[0].all()


def test_samples_without_a_cotangent_add_nothing():
    """A sample that the loss leaves out may hold nan, where the inputs that have the batch axis are declared."""
    weight, x = drawn()
    with torch.no_grad():
        x[1] = float("nan")
    how = {**TIGHT, "batched_inputs": (False, True), "on_failure": "record"}
    fixed_point(f, torch.zeros_like(x), weight, x, **how)[0].sum().backward()
    assert weight.grad.isfinite().all()
    alone = torch.autograd.grad(given(weight, x[:1]).sum(), weight)[0]
    assert torch.allclose(weight.grad, alone)


def test_changes_in_place_are_seen():
    """A weight that is changed between the passes is an error, as everywhere in PyTorch; a result may be changed."""
    weight, x = drawn()
    z = given(weight, x)
    z.relu_()
    z.sum().backward()
    z = given(weight, x)
    with torch.no_grad():
        weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_what_depends_on_nothing_has_no_graph():
    """Without anything to be differentiated, or without grad mode, the fixed point is a plain tensor."""
    weight, x = drawn(grad=False)
    assert not given(weight, x).requires_grad
    with torch.no_grad():
        assert not given(*drawn()).requires_grad


def test_the_last_linearization_is_used_again():
    """Newton's method ends where f was linearized, so that the graph costs no evaluation."""
    weight, x = drawn()
    calls = []
    found = equilibrium(lambda z: (calls.append(1), f(z, weight, x))[1], torch.zeros_like(x), **TIGHT)
    assert len(calls) == found.solution.nfe
    found.z.sum().backward()
    assert len(calls) == found.solution.nfe
    assert len(found.adjoints) == 1


@pytest.mark.parametrize("solver", ["picard", "anderson", "newton-gmres"])
def test_the_last_evaluation_of_a_large_state_has_the_graph(solver: str):
    """Where f costs more than its graph, no evaluation is made for the graph alone."""
    x, calls = torch.linspace(0, 1, 1 << 16)[None], []
    a = torch.full((1,), 0.5, requires_grad=True)

    def step(z: Any, a: Any) -> Any:
        calls.append(1)
        return torch.tanh(a * z + x)

    found = equilibrium(step, torch.zeros_like(x), a, solver=solver, rtol=1e-5, criterion="residual")
    assert len(calls) == found.solution.nfe
    slope = 1 - found.z.detach() ** 2
    exact = (slope * found.z.detach() / (1 - 0.5 * slope)).sum()
    assert torch.allclose(torch.autograd.grad(found.z.sum(), a)[0], exact, rtol=1e-4)
