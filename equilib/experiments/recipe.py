"""Recipes: how the network of an experiment is made, solved and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from equilib.arrays import Array
from equilib.models import Cell, DeepEquilibrium, InitialGuess
from equilib.options.named import FIXED_POINT
from equilib.plugin.choice import Choice
from equilib.runs.flags import FILES
from equilib.runs.request import RunRequest
from equilib.training.objectives import Classification, Objective
from equilib.training.plan import Plan
from equilib.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of an experiment but its data.

    Attributes
    ----------
    network : callable
        Makes the network, given the method: a `Choice`.
    schedule : float or callable
        The learning rate, or what makes the schedule of it, given the number of updates.
    solves : str
        What `--solver` solves: "fixed point" or "ode".
    solver : str
        The name of the solver, or of the integrator, unless the user names another.
    options : mapping
        Preferred options of the solver and its driver; they hold where another solver has them, too.
    optimizer : str
        The optimizer unless the user names another: a name with options, as in "adam:weight_decay=0.01".
    plan : Plan
        Epochs and sizes of batches unless the user gives others.
    transform : callable, optional
        Changes the inputs of a batch at random, for training.
    title : str
        What the model is, for people.
    samples : str
        What the samples are, in the plural.
    reads_files : bool
        Whether the data is looked for in `context.data_dir`, which `--data-dir` names.
    conclude : callable, optional
        Measures the trained model once more: a name and a number for each thing worth knowing at the end.
    """

    network: Callable[..., Any]
    schedule: float | Callable[[int], Callable[[int], float]]
    solves: str = FIXED_POINT
    solver: str = "newton-gmres"
    options: Mapping[str, object] = field(default_factory=dict)
    objective: Objective = field(default_factory=Classification)
    optimizer: str = "adam"
    plan: Plan = field(default_factory=Plan)
    transform: Callable[[Array, np.random.Generator], Array] | None = None
    title: str = ""
    samples: str = "samples"
    reads_files: bool = False
    conclude: Callable[[Trainer], Mapping[str, float]] | None = None

    @property
    def uses(self) -> frozenset[str]:
        """What flags of `equilib run` may need."""
        return frozenset({self.solves, *([FILES] if self.reads_files else [])})

    def asked(self, request: RunRequest) -> Recipe:
        """Return the recipe with the plan that was asked for, as far as it was.

        Raises UserError if a flag was given that it cannot use.
        """
        request.refuse_unusable(self.uses)
        given = {each.name: getattr(request, each.name, None) for each in fields(Plan)}
        plan = replace(self.plan, **{name: value for name, value in given.items() if value is not None})
        return replace(self, plan=plan)


def equilibrium(cell: Cell, guess: InitialGuess, method: Choice) -> DeepEquilibrium:
    """Return the equilibrium layer z = cell(z, x) that is solved and differentiated by a method."""
    return DeepEquilibrium(
        cell, method.solver, guess, method.sensitivity, options=method.options, fallback=method.fallback
    )
