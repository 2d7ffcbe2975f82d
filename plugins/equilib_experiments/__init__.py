"""The experiments that come with equilib, registered like everybody else's."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import ExperimentEntry, hookimpl


@hookimpl
def equilib_experiments() -> Iterable[ExperimentEntry]:
    """Yield the experiment `mnist`."""
    yield ExperimentEntry(
        name="mnist",
        factory="equilib_experiments.mnist:MnistExperiment",
        summary="Classify handwritten digits with a convolutional deep equilibrium model",
    )
