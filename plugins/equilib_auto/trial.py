"""Grounds of a method's decisions: where each sample stands, and what a trial of its next step showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Trial:
    """What a trial showed; all of shape (batch,).

    Attributes
    ----------
    norm, change : ndarray
        Euclidean norm of the residual there, and of its change.
    near : ndarray of bool
        Whether the trial is not beyond all measure of where the solve began.
    clear : ndarray of bool
        Whether the residual is far above the rounding of the iterate.
    exhausted : ndarray of bool
        Whether the residual was rounding of the iterate before the trial already, and is.
    kept : ndarray of bool
        Whether the sample goes on from there.
    rejections : ndarray of int
        Steps taken back in a row, with this one.
    ahead, returned : ndarray of bool
        Whether it is kept, although the residual rose, to look a step ahead, and whether that was in vain.
    """

    norm: np.ndarray
    change: np.ndarray
    near: np.ndarray
    clear: np.ndarray
    exhausted: np.ndarray
    kept: np.ndarray
    rejections: np.ndarray
    ahead: np.ndarray
    returned: np.ndarray


class Standing(Protocol):
    """**Protocol:** where each sample stands in its stage before a trial: see `equilib_auto.progress.Progress`."""

    @property
    def norm(self) -> np.ndarray:
        """Euclidean norm of the residual."""

    @property
    def least(self) -> np.ndarray:
        """Its least in this stage."""

    @property
    def first(self) -> np.ndarray:
        """Its norm at the beginning of the stage."""

    @property
    def reference(self) -> np.ndarray:
        """Its least when the rate was last measured."""

    @property
    def trials(self) -> np.ndarray:
        """Trials in this stage."""

    @property
    def rejections(self) -> np.ndarray:
        """Steps taken back in a row."""

    @property
    def length(self) -> np.ndarray:
        """Multiple of the direction that was tried."""

    @property
    def forcing(self) -> np.ndarray:
        """Reduction that was asked of the linear solver."""

    @property
    def history(self) -> np.ndarray:
        """The norm at the beginning of the stage, and those of the last iterates, shape (batch, 11)."""

    @property
    def change(self) -> np.ndarray:
        """Of the flow: change of the residual, relative to it, at which a step is taken back."""
