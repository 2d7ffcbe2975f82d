"""Truncated Neumann series as equilib adjoints."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import SensitivityEntry, hookimpl


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield the adjoints `neumann` and `phantom`."""
    yield SensitivityEntry(
        name="neumann",
        factory="equilib_neumann.series:Neumann",
        summary="The first terms of the Neumann series w = Σ (Jᵀ)ᵏ g",
        advice=(
            "A fixed number of products Jᵀ·w, whatever the tolerance: the error falls with the power of the spectral "
            "radius of J, and the series grows without bound where that exceeds one. `terms=1` is `jacobian-free`. "
            "Take `implicit` where the gradient must be right."
        ),
        exact=False,
    )
    yield SensitivityEntry(
        name="phantom",
        factory="equilib_neumann.series:Neumann",
        summary="The damped Neumann series of the phantom gradient",
        advice=(
            "As `neumann`, with each term damped: it tends to the same limit, more slowly where J is small, but also "
            "where J has eigenvalues below −1. Deep equilibrium models on images were trained with 5 terms and a "
            "damping of 0.3 to 0.5."
        ),
        exact=False,
        preset={"damping": 0.5},
    )
