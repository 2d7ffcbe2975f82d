"""The author's side of the plugin system: hooks, and the entries that the hooks yield.

A plugin is a module with functions marked by `hookimpl`, named in its package's entry-point group `equilib`:

    [project.entry-points.equilib]
    relaxation = "equilib_relaxation"
"""

from equilib.options.named import FIXED_POINT, ODE
from equilib.plugin.entries import (
    STEADY_STATE,
    TIME_STEPS,
    Capabilities,
    CommunicatorEntry,
    DatasetEntry,
    Entry,
    EntryError,
    ExperimentEntry,
    IntegratorEntry,
    KernelEntry,
    LinearSolverEntry,
    OptimizerEntry,
    SensitivityEntry,
    SolverEntry,
)
from equilib.plugin.hooks import HOOKS, KINDS, hookimpl, hookspec

__all__ = [
    "FIXED_POINT",
    "HOOKS",
    "KINDS",
    "ODE",
    "STEADY_STATE",
    "TIME_STEPS",
    "Capabilities",
    "CommunicatorEntry",
    "DatasetEntry",
    "Entry",
    "EntryError",
    "ExperimentEntry",
    "IntegratorEntry",
    "KernelEntry",
    "LinearSolverEntry",
    "OptimizerEntry",
    "SensitivityEntry",
    "SolverEntry",
    "hookimpl",
    "hookspec",
]
