"""What a law test needs to know of an operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One way to call an operation.

    Attributes
    ----------
    operation : str
        Its name in `equilib.ops`.
    call : callable
        The operation as a function of the arrays it is differentiated with respect to.
    shapes : tuple
        The shapes of these arrays.
    reference : callable
        The same function on NumPy arrays, by a formula that shares no code with the operation.
    detail : str
        What is special about this case.
    domain : str
        'normal' numbers, 'positive' ones, or numbers 'apart': distinct, none within 0.02 of another or of zero.
    """

    operation: str
    call: Callable[..., Any]
    shapes: tuple[Shape, ...]
    reference: Callable[..., Any]
    detail: str = ""
    domain: str = "normal"

    def __str__(self) -> str:
        """Return the case's id in test reports."""
        return f"{self.operation}-{self.detail}" if self.detail else self.operation

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Draw float64 arguments from the domain of the operation."""
        if self.domain == "positive":
            return tuple(rng.uniform(0.5, 2.0, shape) for shape in self.shapes)
        if self.domain == "normal":
            return tuple(rng.standard_normal(shape) for shape in self.shapes)
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        grid = 0.1 * (rng.permutation(sum(sizes)) - sum(sizes) / 2 + 0.25)
        pieces = np.split(grid, np.cumsum(sizes)[:-1])
        return tuple(piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True))
