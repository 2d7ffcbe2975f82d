"""Solvers in whose batches the samples are not by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from equilib import Linearization, State
from equilib.arrays import array_namespace, host_norm, samples_as_rows, two_norm
from equilib.fixed_points.evaluator import Evaluator
from equilib.options import option
from tests.broken.fault import Fault, laws
from tests.broken.sound import Failing, Sound

Array = Any


@dataclass(frozen=True)
class Masking(Sound):
    """Samples that are picked by multiplying with zeros and ones."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        rows = samples_as_rows(state.residual)
        xp = array_namespace(rows)
        picked = xp.sum(xp.eye(rows.shape[0], dtype=rows.dtype)[:, :, None] * rows[None, :, :], axis=1)
        return self.at(f, state.z + xp.reshape(picked, state.z.shape))


@dataclass(frozen=True)
class Dividing(Sound):
    """A quotient of residuals, summed over the batch."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        xp = array_namespace(state.z)
        norm = two_norm(state.residual)
        return self.at(f, state.z + state.residual + 0 * xp.sum(norm / norm))


@dataclass(frozen=True)
class Squaring(Sound):
    """A square that overflows, summed over the batch."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, state.z + state.residual + 0 * array_namespace(state.z).sum(state.z**2))


@dataclass(frozen=True)
class RestartingFromZero(Sound):
    """Elements of z that are not finite, replaced by zero."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        z, xp = state.z + state.residual, array_namespace(state.z)
        return self.at(f, xp.where(xp.isfinite(z), z, xp.zeros_like(z)))


@dataclass(frozen=True)
class Coupling(Sound):
    """One step length for the batch."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, state.z + (1 - 0.02 * state.z.shape[0]) * state.residual)


@dataclass(frozen=True)
class CouplingWhereLarge(Sound):
    """A shorter step for a large batch in which one residual is large."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        large = state.z.shape[0] >= 20 and np.max(f.size(state.residual)) > 1e3
        return self.at(f, state.z + (0.8 if large else 1.0) * state.residual)


@dataclass(frozen=True)
class NeverEmpty(Sound):
    """A largest residual of no samples."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        array_namespace(z).max(residual)
        return State(z, residual)


@dataclass(frozen=True)
class Mislaying(Sound):
    """The first samples of its state, whichever go on."""

    def restrict(self, f: Evaluator, state: Any, rows: np.ndarray) -> Any:
        """Return the state of some samples."""
        return State(state.z[: len(rows), ...], state.residual[: len(rows), ...])


@dataclass(frozen=True)
class CouplingFrom(Sound):
    """A shortcut for large batches, which are taken for one system."""

    samples: int = option(16, help="size of a large batch")

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate, damped in a large batch."""
        share = 0.9 if state.z.shape[0] >= self.samples else 1.0
        return self.at(f, state.z + share * state.residual)


@dataclass(frozen=True)
class GivingUpTogether(Sound):
    """A failure of one sample that ends all."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        lost = not np.isfinite(host_norm(residual)).all()
        return Failing(z, residual, np.full(z.shape[0], lost))


@dataclass(frozen=True)
class ChangingAfterACut(Sound):
    """A step that is shorter once samples have left."""

    def restrict(self, f: Evaluator, state: Any, rows: np.ndarray) -> Any:
        """Return the state of some samples, their residuals halved."""
        return State(state.z[rows], 0.5 * state.residual[rows])


@dataclass(frozen=True)
class Linearized(State):
    """A state with a linearization."""

    linear: Linearization = field(repr=False)


@dataclass(frozen=True)
class KeepingALinearization(Sound):
    """A linearization of the whole batch that is used after samples have left."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Linearize at z."""
        linear = f.linearize(z)
        return Linearized(z, linear.value - z, linear)

    def step(self, f: Evaluator, state: Any) -> Any:
        """Take a step of a Neumann series."""
        return self.at(f, state.z + state.residual + state.linear.jvp(state.residual))

    def restrict(self, f: Evaluator, state: Any, rows: np.ndarray) -> Any:
        """Return the state of some samples."""
        return replace(state, z=state.z[rows], residual=state.residual[rows])


@dataclass(frozen=True)
class Historical(State):
    """A state with the iterates before, their number first."""

    history: Array = field(repr=False)


@dataclass(frozen=True)
class HistoryFirst(Sound):
    """A history whose first axis is not the batch."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Begin with five times the initial guess."""
        return Historical(z0, f.residual(z0), array_namespace(z0).stack([z0] * 5))

    def step(self, f: Evaluator, state: Any) -> Any:
        """Add a little of the last change."""
        z = state.z + state.residual + 0.01 * (state.z - state.history[-1, ...])
        history = array_namespace(z).concat([state.history[1:, ...], state.z[None, ...]])
        return Historical(z, f.residual(z), history)


@dataclass(frozen=True)
class LambdaState(State):
    """A state with a function."""

    next: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class LambdaInTheState(Sound):
    """A function made inside another, in the state."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        return LambdaState(z, residual, lambda: z + residual)


REMOVES = "keeps_answers_without_finished_samples"
SAMPLES, MANY = "treats_samples_separately", "treats_many_samples_separately"

FAULTS = (
    Fault(Masking(), "a_nan_stays_in_its_sample"),
    Fault(GivingUpTogether(), "a_nan_stays_in_its_sample"),
    Fault(RestartingFromZero(), "a_nan_stays_in_its_sample"),
    Fault(Dividing(), "a_finished_sample_harms_nobody", laws("a_nan_stays_in_its_sample", REMOVES)),
    Fault(Squaring(), "a_hopeless_sample_harms_nobody", laws("a_nan_stays_in_its_sample")),
    Fault(Coupling(), SAMPLES, laws(MANY, REMOVES)),
    Fault(CouplingFrom(), MANY),
    Fault(CouplingWhereLarge(), MANY),
    Fault(CouplingFrom(128), MANY),
    Fault(NeverEmpty(), "takes_one_sample_or_none"),
    Fault(Mislaying(), REMOVES),
    Fault(ChangingAfterACut(), REMOVES),
    Fault(KeepingALinearization(), REMOVES, declared={"needs": ("jvp",)}),
    Fault(HistoryFirst(), REMOVES),
    Fault(LambdaInTheState(), REMOVES),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
