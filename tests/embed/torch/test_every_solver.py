"""Derivatives with every installed solver and every exact adjoint, of the first and the second order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.embed.every import INTEGRATORS, SOLVERS, exact
from tests.embed.torch.cells import Cell, drawn, f, iterated

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from equilib.torch import fixed_point, odeint  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")

RTOL = 1e-9


def layer(weight: Any, x: Any, solver: str, adjoint: str) -> Any:
    """Return the fixed point of f, to nearly all digits that every method reaches."""
    return fixed_point(f, torch.zeros_like(x), weight, x, solver=solver, adjoint=adjoint, rtol=RTOL, max_steps=500)


def derivatives(z: Any, weight: Any, x: Any) -> list[Any]:
    """Return the first derivatives of a loss of z, and the second ones of these."""
    first = torch.autograd.grad(z.pow(2).sum(), (weight, x), create_graph=True)
    return [*first, *torch.autograd.grad(sum(each.pow(2).sum() for each in first), (weight, x))]


@pytest.mark.parametrize("solver", SOLVERS)
def test_derivatives_are_those_of_iterations(solver: str):
    """First and second derivatives do not depend on how z is found and differentiated."""
    weight, x = drawn(batch=1, size=2)
    expected = derivatives(iterated(weight, x), weight, x)
    for adjoint in exact(solver):
        found = derivatives(layer(weight, x, solver, adjoint), weight, x)
        for ours, other in zip(found, expected, strict=True):
            assert torch.allclose(ours, other, rtol=1e-5, atol=1e-7), adjoint


HALF = torch.bfloat16
"""A type that NumPy does not have: what libraries compute on the host comes back in it."""


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_gives_f_the_dtype_of_z0(solver: str):
    """In bfloat16 f is evaluated and differentiated in that of the state."""
    cell, x = Cell().to(HALF), torch.ones(2, 3, dtype=HALF)
    z = fixed_point(cell, torch.zeros_like(x), x, solver=solver, rtol=5e-2, atol=2e-2)
    z.sum().backward()
    assert z.dtype == cell.linear.weight.grad.dtype == HALF
    assert torch.allclose(z, cell(z, x), atol=0.1)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_every_integrator_gives_f_the_dtype_of_y0(integrator: str):
    """As solvers do, in output times too."""
    cell, y0, t = Cell().to(HALF), torch.ones(2, 3, dtype=HALF), torch.tensor([0.0, 1.0], dtype=HALF)
    y = odeint(lambda t, y: cell(y, y0) - y, y0, t.requires_grad_(), integrator=integrator, rtol=5e-2, atol=2e-2)
    y[-1].sum().backward()
    assert y.dtype == cell.linear.weight.grad.dtype == t.grad.dtype == HALF


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_gradcheck_and_gradgradcheck(solver: str):
    """PyTorch's own checks, of reverse and forward mode and of the second order, pass for every exact adjoint."""
    weight, x = drawn(batch=1, size=2)
    how: dict[str, Any] = {"eps": 1e-3, "atol": 1e-4, "fast_mode": True}
    for adjoint in exact(solver):
        forward = adjoint != "reversible"  # it takes back steps
        assert gradcheck(lambda w, x, a=adjoint: layer(w, x, solver, a), (weight, x), check_forward_ad=forward, **how)
        assert gradgradcheck(lambda w, x, a=adjoint: layer(w, x, solver, a), (weight, x), **how)
