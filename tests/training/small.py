"""A deep equilibrium classifier that trains in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equilib import ops
from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solver import Solver
from equilib.layers import Activation, Dense
from equilib.models import DeepEquilibrium, DEQChain, InitialGuess, InjectedCell, OneStepGuess
from equilib.training.data import Dataset
from equilib.training.objectives import Classification, Objective
from equilib.training.optimizers import Adam
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from equilib.training.trainer import Trainer
from equilib_newton_gmres.solver import NewtonGMRES

FEATURES, STATE, CLASSES = 4, 6, 3
TRAIN, TEST = 50, 20


def normal(scale: float) -> Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]:
    """Return an initializer of normal values."""
    return lambda rng, shape: (scale * rng.standard_normal(shape)).astype(np.float32)


def network(
    *,
    solver: Solver | None = None,
    weight: float = 0.2,
    activation: Callable[[Any], Any] = ops.tanh,
    guess: InitialGuess | None = None,
    sensitivity: Sensitivity | None = None,
    options: SolveOptions | None = None,
) -> DEQChain:
    """Return dense → equilibrium of activation(W z + V x) → dense, with W of that scale."""
    cell = InjectedCell(
        Dense(STATE, STATE), Dense(STATE, STATE, bias=False, initial_weight=normal(weight)), Activation(activation)
    )
    deq = DeepEquilibrium(
        cell,
        solver or NewtonGMRES(),
        guess or OneStepGuess(),
        sensitivity,
        options=options or SolveOptions(rtol=1e-4, on_failure="record"),
    )
    return DEQChain(Dense(FEATURES, STATE), deq, Dense(STATE, CLASSES))


def clusters(train: int = TRAIN, test: int = TEST) -> Dataset:
    """Return noisy points around one centre for each class."""
    rng = np.random.default_rng(3)
    centres = 2 * rng.standard_normal((CLASSES, FEATURES))
    classes = rng.integers(0, CLASSES, train + test)
    points = (centres[classes] + rng.standard_normal((train + test, FEATURES))).astype(np.float32)
    return Dataset(
        train_inputs=points[:train],
        train_targets=classes[:train],
        test_inputs=points[train:],
        test_targets=classes[train:],
    )


@dataclass
class Heard:
    """A reporter that remembers."""

    lines: list[str] = field(default_factory=list)
    batches: list[tuple[str, int, int, float]] = field(default_factory=list)

    def line(self, text: str) -> None:
        """Remember a line."""
        self.lines.append(text)

    def event(self, kind: str, text: str, fields: Mapping[str, Any]) -> None:
        """Remember a line."""
        self.lines.append(text)

    def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
        """Remember a batch of training."""
        if loss is not None:
            self.batches.append((title, index, count, loss))

    def close(self) -> None:
        """Do nothing."""


def trainer(
    model: DEQChain | None = None,
    *,
    data: Dataset | None = None,
    plan: Plan | None = None,
    objective: Objective | None = None,
    schedule: Callable[[int], float] | None = None,
    reporter: Heard | None = None,
    seed: int = 0,
    **settings: Any,
) -> Trainer:
    """Return a trainer of the small network on the clusters."""
    model = model or network()
    rng = np.random.default_rng(seed)
    return Trainer(
        model=model,
        params=model.init(rng),
        data=data or clusters(),
        objective=objective or Classification(),
        optimizer=Adam(),
        schedule=schedule or Constant(1e-2),
        plan=plan or Plan(pretrain_epochs=1, pretrain_depth=4, epochs=2, batch_size=8, test_batch_size=7),
        rng=rng,
        reporter=reporter or Heard(),
        **settings,
    )
