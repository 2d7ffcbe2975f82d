"""Initial value problems in PyTorch: values, derivatives by every adjoint, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from equilib.errors import NoDerivativeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from equilib.torch import evolve, odeint  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")

F64 = torch.float64
TIMES = (0.0, 0.3, 0.8)
FINE: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-8}
STEPS: dict[str, Any] = {"integrator": "rk4:steps=4", "adjoint": "discrete"}


def slope(t: Any, y: Any, weight: Any) -> Any:
    """Return tanh(y W) cos t."""
    return torch.tanh(y @ weight) * torch.cos(t)


def drawn() -> tuple[Any, Any]:
    """Return a weight and an initial value."""
    generator = torch.Generator().manual_seed(1)
    weight, y0 = (torch.randn(n, 2, dtype=F64, generator=generator) for n in (2, 1))
    return weight.requires_grad_(), y0.requires_grad_()


@pytest.mark.parametrize("adjoint", ["interpolating", "gauss", "backsolve", "discrete"])
def test_first_derivatives(adjoint: str):
    """Each adjoint gives the cotangents of y0 and of the inputs, and of what f closes over."""
    given = lambda w, y: odeint(slope, y, TIMES, w, adjoint=adjoint, **FINE)  # noqa: E731
    assert gradcheck(given, drawn(), atol=1e-4)
    weight, y0 = drawn()
    doubled = 2 * weight
    closed = odeint(lambda t, y: slope(t, y, doubled), y0, TIMES, adjoint=adjoint, **FINE)
    bars = torch.autograd.grad(closed.sum(), (weight, y0))
    expected = torch.autograd.grad(odeint(slope, y0, TIMES, 2 * weight, adjoint=adjoint, **FINE).sum(), (weight, y0))
    assert all(torch.allclose(one, other) for one, other in zip(bars, expected, strict=True))


@pytest.mark.parametrize("integrator", ["bdf", "kencarp47", "tsit5"])
def test_what_f_closes_over_is_differentiated_by_every_integrator(integrator: str):
    """Implicit steps differentiate f by the state alone, whatever else it depends on, and without a graph too."""
    weight, y0 = drawn()
    doubled, how = 2 * weight, {"integrator": integrator, "rtol": 1e-6, "atol": 1e-6}
    closed = lambda: odeint(lambda t, y: slope(t, y, doubled), y0, TIMES, **how)  # noqa: E731
    given = odeint(slope, y0, TIMES, doubled, **how)
    bars, expected = (torch.autograd.grad(each.sum(), (weight, y0), retain_graph=True) for each in (closed(), given))
    assert all(torch.allclose(one, other) for one, other in zip(bars, expected, strict=True))
    with torch.no_grad():
        assert torch.equal(closed(), given)


def test_times_are_differentiable():
    """Output times have derivatives, of the first order."""
    weight, y0 = (each.detach() for each in drawn())
    t = torch.tensor(TIMES, dtype=F64, requires_grad=True)
    assert gradcheck(lambda t: odeint(slope, y0, t, weight, **FINE), (t,), atol=1e-4)


def test_the_discrete_adjoint_has_every_derivative():
    """Second derivatives, forward mode and `torch.func` are those of the steps."""
    layer = lambda w, y: odeint(slope, y, TIMES, w, **STEPS)  # noqa: E731
    assert gradcheck(layer, drawn(), check_forward_ad=True)
    assert gradgradcheck(layer, drawn())
    weight, y0 = drawn()
    mapped = torch.func.grad(lambda w: layer(w, y0.detach()).sum())(weight.detach())
    assert torch.allclose(mapped, torch.autograd.grad(layer(weight, y0).sum(), weight)[0])


@pytest.mark.parametrize("integrator", ["kencarp47", "bdf"])
def test_steps_of_implicit_integrators_have_first_derivatives_in_reverse_mode(integrator: str):
    """The others are refused, by the adjoint and the way out, whoever asks for them."""
    weight, y0 = drawn()
    layer = lambda w: odeint(slope, y0.detach(), TIMES, w, integrator=integrator, adjoint="discrete", rtol=1e-6)  # noqa: E731
    (bar,) = torch.autograd.grad(layer(weight).sum(), weight)
    (near,) = torch.autograd.grad(odeint(slope, y0, TIMES, weight, **FINE).sum(), weight)
    assert torch.allclose(bar, near, rtol=1e-3)
    refused = "by the adjoint discrete, follow none: differentiate once, by torch.autograd; or take an integ"
    with pytest.raises(NoDerivativeError, match=refused):
        torch.autograd.grad(layer(weight).sum(), weight, create_graph=True)
    for asked in (lambda: torch.func.jacrev(layer), lambda: torch.func.jacfwd(layer)):
        with pytest.raises(NoDerivativeError, match=refused):
            asked()(weight.detach())


def test_jacobians_of_integrations():
    """`jacrev` and `jacfwd` agree, and a row of them is the gradient by autograd."""
    weight, y0 = drawn()
    layer = lambda w, y: odeint(slope, y, TIMES, w, **STEPS)  # noqa: E731
    backward, forward = (way(layer)(weight.detach(), y0.detach()) for way in (torch.func.jacrev, torch.func.jacfwd))
    assert torch.allclose(backward, forward)
    assert torch.allclose(backward[-1, 0, 1], torch.autograd.grad(layer(weight, y0)[-1, 0, 1], weight)[0])


def test_maps_over_integrations():
    """`vmap` integrates side by side what is mapped; a derivative by the steps is taken around it, not inside of it."""
    weight, y0 = (each.detach() for each in drawn())
    layer = lambda w, y: odeint(slope, y, TIMES, w, **STEPS)  # noqa: E731
    weights, starts = torch.stack([weight, 0.5 * weight, -weight]), torch.stack([y0, y0 + 1, 2 * y0])
    each = lambda ws, ys: torch.stack([layer(w, y) for w, y in zip(ws, ys, strict=True)])  # noqa: E731
    assert torch.allclose(torch.func.vmap(layer)(weights, starts), each(weights, starts))
    assert torch.allclose(torch.func.vmap(layer, (None, 1))(weight, starts.transpose(0, 1)), each([weight] * 3, starts))
    found = torch.func.grad(lambda w: torch.func.vmap(layer, (None, 0))(w, starts).pow(2).sum())(weight)
    assert torch.allclose(found, torch.func.grad(lambda w: each([w] * 3, starts).pow(2).sum())(weight))
    with pytest.raises(NoDerivativeError, match=r"by the adjoint Discrete: .* 'interpolating', .* as in grad of vmap"):
        torch.func.vmap(torch.func.grad(lambda w, y: layer(w, y).sum()))(weights, starts)
    with pytest.raises(NoDerivativeError, match="per_sample=True"):
        torch.func.vmap(lambda t: odeint(slope, y0, t, weight))(torch.tensor([TIMES, TIMES]))
    t = torch.tensor([[0.0], [1.0]], dtype=F64)
    own = torch.func.vmap(lambda y: odeint(slope, y, t, weight, per_sample=True, integrator="rk4:steps=4"))(starts)
    assert torch.allclose(own[2], odeint(slope, starts[2], (0.0, 1.0), weight, integrator="rk4:steps=4"))


@pytest.mark.parametrize("adjoint", ["interpolating", "gauss", "backsolve"])
def test_gradients_are_mapped(adjoint: str):
    """`vmap` of `grad` and of `jacrev` are the derivatives one by one, by what is mapped and by what lanes share."""
    weight, y0 = (each.detach() for each in drawn())
    layer = lambda w, y: odeint(slope, y, TIMES, w, adjoint=adjoint, integrator="rk4:steps=8")  # noqa: E731
    bars = torch.func.grad(lambda w, y: layer(w, y).pow(2).sum(), (0, 1))
    weights, starts = torch.stack([weight, 0.5 * weight]), torch.stack([y0, y0 + 1])
    for axes in ((0, 0), (None, 0), (0, None)):
        given = weights if axes[0] == 0 else weight, starts if axes[1] == 0 else y0
        lanes = [[each[n] if axis == 0 else each for each, axis in zip(given, axes, strict=True)] for n in (0, 1)]
        for found, *each in zip(torch.func.vmap(bars, axes)(*given), *(bars(*lane) for lane in lanes), strict=True):
            assert torch.allclose(found, torch.stack(each), rtol=1e-8)
    rows = torch.func.jacrev(layer)(weight, y0)
    assert torch.allclose(rows, torch.autograd.functional.jacobian(lambda w: layer(w, y0), weight), rtol=1e-8)
    both = torch.func.vmap(torch.func.jacrev(layer))(weights, starts)
    assert torch.allclose(both[1], torch.func.jacrev(layer)(weights[1], starts[1]), rtol=1e-8)
    timed = torch.func.grad(lambda t, y: odeint(slope, y, t, weight, adjoint=adjoint).sum())
    with pytest.raises(NoDerivativeError, match="inside of vmap output times"):
        torch.func.vmap(timed, (None, 0))(torch.tensor(TIMES, dtype=F64), starts)


def test_output_times_have_first_derivatives_in_reverse_only():
    """By output times the discrete adjoint, which has every other derivative, refuses tangents and second ones."""
    weight, y0 = (each.detach() for each in drawn())
    times = torch.tensor(TIMES, dtype=F64, requires_grad=True)

    def last(t: Any) -> Any:
        return odeint(slope, y0, t, weight, adjoint="discrete")[-1].sum()

    assert torch.autograd.grad(last(times), times)[0][-1] != 0
    with pytest.raises(NoDerivativeError, match="output times have first derivatives in reverse mode only"):
        torch.autograd.grad(last(times), times, create_graph=True)
    with pytest.raises(NoDerivativeError, match="output times have first derivatives in reverse mode only"):
        torch.func.jvp(last, (times.detach(),), (torch.ones_like(times),))


def test_other_adjoints_refuse_further_derivatives():
    """An adjoint that integrates backward has first derivatives only, and says so."""
    weight, y0 = drawn()
    (bar,) = torch.autograd.grad(odeint(slope, y0, TIMES, weight).sum(), weight, create_graph=True)
    with pytest.raises(NoDerivativeError, match="take the adjoint discrete"):
        torch.autograd.grad(bar.sum(), weight)
    with pytest.raises(NoDerivativeError, match="take the adjoint discrete"):
        torch.func.jvp(lambda w: odeint(slope, y0, TIMES, w), (weight,), (weight,))


def test_trees_modules_and_records():
    """A state may be a tree, f a module, one system without a batch; `evolve` returns the record."""

    class Field(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)

        def forward(self, t: Any, y: Any) -> Any:
            return {"a": torch.tanh(self.linear(y["a"])), "b": -t * y["b"]}

    field = Field()
    found = evolve(field, {"a": torch.ones(3, 2), "b": torch.ones(3, 1, 2)}, torch.tensor([0.0, 1.0]))
    found.y["a"][-1].sum().backward()
    assert field.linear.weight.grad.any()
    assert (found.y["b"].shape, found.solution.success, len(found.adjoints)) == ((2, 3, 1, 2), True, 1)
    assert torch.allclose(found.y["b"][-1], torch.full((3, 1, 2), -0.5).exp(), rtol=1e-2)
    alone = odeint(lambda t, y: -y, torch.ones(2, dtype=F64), (0, 1), batched=False, **FINE)
    assert torch.allclose(alone[-1], torch.full((2,), -1.0, dtype=F64).exp(), rtol=1e-6)


def test_jumps_and_samples_of_their_own():
    """Steps end at stops; with `per_sample` each sample has its own times."""
    weight, y0 = drawn()
    jumping = lambda t, y, w: torch.where(t < 0.5, 1.0, 2.0) * slope(t, y, w)  # noqa: E731
    assert gradcheck(lambda w, y: odeint(jumping, y, TIMES, w, stops=(0.5,), **FINE), (weight, y0), atol=1e-4)
    t = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=F64)
    both = torch.cat([y0, y0]).detach()
    y = odeint(slope, both, t, weight.detach(), per_sample=True, **FINE)
    one = odeint(slope, both[:1], (0.0, 2.0), weight.detach(), **FINE)
    assert torch.allclose(y[-1, 1], one[-1, 0], rtol=1e-6)
