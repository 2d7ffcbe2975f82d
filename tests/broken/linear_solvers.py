"""Linear solvers that break one law each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equilib.arrays import array_namespace, coefficients, host_norm, rows_like, samples_as_rows, where_samples
from equilib.numerics.gmres import GMRES
from equilib_linear_solvers.library import LibraryGMRES
from tests.broken.fault import Fault, laws

Array = Any


@dataclass(frozen=True)
class Sound:
    """GMRES for each sample, to be broken."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        return GMRES().solve(matvec, b, rtol=rtol, active=active)


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    solve = Sound.solve


@dataclass(frozen=True)
class HoldingALambda(Sound):
    """A function made inside another, on the linear solver."""

    precondition: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "precondition", lambda v: v)


@dataclass(frozen=True)
class Identity(Sound):
    """The right-hand side for the solution."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Return b where it is finite."""
        return where_samples(active & np.isfinite(host_norm(b)), b, array_namespace(b).zeros_like(b))


@dataclass(frozen=True)
class Negated(Sound):
    """The sign of A x + b."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = −b."""
        return super().solve(matvec, -b, rtol=rtol, active=active)


@dataclass(frozen=True)
class Loose(Sound):
    """A tolerance that is ten times as large."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        return super().solve(matvec, b, rtol=10 * rtol, active=active)


@dataclass(frozen=True)
class Thorough(Sound):
    """A tolerance of its own."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b to the last digits."""
        return super().solve(matvec, b, rtol=np.full(rtol.shape, 1e-12), active=active)


@dataclass(frozen=True)
class FirstTolerance(Sound):
    """The first sample's tolerance for all."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        return super().solve(matvec, b, rtol=np.full(rtol.shape, rtol[:1].max(initial=0.0)), active=active)


@dataclass(frozen=True)
class Absolute(Sound):
    """A tolerance that is not relative to b where b is small."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        size = host_norm(b)
        relative = np.where(size < 1e-8, 1.0, rtol)
        return super().solve(matvec, b, rtol=relative, active=active)


@dataclass(frozen=True)
class ReturningB(Sound):
    """The right-hand side where nothing is asked."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b for those that are active."""
        return where_samples(active, super().solve(matvec, b, rtol=rtol, active=active), b)


@dataclass(frozen=True)
class SummingUp(Sound):
    """A sum over the batch, which nan spoils."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        return super().solve(matvec, b + 0 * array_namespace(b).sum(b), rtol=rtol, active=active)


@dataclass(frozen=True)
class Raising(Sound):
    """An exception where the residual stays."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b, or else."""
        x = super().solve(matvec, b, rtol=rtol, active=active)
        if np.any(host_norm(b - matvec(x))[active] > 0.5 * host_norm(b)[active]):
            raise np.linalg.LinAlgError("singular matrix")
        return x


@dataclass(frozen=True)
class Dividing(Sound):
    """A quotient by a product that may be zero."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b, and add nothing of a first step of length ‖b‖ / ‖A b‖."""
        x, size = super().solve(matvec, b, rtol=rtol, active=active), host_norm(b)
        with np.errstate(all="ignore"):
            length = size / host_norm(matvec(b))
        length = np.where(active & np.isfinite(size) & (size > 0), length, 0.0)
        return x + 0 * rows_like(coefficients(length, x), x)


@dataclass(frozen=True)
class StaleResidual(Sound):
    """The residual of x = 0."""

    def solve_with_residual(
        self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray
    ) -> tuple[Array, Array]:
        """Solve A x = b, and return b beside x."""
        return self.solve(matvec, b, rtol=rtol, active=active), b


@dataclass(frozen=True)
class Flattening(Sound):
    """Rows, whatever the shape of b."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        x = super().solve(matvec, b, rtol=rtol, active=active)
        return samples_as_rows(x) if type(x) is np.ndarray and x.ndim > 2 else x


@dataclass(frozen=True)
class Widening(Sound):
    """A solution in float64."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        xp = array_namespace(b)
        return xp.astype(super().solve(matvec, b, rtol=rtol, active=active), xp.float64)


@dataclass(frozen=True)
class CouplingFrom(Sound):
    """One tolerance for all in a large batch, the smallest."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        return super().solve(matvec, b, rtol=rtol if len(rtol) < 64 else 0.1 * rtol, active=active)


@dataclass(frozen=True)
class Remembering(Sound):
    """The last solution for a start."""

    last: list[Array] = field(default_factory=list, repr=False, compare=False)

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b from where the last solve ended."""
        start = self.last.pop() if self.last and self.last[-1].shape == b.shape else 0 * b
        x = start + super().solve(matvec, b - matvec(start), rtol=rtol, active=active)
        self.last.append(x)
        return x


@dataclass(frozen=True)
class OverB(Sound):
    """A right-hand side that is overwritten by its residual."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        x = super().solve(matvec, b, rtol=rtol, active=active)
        if type(b) is np.ndarray and b.dtype == np.float64:
            b -= matvec(x)
        return x


@dataclass(frozen=True)
class Deactivating(Sound):
    """A note in the caller's array of samples that are done."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        x = super().solve(matvec, b, rtol=rtol, active=active)
        active[:] = False
        return x


@dataclass(frozen=True)
class NumPyOnly(Sound):
    """NumPy's functions on whatever comes."""

    def solve(self, matvec: Any, b: Array, *, rtol: np.ndarray, active: np.ndarray) -> Array:
        """Solve A x = b."""
        return super().solve(matvec, np.multiply(b, 1.0), rtol=rtol, active=active)


RESIDUAL = "reduces_the_residual_as_asked"
ZEROS = "returns_zeros_where_nothing_is_asked"
SEPARATE = "treats_samples_separately"
ITSELF = "keeps_nothing_on_itself"

FAULTS = (
    Fault(NotFrozen(), "declares_its_options"),
    Fault(HoldingALambda(), "goes_to_other_processes"),
    Fault(Identity(), RESIDUAL),
    Fault(Negated(), RESIDUAL),
    Fault(Loose(), RESIDUAL),
    Fault(Thorough(), RESIDUAL),
    Fault(FirstTolerance(), RESIDUAL),
    Fault(Absolute(), "does_not_depend_on_units"),
    Fault(ReturningB(), ZEROS),
    Fault(SummingUp(), ZEROS),
    Fault(Raising(), "returns_where_there_is_no_solution"),
    Fault(Dividing(), "returns_where_there_is_no_solution"),
    Fault(StaleResidual(), "knows_its_residual"),
    Fault(Flattening(), "keeps_shapes_and_dtypes", laws(RESIDUAL)),
    Fault(Widening(), "keeps_shapes_and_dtypes"),
    Fault(LibraryGMRES(), SEPARATE, laws(ZEROS), declared={"backends": ("numpy",)}),
    Fault(CouplingFrom(), SEPARATE),
    Fault(Remembering(), ITSELF, laws(ZEROS)),
    Fault(OverB(), ITSELF, laws(RESIDUAL)),
    Fault(Deactivating(), ITSELF),
    Fault(NumPyOnly(), "runs_on_other_arrays"),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
