"""What a forward and a backward pass cost, and that cotangents arrive once wherever they end."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

from tests.embed.torch.cells import TIGHT, drawn, f, iterated

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from equilib.torch import equilibrium, fixed_point  # noqa: E402

SLOW: dict[str, Any] = {"solver": "picard", "rtol": 1e-12, "max_steps": 300}


@pytest.mark.parametrize("criterion", ["residual", "distance"])
def test_the_product_that_certifies_w_brings_the_gradient(criterion: str):
    """Passes back through f are as many as products of the adjoint solve, wherever its samples end."""
    x, passes = torch.linspace(0.1, 2, 1 << 16).reshape(4, -1), []
    a = torch.full((1,), 0.8, requires_grad=True)

    def step(z: Any, a: Any) -> Any:
        y = torch.tanh(a * z + x)
        if y.requires_grad:
            y.register_hook(lambda _: passes.append(1))
        return y

    how: dict[str, Any] = {"solver": "picard", "criterion": criterion, "rtol": 1e-6, "max_steps": 200}
    found = equilibrium(step, torch.zeros_like(x), a, adjoint="implicit:solver=picard", **how)
    weights = torch.linspace(1, 2, 1 << 16).reshape(4, -1)
    (bar,) = torch.autograd.grad((weights * found.z).sum(), a)
    (solve,) = found.adjoints
    assert len(set(solve.steps)) > 1
    assert len(passes) == solve.nfe
    z, slope = found.z.detach(), 1 - found.z.detach() ** 2
    assert torch.allclose(bar, (weights * slope * z / (1 - 0.8 * slope)).sum(), rtol=1e-4)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", ["weight", "x", "made"])
def test_hooks_run_once(name: str, *, before: bool):
    """A hook of what f depends on sees its whole gradient once, set before or after the solve."""
    weight, x = drawn()
    made, seen = 2 * x, []
    made.retain_grad()
    tensor = {"weight": weight, "x": x, "made": made}[name]
    if before:
        tensor.register_hook(lambda g: (seen.append(g.clone()), 3 * g)[1])
    z = fixed_point(f, torch.zeros_like(x), weight, made, **SLOW)
    if not before:
        tensor.register_hook(lambda g: (seen.append(g.clone()), 3 * g)[1])
    z.sum().backward()
    other, y = drawn()
    twice = 2 * y
    plain = torch.autograd.grad(iterated(other, twice).sum(), (other, y, twice))
    (gradient,) = seen
    assert torch.allclose(gradient, dict(zip(("weight", "x", "made"), plain, strict=True))[name], rtol=1e-8)
    assert torch.allclose(weight.grad, (3 if name == "weight" else 1) * plain[0], rtol=1e-8)
    assert torch.allclose(x.grad, (1 if name == "weight" else 3) * plain[1], rtol=1e-8)
    assert torch.allclose(made.grad, (3 if name == "made" else 1) * plain[2], rtol=1e-8)


def test_inputs_may_depend_on_each_other():
    """An input that was made of another one, or of what f closes over, adds to its gradient once."""
    weight, x = drawn()

    def loss(solve: Any, weight: Any, x: Any) -> Any:
        return solve(weight, x @ weight).square().sum()

    def closed(weight: Any, made: Any) -> Any:
        again = made + 0.0
        return fixed_point(lambda z, x: f(z, weight, 0.5 * x + 0.5 * again), torch.zeros_like(made), made, **SLOW)

    def same(weight: Any, made: Any) -> Any:
        return fixed_point(lambda z, x: f(z, weight, 0.5 * x + 0.5 * made), torch.zeros_like(made), made, **SLOW)

    given = lambda weight, made: fixed_point(f, torch.zeros_like(made), weight, made, **SLOW)  # noqa: E731
    exact = torch.autograd.grad(loss(iterated, weight, x), (weight, x))
    for solve in (given, closed, same):
        found = torch.autograd.grad(loss(solve, weight, x), (weight, x))
        assert all(torch.allclose(one, other, rtol=1e-8) for one, other in zip(found, exact, strict=True))


@pytest.mark.parametrize("nested", [False, True])
def test_the_graph_goes_with_the_backward_pass(*, nested: bool):
    """What f's graph holds, with a solve in it or not, is freed by a backward pass, and kept if another may follow."""
    weight, x = drawn()
    held: list[Any] = []

    def step(z: Any, weight: Any, x: Any) -> Any:
        inner = z @ weight
        held[:] = [weakref.ref(inner)]
        moved = inner.sin() + x
        return fixed_point(lambda v: torch.tanh(0.1 * v + moved), moved.detach(), **SLOW) if nested else moved.tanh()

    z = fixed_point(step, torch.zeros_like(x), weight, x, **SLOW)
    z.sum().backward(retain_graph=True)
    first = weight.grad.clone()
    z.sum().backward()
    assert torch.allclose(weight.grad, 2 * first)
    assert held[0]() is None
    with pytest.raises(RuntimeError, match="second time"):
        z.sum().backward()


def test_what_is_not_asked_for_has_no_cotangent():
    """An input that f does not use, and one that the gradient is not asked by, get none."""
    weight, x = drawn()
    unused = torch.zeros(1, requires_grad=True)
    step = lambda z, weight, x, unused: f(z, weight, x)  # noqa: E731
    z = fixed_point(step, torch.zeros_like(x), weight, x, unused, **TIGHT)
    found = torch.autograd.grad(z.sum(), (x, unused), allow_unused=True)
    assert torch.allclose(found[0], torch.autograd.grad(iterated(weight, x).sum(), x)[0])
    assert found[1] is None
