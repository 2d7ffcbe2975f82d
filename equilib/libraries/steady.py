"""A library's time stepper as a solver: follow z' = f(z) − z until it stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from equilib.libraries.lockstep import Ending
from equilib.libraries.sample import Sample

RENEWAL = 0.1
"""The residual may fall by this factor before the step tolerance is made tighter."""


class Stepper(Protocol):
    """**Protocol:** an integration that makes one accepted step at a time."""

    def step(self) -> str | None:
        """Make a step; return why, if there can be none."""

    @property
    def y(self) -> np.ndarray:
        """The solution after the last step, shape (size,)."""

    @property
    def step_size(self) -> float:
        """Size of the last step."""


def integrate_to_rest(
    sample: Sample,
    begin: Callable[[np.ndarray, float, float], Stepper],
    *,
    step_rtol: float,
    first_step: float,
    max_steps: int,
) -> Ending:
    """Step until the sample is finished, with errors of at most `step_rtol` times the residual.

    A fixed tolerance would leave the residual hovering at its size. Steppers take theirs when they are made, so a new
    one is made each time the residual has fallen by `RENEWAL`.

    Parameters
    ----------
    begin : callable
        Makes a stepper from z, the absolute tolerance of a step, in the root mean square norm, and the first step.
    """
    z, h = sample.z0, first_step
    scale = _rms(sample.residual(z))
    stepper = begin(z, step_rtol * scale, h)
    for _ in range(max_steps):
        if sample.finished:
            break
        refusal = stepper.step()
        if refusal is not None:
            return Ending(gave_up=True, message=refusal)
        size = scale if sample.last is None else _rms(sample.last)
        if 0 < size <= RENEWAL * scale:
            scale = size
            stepper = begin(stepper.y, step_rtol * scale, stepper.step_size)
    return Ending(gave_up=False)


def _rms(residual: np.ndarray) -> float:
    return float(np.sqrt(np.mean(residual**2)))
