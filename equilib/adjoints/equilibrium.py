"""Records of a forward pass: what training asks of any, and that of an equilibrium."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree
from equilib.errors import UserError
from equilib.fixed_points.display import Shown, plot_traces, shape_of_tree, spread, tally
from equilib.fixed_points.evaluator import Counts
from equilib.fixed_points.solution import SampleStatus, Solution


@dataclass(frozen=True, kw_only=True, repr=False)
class Record(Shown):
    """How a forward pass went, for the next layer, statistics and messages; `repr` is a line.

    Attributes
    ----------
    status : tuple of SampleStatus, length batch
    nfe, njvp : int
        Evaluations of f, those of an initial guess included, and products J·v: calls on the whole batch.
    residual_norm : ndarray, shape (batch,), or None
        The residual of each sample; None where nothing is solved for.
    adjoints : list of Solution or OdeSolution
        Filled during backward passes: the solves of adjoint equations, where there are some.
    backward : Counts
        Uses of f in backward passes so far.
    split : callable or None
        Takes a state apart into the tuple of arrays that it joins; None where it is a single array.
    """

    status: tuple[SampleStatus, ...]
    nfe: int
    njvp: int = 0
    residual_norm: np.ndarray | None = None
    adjoints: list[Any] = field(default_factory=list, repr=False)
    backward: Counts = field(default_factory=Counts, repr=False)
    split: Callable[[Array], tuple[Array, ...]] | None = field(default=None, repr=False)

    @property
    def state(self) -> Array:
        """The state at the end, shape (batch, ...)."""
        raise NotImplementedError

    @property
    def output(self) -> Any:
        """What the next layer gets: the state, or the tuple of the arrays that it joins."""
        return self.state if self.split is None else self.split(self.state)

    def __str__(self) -> str:
        solved = sum(status.success for status in self.status)
        return f"{type(self).__name__}({solved} of {len(self.status)} samples solved, {self.nfe} evaluations)"

    def facts(self) -> Mapping[str, object]:
        """Return a pass's outcome, and what it cost so far."""
        norm = self.residual_norm
        return {
            "samples": tally(status.label for status in self.status),
            "state": shape_of_tree(self.state),
            **({} if norm is None else {"residual": spread(norm, ".2e")}),
            "evaluations of f": self.nfe,
            "products J·v": self.njvp,
            "products Jᵀ·w of backward passes": self.adjoint_nvjp,
        }

    @property
    def adjoint_nvjp(self) -> int:
        """Products Jᵀ·w of backward passes so far."""
        # An evaluation of w ↦ Jᵀw + g and a product of its linearization are one vjp each. Not all report a solve.
        return sum(each.nfe + each.njvp for each in self.adjoints) or self.backward.nvjp


@dataclass(frozen=True, kw_only=True, repr=False)
class Equilibrium(Record):
    """What a `DeepEquilibrium` and `equilib.equilibrium` return; the loss may use every array in it.

    Attributes
    ----------
    z : array, shape (batch, ...), or tree of such arrays
        The fixed point, differentiable by the model's sensitivity; after a fixed depth, the last iterate.
    z0 : like z
        The initial guess, differentiable.
    residual : like z
        f(z) − z at z, a constant; after a fixed depth, at the last iterate but one.
    jacobian_loss : array or None
        Estimate of ‖J‖²_F / size of one sample, differentiable; None unless the model was asked for it.
    residual_loss : array or None
        ‖f(z) − z‖² / size of one sample averaged over the batch, differentiable in what f depends on at a constant z
        (after a fixed depth also in z); None likewise.
    solution : Solution or None
        The solve; None after a fixed depth.
    aux : tree of arrays or None
        What f returned beside z, evaluated at the fixed point, differentiable; None where it returns z alone.
    tangents : list of Solution
        Filled by forward mode and by second derivatives: the solves of dz = J dz + b.
    """

    z: Tree = field(repr=False)
    z0: Tree = field(repr=False)
    residual: Tree = field(repr=False)
    jacobian_loss: Array | None = None
    residual_loss: Array | None = None
    solution: Solution | None = field(default=None, repr=False)
    aux: Tree = field(default=None, repr=False)
    tangents: list[Solution] = field(default_factory=list, repr=False)

    @property
    def state(self) -> Array:
        """The fixed point, shape (batch, ...)."""
        return self.z

    def plot(self, ax: Any = None) -> Any:
        """Draw the residuals of the solve over its steps, and dashed those of adjoints; return the Matplotlib axes.

        Raises
        ------
        UserError
            If Matplotlib is not installed, or there was no solve.
        """
        if self.solution is None:
            raise UserError("a model of a fixed depth has no solve to draw")
        ax = self.solution.plot(ax)
        for each in self.adjoints:
            plot_traces(ax, each.trace, each.converged, linestyle="--")
        return ax
