"""Hooks of a plugin: what each yields, with a complete example."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from equilib.plugin.entries import (
    DatasetEntry,
    Entry,
    ExperimentEntry,
    IntegratorEntry,
    LinearSolverEntry,
    OptimizerEntry,
    SensitivityEntry,
    SolverEntry,
)

hookspec = pluggy.HookspecMarker("equilib")
"""Marks the specification of a hook, below."""

hookimpl = pluggy.HookimplMarker("equilib")
"""Marks a function of a plugin that implements a hook."""


@hookspec
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield one entry per solver.

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
    """Yield one entry per integrator.

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
def equilib_linear_solvers() -> Iterable[LinearSolverEntry]:
    """Yield one entry per linear solver.

    A complete plugin:

        from dataclasses import dataclass

        from equilib.arrays import where_samples
        from equilib.options import Checked, option
        from equilib.plugin import LinearSolverEntry, hookimpl

        @dataclass(frozen=True)
        class Series(Checked):
            terms: int = option(20, help="products with I - A", minimum=0)

            def solve(self, matvec, b, *, rtol, active):
                x = b
                for _ in range(self.terms):
                    x = x + (b - matvec(x))
                return where_samples(active, x, 0 * b)

        @hookimpl
        def equilib_linear_solvers():
            yield LinearSolverEntry(name="series", factory=Series, summary="Terms of (I - (I - A))⁻¹ = Σ (I - A)ⁿ")
    """
    return ()


@hookspec
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield one entry per sensitivity.

    A complete plugin:

        from dataclasses import dataclass

        from equilib import Needs, Pullback
        from equilib.plugin import SensitivityEntry, hookimpl

        @dataclass(frozen=True)
        class OneStep:
            needs = Needs()

            def pullback(self, problem, solution, cotangent, *, guess=None):
                return Pullback(inputs=problem.linearize(solution.z).inputs_vjp(cotangent))

        @hookimpl
        def equilib_sensitivities():
            yield SensitivityEntry(
                name="one-step", factory=OneStep, summary="Gradient of the last iteration alone", exact=False
            )
    """
    return ()


@hookspec
def equilib_optimizers() -> Iterable[OptimizerEntry]:
    """Yield one entry per optimizer.

    A complete plugin:

        from dataclasses import dataclass

        from equilib.arrays.trees import tree_map
        from equilib.plugin import OptimizerEntry, hookimpl

        @dataclass(frozen=True)
        class NoState:
            pass

        @dataclass(frozen=True)
        class Descent:
            def init(self, params):
                return NoState()

            def update(self, params, gradient, state, rate):
                return tree_map(lambda p, g: p - float(rate) * g, params, gradient), state

        @hookimpl
        def equilib_optimizers():
            yield OptimizerEntry(name="descent", factory=Descent, summary="Gradient descent without momentum")
    """
    return ()


@hookspec
def equilib_datasets() -> Iterable[DatasetEntry]:
    """Yield one entry per data set.

    A complete plugin:

        from dataclasses import dataclass

        import numpy as np

        from equilib.plugin import DatasetEntry, hookimpl
        from equilib.training.data import ImageFormat, LabelledImages

        @dataclass(frozen=True)
        class Stripes:
            images = ImageFormat(height=28, width=28, channels=1, classes=("upright", "lying"))

            def load(self, data_dir, report):
                labels = np.arange(100, dtype=np.uint8) % 2
                images = np.zeros((100, 28, 28), dtype=np.uint8)
                images[labels == 0, :, ::2] = 255
                images[labels == 1, ::2, :] = 255
                return LabelledImages(
                    train_images=images[:80],
                    train_labels=labels[:80],
                    test_images=images[80:],
                    test_labels=labels[80:],
                    source="stripes, made on the spot",
                )

        @hookimpl
        def equilib_datasets():
            yield DatasetEntry(name="stripes", factory=Stripes, summary="Stripes along either side of a square")
    """
    return ()


@hookspec
def equilib_experiments() -> Iterable[ExperimentEntry]:
    """Yield one entry per experiment.

    A complete plugin:

        from dataclasses import dataclass

        import numpy as np

        from equilib import ops
        from equilib.experiments import Recipe, equilibrium, sampled
        from equilib.layers import Chain, Dense
        from equilib.models import DEQChain, InjectedCell, ZeroGuess
        from equilib.options import option
        from equilib.plugin import ExperimentEntry, hookimpl
        from equilib.training.objectives import Regression
        from equilib.training.schedules import Constant

        @dataclass(frozen=True)
        class Sine:
            width: int = option(20, help="numbers in the state", minimum=1)

            def make_recipe(self):
                def network(method):
                    cell = InjectedCell(Chain(), Dense(self.width, self.width), Chain(ops.tanh))
                    layer = equilibrium(cell, ZeroGuess(), method)
                    return DEQChain(Dense(1, self.width), layer, Dense(self.width, 1))

                return Recipe(network=network, schedule=lambda steps: Constant(1e-3), objective=Regression())

            def load_data(self, context):
                return sampled(np.sin, context.rng(1).uniform(-3, 3, 400), np.linspace(-3, 3, 100))

        @hookimpl
        def equilib_experiments():
            yield ExperimentEntry(name="sine", factory=Sine, summary="Fit a sine with an equilibrium")
    """
    return ()


HOOKS: dict[str, type[Entry]] = {
    "equilib_solvers": SolverEntry,
    "equilib_integrators": IntegratorEntry,
    "equilib_linear_solvers": LinearSolverEntry,
    "equilib_sensitivities": SensitivityEntry,
    "equilib_optimizers": OptimizerEntry,
    "equilib_datasets": DatasetEntry,
    "equilib_experiments": ExperimentEntry,
}
"""Each hook and the kind of entry that it yields, in the order of listings."""

KINDS: dict[str, type[Entry]] = {kind.noun: kind for kind in HOOKS.values()}
"""Each kind of entry by its noun."""
