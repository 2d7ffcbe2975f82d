"""Residual histories of several solvers on one batch of one model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from equilib.autodiff import stop_gradient
from equilib.diagnostics.history import residual_history
from equilib.errors import said
from equilib.experiments.probe import Probe, load_probe
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem
from equilib.plugin.registry import Registry
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest

SAMPLES = 32
REACH = {"rtol": 1e-6, "atol": 0.0, "max_steps": 50, "on_failure": "record"}
"""How far the histories go: to what float32 can resolve, whatever the tolerance of training."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The median residual of a batch, for the evaluations of f and the products with J that a solver has spent."""

    solver: str
    cost: list[int]
    residual: list[float]
    converged: int
    samples: int


def histories(
    request: RunRequest, registry: Registry, solvers: Iterable[str], trained: RecordedRun | None
) -> tuple[list[Curve], dict[str, str]]:
    """Solve one batch of test data with each solver, all with the same parameters and from the same guess.

    Returns
    -------
    curves : list of Curve
    missing : dict
        Why a solver has no curve.
    """
    curves, missing = [], {}
    for spec in dict.fromkeys(solvers):
        chosen = replace(request, solver=spec, adjoint=None)
        try:
            curves.append(_curve(spec, load_probe(chosen, registry, samples=SAMPLES, trained=trained, dtype="float32")))
        except Exception as error:  # a solver fails in its own way, and the runs are not to be lost with it
            missing[spec] = said(error)
    return curves, missing


def _curve(spec: str, probe: Probe) -> Curve:
    deq, own, x = probe.deq, probe.params["cell"], probe.inputs
    u = deq.cell.inject(own, x)
    z0 = stop_gradient(deq.initial_guess(probe.params["initial_guess"], deq.cell, own, x, u))
    problem = FixedPointProblem(lambda z, own, u: deq.cell.step(own, z, u), own, u)
    options: SolveOptions = replace(deq.options, **REACH)  # type: ignore[arg-type]
    found = residual_history(problem, deq.solver, z0, options)
    finite = np.isfinite(found.residual).all(axis=1)
    return Curve(
        solver=spec,
        cost=found.cost[finite].tolist(),
        residual=np.median(found.residual[finite], axis=1).tolist(),
        converged=int(found.solution.converged.sum()),
        samples=len(found.solution.status),
    )
