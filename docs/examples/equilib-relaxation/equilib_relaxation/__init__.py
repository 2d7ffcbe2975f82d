"""A plugin for equilib with one part of each kind that is chosen by name; each is imported when it is first used."""

from equilib.plugin import (
    Capabilities,
    DatasetEntry,
    ExperimentEntry,
    LinearSolverEntry,
    OptimizerEntry,
    SolverEntry,
    hookimpl,
)


@hookimpl
def equilib_solvers():
    """Yield the solver `relaxation`."""
    yield SolverEntry(
        name="relaxation",
        factory="equilib_relaxation.solver:Relaxation",
        summary="Relaxation: add a share of the residual",
        advice="For maps that overshoot: a smaller step_size converges where plain iteration oscillates.",
        capabilities=Capabilities(couples_samples=False),
    )


@hookimpl
def equilib_linear_solvers():
    """Yield the linear solver `richardson`."""
    yield LinearSolverEntry(
        name="richardson",
        factory="equilib_relaxation.linear_solver:Richardson",
        summary="Richardson iteration: add a share of the residual",
    )


@hookimpl
def equilib_optimizers():
    """Yield the optimizer `sign-momentum`."""
    yield OptimizerEntry(
        name="sign-momentum",
        factory="equilib_relaxation.optimizer:SignMomentum",
        summary="Steps of the same size in every weight, along the sign of a mean of gradients",
    )


@hookimpl
def equilib_datasets():
    """Yield the data set `stripes`."""
    yield DatasetEntry(
        name="stripes", factory="equilib_relaxation.data:Stripes", summary="Stripes along either side of an image"
    )


@hookimpl
def equilib_experiments():
    """Yield the experiments `sine` and `stripes`."""
    yield ExperimentEntry(name="sine", factory="equilib_relaxation.sine:Sine", summary="Fit a sine with an equilibrium")
    yield ExperimentEntry(
        name="stripes", factory="equilib_relaxation.images:StripesExperiment", summary="Tell stripes apart"
    )
