"""A cell whose state has another size than what is injected."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.arrays import Array, Tree, array_namespace
from equilib.autodiff import static_value
from equilib.models import InjectedCell


@dataclass(frozen=True)
class SizedCell(InjectedCell):
    """after(recur(z) + inject(x)) with a state of `size` numbers, whatever the size of the injection."""

    size: int = 1

    def zeros(self, params: Tree, u: Array) -> Array:
        """Return zeros, shape (batch, size)."""
        value = static_value(u)
        shape = (value.shape[0], self.size)
        return array_namespace(value).zeros(shape, dtype=value.dtype, device=getattr(value, "device", None))
