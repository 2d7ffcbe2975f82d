"""Hooks of a plugin: what each yields; docs/plugin-api.md has a complete plugin for each."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from equilib.plugin.entries import (
    CommunicatorEntry,
    DatasetEntry,
    Entry,
    ExperimentEntry,
    IntegratorEntry,
    KernelEntry,
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
    """Yield one entry per solver."""
    return ()


@hookspec
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield one entry per integrator."""
    return ()


@hookspec
def equilib_linear_solvers() -> Iterable[LinearSolverEntry]:
    """Yield one entry per linear solver."""
    return ()


@hookspec
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield one entry per sensitivity."""
    return ()


@hookspec
def equilib_optimizers() -> Iterable[OptimizerEntry]:
    """Yield one entry per optimizer."""
    return ()


@hookspec
def equilib_datasets() -> Iterable[DatasetEntry]:
    """Yield one entry per data set."""
    return ()


@hookspec
def equilib_experiments() -> Iterable[ExperimentEntry]:
    """Yield one entry per experiment."""
    return ()


@hookspec
def equilib_kernels() -> Iterable[KernelEntry]:
    """Yield one entry per family of kernels."""
    return ()


@hookspec
def equilib_communicators() -> Iterable[CommunicatorEntry]:
    """Yield one entry per communicator."""
    return ()


HOOKS: dict[str, type[Entry]] = {
    "equilib_solvers": SolverEntry,
    "equilib_integrators": IntegratorEntry,
    "equilib_linear_solvers": LinearSolverEntry,
    "equilib_sensitivities": SensitivityEntry,
    "equilib_optimizers": OptimizerEntry,
    "equilib_datasets": DatasetEntry,
    "equilib_experiments": ExperimentEntry,
    "equilib_kernels": KernelEntry,
    "equilib_communicators": CommunicatorEntry,
}
"""Each hook and the kind of entry that it yields, in the order of listings."""

KINDS: dict[str, type[Entry]] = {kind.noun: kind for kind in HOOKS.values()}
"""Each kind of entry by its noun."""
