"""The functions of NumPy's front, given tensors that PyTorch follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import equilib
from equilib import FixedPointProblem

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script", "ignore:torch.asarray. unspecified requires_grad")

Z0, TIMES = torch.zeros(2, 3), torch.tensor([0.0, 1.0])
WEIGHT = torch.tensor(0.5, requires_grad=True)


def f(z: Any, weight: Any) -> Any:
    """Return w cos z."""
    return weight * torch.cos(z)


USES: dict[str, Callable[[], Any]] = {
    "a closure": lambda: equilib.fixed_point(lambda z: f(z, WEIGHT), Z0, solver="picard"),
    "a closure, linearized": lambda: equilib.fixed_point(
        lambda z: WEIGHT * equilib.ops.cos(z), Z0, solver="newton-gmres"
    ),
    "an input": lambda: equilib.fixed_point(f, Z0, WEIGHT, solver="picard"),
    "z0": lambda: equilib.fixed_point(lambda z: 0.5 * torch.cos(z), Z0.clone().requires_grad_(), solver="picard"),
    "solve": lambda: equilib.solve(FixedPointProblem(lambda z: f(z, WEIGHT)), "picard", Z0).z,
    "odeint": lambda: equilib.odeint(lambda t, y: f(y, WEIGHT), Z0, TIMES),
    "times": lambda: equilib.odeint(lambda t, y: torch.cos(y), Z0, TIMES.clone().requires_grad_()),
}


@pytest.mark.parametrize("use", USES)
def test_what_requires_grad_is_refused_where_a_graph_is_made(use: str):
    """It would be differentiated through every step, or not at all; without a graph there is a solution."""
    with pytest.raises(TypeError, match=r"requires grad, .*: take equilib\.torch\.fixed_point or .*torch\.no_grad\(\)"):
        USES[use]()
    with torch.no_grad():
        assert torch.isfinite(USES[use]()).all()


@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp"])
def test_what_is_transformed_is_refused(transform: str):
    """`torch.func` has its derivatives from `equilib.torch`."""

    def total(weight: Any) -> Any:
        return equilib.fixed_point(lambda z: f(z, weight), Z0, solver="picard").sum()

    plain = WEIGHT.detach()
    calls = {
        "grad": lambda: torch.func.grad(total)(plain),
        "vmap": lambda: torch.func.vmap(total)(plain[None]),
        "jvp": lambda: torch.func.jvp(total, (plain,), (plain,)),
    }
    with pytest.raises(TypeError, match=r"is transformed by torch\.func: take equilib\.torch\.fixed_point"):
        calls[transform]()
