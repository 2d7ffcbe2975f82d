"""An experiment's equilibrium on a few of its samples: what diagnostics and comparisons look at."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from equilib.arrays import Array
from equilib.arrays.trees import Tree
from equilib.errors import UserError
from equilib.models.deq import DeepEquilibrium
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.record import RecordedRun
from equilib.runs.reopen import revive
from equilib.runs.reporting import LineReporter
from equilib.runs.request import RunRequest


@dataclass(frozen=True, kw_only=True)
class Example:
    """An equilibrium layer, its parameters, and a batch of what it is given, shape (samples, ...)."""

    deq: DeepEquilibrium
    params: Tree
    inputs: Array


@runtime_checkable
class ShowsExample(Protocol):
    """**Protocol:** an experiment that `equilib check-gradient` and the plot of `equilib compare` can use."""

    def example(self, context: RunContext, *, samples: int, trained: RecordedRun | None, dtype: str) -> Example:
        """Return the model with its initial parameters, or those that were trained, as arrays of `dtype`.

        Solver, adjoint and seed are the context's; `samples` images, or what there are, come from the test data.
        """


def load_example(
    request: RunRequest, registry: Registry, *, samples: int, trained: RecordedRun | None = None, dtype: str = "float64"
) -> Example:
    """Build the model that `equilib run` would train for the same request.

    Raises
    ------
    UserError
        If the request cannot be carried out as it is, or the experiment has no `example`.
    """
    experiment, context = revive(request, registry, reporter=LineReporter(sys.stderr))
    if not isinstance(experiment, ShowsExample):
        raise UserError(f"experiment {request.experiment!r} cannot be looked at: it has no method `example`")
    return experiment.example(context, samples=samples, trained=trained, dtype=dtype)


def request_like(request: RunRequest, run: RecordedRun, fields: set[str]) -> RunRequest:
    """Return `request` with what it leaves open filled in from an earlier run: the experiment's `fields`, the method.

    Raises
    ------
    UserError
        If the run is one of another experiment.
    """
    if run.facts.get("experiment") != request.experiment:
        raise UserError(f"{run.path} is a run of {run.facts.get('experiment')!r}, not of {request.experiment!r}")
    recorded = {name: value for name, value in run.facts.get("options", {}).items() if name in fields}
    return replace(
        request,
        values={**recorded, **request.values},
        solver=request.solver or run.solver_spec(),
        adjoint=request.adjoint or (None if request.solver else run.adjoint_spec()),
        fallback=request.fallback or (() if request.solver else run.fallback_specs()),
        options={**run.solve_options(), **request.options},
    )
