"""Solution of an integration: values at the times asked for, one status per sample, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from equilib.arrays import Array, Tree, to_host, tree_leaves
from equilib.fixed_points.display import Shown, axes_or_new, shape_of_tree, spread, tally
from equilib.fixed_points.solution import BatchSolution, SampleStatus, UnsolvedError, UnsolvedWarning, failure_reasons
from equilib.ode.events import EventRecord
from equilib.ode.library import AnyIntegrator, LibraryIntegrator
from equilib.ode.trajectory import Trajectory
from equilib.options import Checked, option


class OdeStatus(SampleStatus):
    """How the integration ended for one sample."""

    RUNNING = "the integration has not ended"
    FINISHED = "the end of the interval was reached"
    EVENT = "a terminal event occurred"
    MAX_STEPS = "max_steps was reached; raise it, loosen rtol, or shorten the interval"
    STEP_TOO_SMALL = "the step size vanished: the solution may blow up, or the tolerance is below what the dtype allows"
    NONFINITE = "a nan or inf appeared; check the inputs and the scale of the parameters"
    GAVE_UP = "the library's integrator gave up"
    DRIFTED = "integrated backward, y leaves the solution; take the adjoint interpolating, gauss or discrete"
    HELD_BACK = "another sample of the batch ended the integration; pass per_sample=True to step samples by themselves"


@dataclass(frozen=True, kw_only=True)
class OdeOptions(Checked):
    """How an integration is done. A step is accepted when the rms of error / (atol + rtol·|y|) is at most 1.

    In Python `rtol` and `atol` may be arrays that broadcast against one sample.
    """

    rtol: float | Array = option(
        1e-3,
        help="allow a step this error relative to the size of y",
        minimum=0.0,
        exclusive_maximum=math.inf,
        arrays=True,
    )
    atol: float | Array = option(
        1e-6,
        help="allow a step this error whatever the size of y",
        exclusive_minimum=0.0,
        exclusive_maximum=math.inf,
        arrays=True,
    )
    per_sample: bool = option(False, help="take a step size and an error norm for each sample, not for the batch")
    max_steps: int = option(10_000, help="stop after so many attempted steps", minimum=1)
    first_step: float | None = option(None, help="begin with this step; none estimates it", exclusive_minimum=0.0)
    largest_step: float | None = option(None, help="bound the steps; none does not", exclusive_minimum=0.0)
    on_failure: str = option(
        "warn",
        help="raise an error, warn or record where samples end early, also backward in time in a model",
        choices=("raise", "warn", "record"),
    )


State: TypeAlias = tuple[Array, Array, tuple[Array, ...]]
"""y, y', and the arrays of the integrator's memory."""


@dataclass(frozen=True)
class StepRecord:
    """What it takes to repeat one step that some lane accepted; what is on the host has the shape (lanes,).

    The step size `h` is 0 in lanes that rested, `t` are the times after the step. `plan` is the host part of the
    integrator's memory before it, `stretch` the number of the stretch between stops, and `state` the state before the
    step, where `integrate` was to keep that.
    """

    h: np.ndarray
    t: np.ndarray
    accepted: np.ndarray
    plan: Any
    stretch: int = 0
    state: State | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, repr=False)
class OdeSolution(Shown, BatchSolution):
    """The result of one integration; one evaluation of f is one call on the whole batch.

    `repr` is a line, a notebook shows a table, `plot` draws y over t.
    """

    t: np.ndarray
    """The times asked for, shape (times,) or (times, batch), the initial one first."""
    y: Tree = field(repr=False)
    """The solution there, shape (times, batch, ...), or a tree of such; nan where a sample did not come so far."""
    status: tuple[OdeStatus, ...]
    reached: np.ndarray
    """The time at which each sample ended, shape (batch,)."""
    accepted: np.ndarray
    rejected: np.ndarray
    """Steps of each sample, int, shape (batch,); of those rejected a library's integrator tells none."""
    dense: Trajectory | None = field(default=None, repr=False)
    """What `trajectory` returns, where it was kept."""
    integrator: AnyIntegrator
    options: OdeOptions = field(repr=False)
    stops: tuple[float, ...] = field(default=(), repr=False)
    """The times at which steps ended because f is not smooth there, in ascending order."""
    events: tuple[EventRecord, ...] = field(default=(), repr=False)
    """Where each event occurred; the initial time is none."""
    record: tuple[StepRecord, ...] = field(repr=False)
    """The steps, for adjoints that repeat them; empty where a library took them."""
    fine_times: bool = False
    """Whether f was given times in float64, for which the dtype of y is too coarse."""
    messages: tuple[str, ...] = field(default=(), repr=False)
    """What a library said at the end, or that the equation is stiff, for each sample or for the batch; else empty."""

    def __str__(self) -> str:
        return (
            f"OdeSolution({self.integrator}: {np.sum(~self.failed)} of {len(self.status)} finished, "
            f"{int(np.max(self.accepted, initial=0))} steps, {int(np.max(self.rejected, initial=0))} rejected, "
            f"{self.nfe} evaluations)"
        )

    def facts(self) -> Mapping[str, object]:
        """Return an integration's outcome and what it cost."""
        return {
            "integrator": self.integrator,
            "samples": tally(status.label for status in self.status),
            "y": shape_of_tree(self.y),
            "t": f"{np.min(self.t):g} to {np.max(self.t):g}",
            "steps": spread(self.accepted),
            "rejected": spread(self.rejected),
            "evaluations of f": self.nfe,
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw each component of y over t, a colour for each sample, and return the Matplotlib axes.

        Between the times asked for lines are straight; ask for more, or integrate with `dense=True` and draw
        `trajectory`.

        Raises
        ------
        UserError
            If Matplotlib is not installed.
        """
        ax, batch = axes_or_new(ax), len(self.status)
        times = np.broadcast_to(np.reshape(self.t, (len(self.t), -1)), (len(self.t), batch))
        for leaf in tree_leaves(self.y):
            rows = np.reshape(to_host(leaf), (len(self.t), batch, -1))
            for sample in range(batch):
                ax.plot(times[:, sample], rows[:, sample], color=f"C{sample % 10}")
        ax.set(xlabel="t", ylabel="y", title=str(self.integrator).partition("(")[0])
        return ax

    @property
    def trajectory(self) -> Trajectory:
        """The solution as a function of time; raises ValueError if it was not integrated with `dense=True`."""
        if self.dense is None:
            raise ValueError("the solution as a function of time was not kept: integrate it with dense=True")
        return self.dense

    @property
    def _says(self) -> str:
        return "It said: " if isinstance(self.integrator, LibraryIntegrator) else ""

    def failure_report(self) -> str:
        """Describe in one sentence each way in which samples failed, with the evidence."""
        failed = self.failed
        if not failed.any():
            return f"{self.integrator} finished all {failed.size} samples ({self.nfe} evaluations)"
        where = self.reached[failed]
        end = np.atleast_1d(self.t[-1])
        before = " to ".join(f"{t:g}" for t in dict.fromkeys((end.min(), end.max())))
        said = "; ".join(dict.fromkeys(message for message in self.messages if message))
        return (
            f"{self.integrator} left {failed.sum()} of {failed.size} samples before t = {before}: "
            f"{failure_reasons(self.status)} "
            f"(at t = {where.min():.6g} to {where.max():.6g}, after {int(self.accepted[failed].max())} steps, "
            f"{int(self.rejected[failed].max())} rejected, {self.nfe} evaluations)"
            f"{f'. {self._says}{said}' if said else ''}"
        )


def status_of_samples(lanes: Sequence[OdeStatus], suspect: np.ndarray) -> tuple[OdeStatus, ...]:
    """Return the status of each sample, given those of the lanes and which samples were not finite, shape (batch,)."""
    if len(lanes) == len(suspect):
        return tuple(lanes)
    (status,) = lanes
    # Where the batch steps as one, the samples that are finite themselves were held back by the others.
    blamed = suspect if status is OdeStatus.NONFINITE and suspect.any() else np.ones_like(suspect)
    return tuple(status if each else OdeStatus.HELD_BACK for each in blamed)


class IntegrationError(UnsolvedError):
    """An integration that was told to raise did not reach the end; `solution` holds what it reached."""


class IntegrationWarning(UnsolvedWarning):
    """An integration that was told to warn did not reach the end for every sample."""
