"""Warnings about solves in PyTorch: the line that they name."""

from __future__ import annotations

import pytest

from tests.embed.torch.cells import Cell, drawn, f
from tests.embed.warned import files_warned_of

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from equilib.torch import DeepEquilibrium, fixed_point, odeint  # noqa: E402


def steps(kind: str) -> None:
    """Do what a kind says, in lines that all warn."""
    weight, x = drawn()
    if kind == "a module":
        torch.nn.Sequential(DeepEquilibrium(Cell(), "picard", max_steps=2))(x)
    elif kind == "a gradient":
        fixed_point(f, torch.zeros_like(x), weight, x, adjoint="implicit:solver=picard,max_steps=1").sum().backward()
    elif kind == "a transform":
        loss = lambda x: fixed_point(f, torch.zeros_like(x), weight.detach(), x, solver="picard", max_steps=2).sum()  # noqa: E731
        torch.func.grad(loss)(x.detach())
    elif kind == "a gradient of nan":
        x = torch.cat([x, torch.full_like(x[:1], torch.nan)]).detach().requires_grad_()
        fixed_point(f, torch.zeros_like(x), weight, x, on_failure="record")[0].sum().backward()
    else:
        odeint(lambda t, y: -y, x, [0.0, 9.0], rtol=1e-9, max_steps=2)


@pytest.mark.parametrize("kind", ["a module", "a gradient", "a transform", "a gradient of nan", "odeint"])
def test_a_warning_names_the_line_of_the_user(kind: str):
    """However deep a solve is that failed, the warning is about the line outside of equilib and PyTorch."""
    named = files_warned_of(lambda: steps(kind))
    assert named
    assert set(named) == {__file__}
