"""Report about the check of a gradient: the findings, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equilib.diagnostics.agreement import Agreement
from equilib.fixed_points.display import Shown, axes_or_new
from equilib.fixed_points.solution import Solution

FORWARD, ADJOINT, APPROXIMATION = "the forward residual", "the adjoint's residual", "the adjoint's own approximation"

REMEDIES = {
    FORWARD: "lower rtol, or raise max_steps",
    ADJOINT: "lower its rtol, which is the forward solve's unless it has its own, or raise its max_steps",
    APPROXIMATION: "that is what this adjoint is; --adjoint implicit gives the gradient itself",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class GradientCheck(Shown):
    """What a gradient is worth; all of it is about ⟨c, z*⟩ with random numbers c."""

    solver: str
    adjoint: str
    against_implicit: Mapping[str, Agreement]
    """The chosen gradient beside the implicit one at the refined fixed point, for the "parameters" and the "inputs"."""
    against_differences: Agreement
    """The derivatives along random directions by the chosen gradient, beside finite differences."""
    implicit_against_differences: Agreement
    """Those by the implicit gradient."""
    differences_error: float
    """Estimated relative error of the finite differences."""
    contributions: Mapping[str, float]
    """What the error is made of, each part relative to the gradient: `FORWARD`, `ADJOINT` and `APPROXIMATION`."""
    distance: float
    """‖z − z*‖ / ‖z*‖ of the sample that is furthest from its refined fixed point."""
    forward: Solution = field(repr=False)
    adjoint_solve: Solution | None = field(repr=False)
    """The solve of the chosen adjoint, where it solves an equation."""
    reference: Solution = field(repr=False)
    """The solve that refined the fixed point."""
    reference_adjoint: Solution = field(repr=False)
    """The solve of the implicit adjoint there."""
    accuracy: float
    """Relative error up to which a gradient counts as right, by the precision of the arrays."""

    @property
    def relative_error(self) -> float:
        """The larger of the errors with respect to the parameters and to the inputs."""
        return float(np.max([each.relative_error for each in self.against_implicit.values()]))

    @property
    def cosine(self) -> float:
        """The smaller of the cosines with respect to the parameters and to the inputs."""
        return float(np.min([each.cosine for each in self.against_implicit.values()]))

    @property
    def refined(self) -> bool:
        """Whether both solves of the reference converged for every sample."""
        return self.reference.success and self.reference_adjoint.success

    @property
    def confirmed(self) -> bool:
        """Whether the reference is refined, and finite differences agree with it up to their own error."""
        allowed = max(10 * self.differences_error, self.accuracy)
        return self.refined and self.implicit_against_differences.relative_error <= allowed

    @property
    def dominant(self) -> str | None:
        """The largest contribution; None if the gradient is right, or cannot be judged."""
        if not self.confirmed or self.relative_error <= self.accuracy:
            return None
        return max(self.contributions, key=lambda name: self.contributions[name])

    @property
    def verdict(self) -> str:
        """What to think of the gradient and what to do about it, in one or two sentences."""
        if not self.refined:
            failed = self.reference if not self.reference.success else self.reference_adjoint
            return f"Unknown: there is no better gradient to compare with, since {failed.failure_report()}."
        if not self.confirmed:
            return (
                "Wrong derivatives: finite differences contradict the implicit gradient by "
                f"{self.implicit_against_differences.relative_error:.1e}, though they should be right to "
                f"{self.differences_error:.1e}. Check the vjp of each operation in the model, and whether it is smooth."
            )
        if self.dominant is None:
            return f"Right: the relative error is {self.relative_error:.1e}."
        use = "still a descent direction" if self.cosine > 0 else "no descent direction"
        return (
            f"Off by {self.relative_error:.1e} (cosine {self.cosine:.6f}, {use}), mostly by {self.dominant}: "
            f"{REMEDIES[self.dominant]}."
        )

    def __str__(self) -> str:
        return f"GradientCheck({self.adjoint.partition('(')[0]}: {self.verdict})"

    def facts(self) -> Mapping[str, object]:
        """Return the verdict and the errors that it is made of."""
        return {
            "solver": self.solver,
            "adjoint": self.adjoint,
            "verdict": self.verdict,
            "relative error": f"{self.relative_error:.1e}",
            "cosine": f"{self.cosine:.6f}",
            "against finite differences": f"{self.against_differences.relative_error:.1e}",
            "error of the differences": f"{self.differences_error:.1e}",
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw what the error is made of as bars, with the accuracy as a line, and return the Matplotlib axes.

        Raises
        ------
        UserError
            If Matplotlib is not installed.
        """
        ax, parts = axes_or_new(ax), {"the gradient": self.relative_error, **self.contributions}
        ax.barh(list(parts), list(parts.values()))
        ax.axvline(self.accuracy, color="C1", linestyle="--")
        ax.set(xscale="log", xlabel="relative error", title=self.adjoint)
        return ax

    def describe(self) -> dict[str, Any]:
        """Return it as plain values, without the solves of the reference."""
        own = {name: _plain(value) for name, value in vars(self).items() if not name.startswith("reference")}
        return {**own, "dominant": self.dominant, "confirmed": self.confirmed, "verdict": self.verdict}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, Solution):
        return _summary(value)
    return vars(value) if isinstance(value, Agreement) else value


def _summary(solution: Solution) -> dict[str, Any]:
    return {
        "unconverged": int(np.sum(~solution.converged)),
        "samples": len(solution.status),
        "residual_max": float(np.max(solution.residual_norm, initial=0.0)),
        "nfe": solution.nfe,
        "njvp": solution.njvp,
        "nvjp": solution.nvjp,
    }
