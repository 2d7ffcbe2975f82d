"""Probes: the equilibrium of an experiment on a few of its samples, for diagnostics and comparisons."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

from equilib.arrays import Array, Tree, in_dtype
from equilib.errors import UserError
from equilib.experiments.assembly import set_up
from equilib.models.chains import DEQChain
from equilib.models.deq import DeepEquilibrium
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.flags import PLACE
from equilib.runs.record import RecordedRun
from equilib.runs.reporters import LineReporter
from equilib.runs.request import RunRequest


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An equilibrium layer, its parameters, and a batch of what it is given, shape (samples, ...)."""

    deq: DeepEquilibrium
    params: Tree
    inputs: Array


def load_probe(
    request: RunRequest, registry: Registry, *, samples: int, trained: RecordedRun | None = None, dtype: str = "float64"
) -> Probe:
    """Make the network that `equilib run` would train for the same request, with arrays of `dtype`.

    The parameters are the initial ones, or those that were trained; the samples, so many or what there are, are the
    first of the test data.

    Raises UserError if the request cannot be carried out as it is, or the network holds no equilibrium.
    """
    context = RunContext(request=request, registry=registry, reporter=LineReporter(sys.stderr))
    setup = set_up(context)
    network = setup.network
    if not isinstance(network, DEQChain):
        raise UserError(
            f"experiment {request.experiment!r} cannot be looked at: its network is of type {type(network).__name__}, "
            "which has no equilibrium as a DEQChain has"
        )
    params = network.init(context.rng())
    params = params if trained is None else trained.params(in_dtype(params, trained.request().dtype))
    inputs = setup.experiment.load_data(context).test_inputs[:samples, ...]
    params, inputs = (context.device.put(in_dtype(each, dtype)) for each in (params, inputs))
    return Probe(deq=network.deq, params=params["deq"], inputs=network.before(params["before"], inputs))


def request_like(request: RunRequest, run: RecordedRun) -> RunRequest:
    """Return `request` with what it leaves open filled in from an earlier run, but for the device and the kernels.

    A solver that was named comes with the adjoint that suits it and without fallback, unless those are named, too.

    Raises UserError if the run is one of another experiment.
    """
    if run.facts.get("experiment") != request.experiment:
        raise UserError(f"{run.path} is a run of {run.facts.get('experiment')!r}, not of {request.experiment!r}")
    recorded, method = run.request(), run.method()
    given = {each.name for each in request.set_flags()}
    filled: dict[str, Any] = {
        each.name: getattr(recorded, each.name)
        for each in recorded.set_flags()
        if each.group == PLACE and each.name not in given | {"device", "kernels"}
    }
    return replace(
        request,
        **filled,
        values={**recorded.values, **request.values},
        solver=request.solver or method["solver"],
        adjoint=request.adjoint or (None if request.solver else method["adjoint"]),
        fallback=request.fallback or (() if request.solver else method["fallback"]),
        options={**method["options"], **request.options},
    )
