"""Maps and modules that the laws of PyTorch's front are tried on."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

F64 = torch.float64
TIGHT: dict[str, Any] = {"solver": "newton-gmres", "rtol": 1e-13, "max_steps": 300}
"""A solve to rounding."""


def drawn(batch: int = 2, size: int = 3, *, grad: bool = True) -> tuple[Any, Any]:
    """Return a weight of norm 0.6 and an injection in float64."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(size, size, dtype=F64, generator=generator)
    weight *= 0.6 / torch.linalg.matrix_norm(weight, 2)
    x = torch.randn(batch, size, dtype=F64, generator=generator)
    return weight.requires_grad_(grad), x.requires_grad_(grad)


def f(z: Any, weight: Any, x: Any) -> Any:
    """Return tanh(z W + x)."""
    return torch.tanh(z @ weight + x)


def iterated(weight: Any, x: Any, *, depth: int = 80) -> Any:
    """Return the fixed point of `f` by iterations whose graph PyTorch keeps: the reference."""
    z = torch.zeros_like(x)
    for _ in range(depth):
        z = f(z, weight, x)
    return z


class Cell(torch.nn.Module):  # type: ignore[misc, name-defined]
    """z ↦ tanh(A z + x), with A a linear layer of norm 0.5."""

    def __init__(self, size: int = 3, dtype: Any = F64) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.linear = torch.nn.Linear(size, size, dtype=dtype)
        with torch.no_grad():
            self.linear.weight *= 0.5 / torch.linalg.matrix_norm(self.linear.weight, 2)

    def forward(self, z: Any, x: Any) -> Any:
        """Return the next state."""
        return torch.tanh(self.linear(z) + x)
