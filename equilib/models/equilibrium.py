"""The record of one pass through a deep equilibrium model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array
from equilib.solution import Solution, Status


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
        Evaluations of f, those of the initial guess included.
    jacobian_loss : array or None
        Estimate of ‖J‖²_F / size of one sample, differentiable; None unless the model was asked for it.
    solution : Solution or None
        The solve; None after a fixed depth.
    adjoints : list of Solution
        Filled during the backward pass: the solve of the adjoint equation, where there is one.
    """

    z_star: Array = field(repr=False)
    u0: Array = field(repr=False)
    residual: Array = field(repr=False)
    residual_norm: np.ndarray
    status: tuple[Status, ...]
    nfe: int
    jacobian_loss: Array | None = None
    solution: Solution | None = field(default=None, repr=False)
    adjoints: list[Solution] = field(default_factory=list, repr=False)
