"""Stochastic gradient descent with momentum as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import OptimizerEntry, hookimpl


@hookimpl
def equilib_optimizers() -> Iterable[OptimizerEntry]:
    """Yield the optimizer `sgd`."""
    yield OptimizerEntry(
        name="sgd",
        factory="equilib_sgd.optimizer:SGD",
        summary="Stochastic gradient descent with momentum",
        advice=(
            "Half the memory of `adam`, and often a better model at the end of a long training. Its steps have the "
            "size of the gradient, and the learning rates of recipes suit `adam`: turn `scale` first."
        ),
    )
