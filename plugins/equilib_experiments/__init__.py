"""The experiments and the data sets that come with equilib, registered like everybody else's."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import DatasetEntry, ExperimentEntry, hookimpl


@hookimpl
def equilib_datasets() -> Iterable[DatasetEntry]:
    """Yield `mnist`, `digits` and `cifar10`."""
    for name, factory, summary in (
        ("mnist", "mnist:Mnist", "Handwritten digits of 28×28 pixels; offline those of `digits`"),
        ("digits", "digits:SmallDigits", "scikit-learn's 1,797 handwritten digits, resized to those of MNIST"),
        ("cifar10", "cifar10:Cifar10", "Photographs of 32×32 pixels in ten classes"),
    ):
        yield DatasetEntry(name=name, factory=f"equilib_experiments.data.{factory}", summary=summary)


@hookimpl
def equilib_experiments() -> Iterable[ExperimentEntry]:
    """Yield the experiments."""
    for name, factory, summary in (
        ("mnist", "classification:MnistExperiment", "Classify handwritten digits with a deep equilibrium model"),
        (
            "mnist-neural-ode",
            "classification:NeuralOdeExperiment",
            "Classify handwritten digits with a neural ODE",
        ),
        (
            "mnist-steady-state",
            "classification:SteadyStateExperiment",
            "Classify handwritten digits with dense layers and the steady state of an ODE",
        ),
        ("linear", "curves:LinearExperiment", "Fit y = 2x with an equilibrium, and predict far from the data"),
        (
            "cifar10",
            "classification:Cifar10Experiment",
            "Classify small photographs with an equilibrium of two scales",
        ),
        ("polynomial", "curves:PolynomialExperiment", "Fit a polynomial with an equilibrium"),
        ("bratu", "bratu:BratuExperiment", "Recover the rate of a reaction from its steady states (Bratu's problem)"),
        ("lasso", "lasso:LassoExperiment", "Learn the penalty of a lasso, an equilibrium of proximal gradient"),
        ("characters", "characters:CharactersExperiment", "Predict the next character by a transformer in equilibrium"),
        ("table", "tables:TableExperiment", "Classify the rows of a table with an equilibrium"),
        ("digits-graph", "graphs:GraphExperiment", "Classify the nodes of a graph of digits, few of them labelled"),
    ):
        yield ExperimentEntry(name=name, factory=f"equilib_experiments.{factory}", summary=summary)
