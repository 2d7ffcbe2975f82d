"""Integrations of states without a number: of an empty batch, or of samples without features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.ode.events import Event, EventLog
from equilib.ode.flow import Flow, lane_rms
from equilib.ode.library import AnyIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeOptions, OdeSolution, OdeStatus
from equilib.ode.trajectory import Piece, Trajectory


class Always(Piece):
    """The one state there is, at every time."""

    def __call__(self, flow: Flow, t: np.ndarray) -> Array:
        """Return y0."""
        return self.y0


def nothing_integrated(
    problem: OdeProblem,
    y0: Array,
    times: np.ndarray,
    integrator: AnyIntegrator,
    options: OdeOptions,
    events: Sequence[Event],
    *,
    dense: bool,
) -> OdeSolution:
    """Return the solution from y0, shape (batch, ...), without an element: a success, without a step."""
    first, last = (times[0], times[-1]) if times.ndim == 1 else (times.min(), times.max())
    always = Always(np.full(1, first), np.full(1, last), y0)
    flow = Flow(problem.at, y0, 1, lambda error, start, y: lane_rms(error, 1))
    batch = y0.shape[0]
    return OdeSolution(
        t=times,
        y=array_namespace(y0).stack([y0 for _ in times]),
        status=(OdeStatus.FINISHED,) * batch,
        reached=np.broadcast_to(times[-1], (batch,)),
        accepted=np.zeros(batch, dtype=int),
        rejected=np.zeros(batch, dtype=int),
        dense=Trajectory([always], flow) if dense else None,
        integrator=integrator,
        options=options,
        record=(),
        events=EventLog(events, y0).records(),
    )
