"""What training asks of the record of a forward pass, be it an equilibrium or an integration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from equilib.ode.solution import OdeStatus
from equilib.solution import Status


@dataclass(frozen=True, kw_only=True)
class BackwardWork:
    """What one backward pass did.

    Attributes
    ----------
    status : tuple of Status or OdeStatus
        How the equations that it solved ended; empty where it solves none.
    nvjp : int
        Products Jᵀ·w.
    residual : float
        The largest residual of an adjoint equation; 0 where there is no such thing.
    """

    status: tuple[Status | OdeStatus, ...]
    nvjp: int
    residual: float = 0.0


class Record(Protocol):
    """**Protocol:** how a forward pass went, for statistics and messages.

    `status` holds one status per sample, `nfe` and `njvp` count calls on the whole batch, and `residual_norm`, shape
    (batch,), is None where nothing is solved for.
    """

    @property
    def status(self) -> Sequence[Status | OdeStatus]:
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

    def backward_work(self) -> Sequence[BackwardWork]:
        """Return what each backward pass so far did."""
