"""The experiments that come with equilib, registered like everybody else's."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import ExperimentEntry, hookimpl


@hookimpl
def equilib_experiments() -> Iterable[ExperimentEntry]:
    """Yield the experiments."""
    for name, factory, summary in (
        ("mnist", "mnist:MnistExperiment", "Classify handwritten digits with a deep equilibrium model"),
        ("mnist-neural-ode", "neural_ode:NeuralOdeExperiment", "Classify handwritten digits with a neural ODE"),
        (
            "mnist-steady-state",
            "steady_state:SteadyStateExperiment",
            "Classify handwritten digits with dense layers and the steady state of an ODE",
        ),
        ("linear", "curves:LinearExperiment", "Fit y = 2x with an equilibrium, and predict far from the data"),
        ("cifar10", "cifar10:Cifar10Experiment", "Classify small photographs with an equilibrium of two scales"),
        ("polynomial", "curves:PolynomialExperiment", "Fit a polynomial with an equilibrium"),
    ):
        yield ExperimentEntry(name=name, factory=f"equilib_experiments.{factory}", summary=summary)
