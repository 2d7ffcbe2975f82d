"""Hooks of a plugin: what each yields, with a complete example."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from equilib.plugin.entries import Entry, ExperimentEntry, IntegratorEntry, SensitivityEntry, SolverEntry

hookspec = pluggy.HookspecMarker("equilib")


hookimpl = pluggy.HookimplMarker("equilib")


@hookspec
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield one record per solver.

    A complete plugin:

        from dataclasses import dataclass

        from equilib import State
        from equilib.options import option
        from equilib.plugin import SolverEntry, hookimpl

        @dataclass(frozen=True)
        class Relaxation:
            step_size: float = option(0.5, help="share of the residual that is added", exclusive_minimum=0)

            def init(self, f, z0):
                return State(z0, f.residual(z0))

            def step(self, f, state):
                z = state.z + self.step_size * state.residual
                return State(z, f.residual(z))

        @hookimpl
        def equilib_solvers():
            yield SolverEntry(name="relaxation", factory=Relaxation, summary="Damped Picard iteration")
    """
    return ()


@hookspec
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield one record per integrator.

    A complete plugin:

        from dataclasses import dataclass

        from equilib.ode.flow import Point
        from equilib.ode.integrator import Attempt, Memory, hermite
        from equilib.plugin import IntegratorEntry, hookimpl
        from equilib.ode.step_control import PIController

        @dataclass(frozen=True)
        class Heun:
            order = 2
            controller = PIController()

            def begin(self, flow, start):
                return Memory()

            def attempt(self, flow, start, h, memory):
                slope = flow(start.t + h, flow.combine(start.y, h, (1.0,), (start.dy,)))
                y = flow.combine(start.y, h, (0.5, 0.5), (start.dy, slope))
                error = flow.sum(h, (0.5, -0.5), (start.dy, slope))
                return Attempt(y=y, error=flow.error_norm(error, start, y), order=2)

            def advance(self, flow, start, t, attempt, accepted, memory):
                y = flow.select(accepted, attempt.y, start.y)
                return Point(t, y, flow(t, y)), memory

            def interpolant(self, flow, step):
                return hermite(flow, step)

        @hookimpl
        def equilib_integrators():
            yield IntegratorEntry(name="heun", factory=Heun, summary="Heun's method of order 2", order=2)
    """
    return ()


@hookspec
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield one record per sensitivity.

    A complete plugin:

        from dataclasses import dataclass

        from equilib import Pullback
        from equilib.plugin import SensitivityEntry, hookimpl

        @dataclass(frozen=True)
        class OneStep:
            def pullback(self, problem, solution, cotangent):
                return Pullback(inputs=problem.linearize(solution.z).inputs_vjp(cotangent))

        @hookimpl
        def equilib_sensitivities():
            yield SensitivityEntry(
                name="one-step", factory=OneStep, summary="Gradient of the last iteration alone", exact=False
            )
    """
    return ()


@hookspec
def equilib_experiments() -> Iterable[ExperimentEntry]:
    """Yield one record per experiment.

    A complete plugin:

        from dataclasses import dataclass

        from equilib.options import option
        from equilib.plugin import ExperimentEntry, hookimpl

        @dataclass(frozen=True)
        class Cosine:
            size: int = option(8, help="how many copies of z = cos(z) to solve", minimum=1)

            def run(self, context):
                return {"size": self.size}

        @hookimpl
        def equilib_experiments():
            yield ExperimentEntry(name="cosine", factory=Cosine, summary="The fixed point of the cosine")
    """
    return ()


HOOKS: dict[str, type[Entry]] = {
    "equilib_solvers": SolverEntry,
    "equilib_integrators": IntegratorEntry,
    "equilib_sensitivities": SensitivityEntry,
    "equilib_experiments": ExperimentEntry,
}
"""Each hook and the record that it yields."""
