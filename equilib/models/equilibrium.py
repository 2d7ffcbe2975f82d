"""Records of a forward pass: of an equilibrium, and the protocol that training asks of any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from equilib.arrays import Array
from equilib.fixed_points.solution import BatchSolution, SampleStatus, Solution, Status


class Record(Protocol):
    """**Protocol:** how a forward pass went, for statistics and messages.

    `status` holds one status per sample, `nfe` and `njvp` count calls on the whole batch, and `residual_norm`, shape
    (batch,), is None where nothing is solved for.
    """

    @property
    def status(self) -> Sequence[SampleStatus]:
        """How it ended for each sample."""

    @property
    def nfe(self) -> int:
        """Evaluations of f."""

    @property
    def njvp(self) -> int:
        """Products J·v."""

    @property
    def residual_norm(self) -> np.ndarray | None:
        """The residual of each sample."""

    @property
    def adjoints(self) -> Sequence[BatchSolution]:
        """The solves of backward passes so far."""

    @property
    def adjoint_nvjp(self) -> int:
        """Products Jᵀ·w of backward passes so far."""


@dataclass(frozen=True, kw_only=True)
class Equilibrium:
    """What a `DeepEquilibrium` returns; the loss may use every array in it.

    Attributes
    ----------
    z_star : array, shape (batch, ...)
        The fixed point, differentiable by the model's sensitivity; after a fixed depth, the last iterate.
    u0 : array, shape (batch, ...)
        The initial guess, differentiable.
    residual : array, shape (batch, ...)
        f(z) − z at z_star, a constant; after a fixed depth, at the last iterate but one.
    residual_norm : ndarray, shape (batch,)
    status : tuple of Status, length batch
    nfe : int
        Evaluations of f, those of the initial guess included, those of the backward pass not.
    jacobian_loss : array or None
        Estimate of ‖J‖²_F / size of one sample, differentiable; None unless the model was asked for it.
    residual_loss : array or None
        ‖f(z) − z‖² / size of one sample at z_star, differentiable, averaged over the batch; None likewise.
    solution : Solution or None
        The solve; None after a fixed depth.
    adjoints : list of Solution
        Filled during the backward pass: the solve of the adjoint equation, where there is one.
    split : callable or None
        Takes a state such as z_star apart into the tuple of arrays that it joins; None where it is a single array.
    """

    z_star: Array = field(repr=False)
    u0: Array = field(repr=False)
    residual: Array = field(repr=False)
    residual_norm: np.ndarray
    status: tuple[Status, ...]
    nfe: int
    jacobian_loss: Array | None = None
    residual_loss: Array | None = None
    solution: Solution | None = field(default=None, repr=False)
    adjoints: list[Solution] = field(default_factory=list, repr=False)
    split: Callable[[Array], tuple[Array, ...]] | None = field(default=None, repr=False)

    @property
    def output(self) -> Any:
        """What the next layer gets: z_star, or the tuple of the arrays that it joins."""
        return self.z_star if self.split is None else self.split(self.z_star)

    @property
    def njvp(self) -> int:
        """Products J·v of the solve."""
        return self.solution.njvp if self.solution else 0

    @property
    def adjoint_nvjp(self) -> int:
        """Products Jᵀ·w of the adjoint solves."""
        # An evaluation of w ↦ Jᵀw + g and a product of its linearization are one vjp each.
        return sum(each.nfe + each.njvp for each in self.adjoints)
