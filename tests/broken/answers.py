"""Solvers whose answers are wrong, or claimed to be better than they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib import JacobianFree, State
from equilib.arrays import array_namespace, host_norm, to_host, where_samples, zeros_like
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.options import NORMS
from equilib.options import option
from tests.broken.fault import Fault, laws
from tests.broken.sensitivities import Doubled
from tests.broken.sound import Failing, Sound

Array = Any


@dataclass(frozen=True)
class Resting(Sound):
    """A solver that goes nowhere."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Stay."""
        return state


@dataclass(frozen=True)
class RowsOnly(Sound):
    """Samples that are taken for vectors."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Unpack the shape."""
        _batch, _size = z0.shape
        return self.at(f, z0)


@dataclass(frozen=True)
class Squeezing(Sound):
    """A batch of one that loses its axis."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        return State(z, residual[0] if z.shape[0] == 1 else residual)


@dataclass(frozen=True)
class AbsoluteThreshold(Sound):
    """A constant that knows the size of z."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        small = host_norm(residual) < 1e-10
        return Failing(z, residual, small & f.active)


@dataclass(frozen=True)
class Raising(Sound):
    """An exception about divergence."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        if np.any(host_norm(residual)[1:] > 100):
            raise ArithmeticError("it diverges")
        return State(z, residual)


@dataclass(frozen=True)
class Lying(Sound):
    """A residual of zero for those who are lost."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        lost = host_norm(residual) > 100
        return State(z, where_samples(lost, array_namespace(z).zeros_like(z), residual))


@dataclass(frozen=True)
class RefusingNan(Sound):
    """An exception about nan."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        if np.isnan(to_host(residual)).any():
            raise FloatingPointError("nan in the residual")
        return State(z, residual)


@dataclass(frozen=True)
class WrongAdjoint(Sound):
    """An approximate gradient as if it were the gradient."""

    def adjoint(self) -> JacobianFree:
        """Return it."""
        return JacobianFree()


@dataclass(frozen=True)
class WholePicard:
    """Picard iteration with a loop of its own; `own` replaces the tolerance that was asked for."""

    own: float = option(0.0, help="tolerance of its own")

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> Any:
        """Iterate until the tolerance is met."""
        active = f.active.copy()
        z, residual = z0, f.residual(z0)
        for _ in range(max_steps):
            z = where_samples(active, z + residual, z)
            residual = f.residual(z)
            active &= ~self.met(f, z, residual)
            if not active.any():
                break
        return State(z, residual)

    def met(self, f: Evaluator, z: Array, residual: Array) -> np.ndarray:
        """Tell which samples are done."""
        return np.asarray(f.size(residual) <= (self.own or f.tolerance_at(z, residual)))


@dataclass(frozen=True)
class Denoising(Sound):
    """A step after which nan counts as zero."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        xp, z = array_namespace(state.z), state.z + state.residual
        residual = f.residual(z)
        return State(z, xp.where(xp.isnan(residual), xp.zeros_like(residual), residual))


@dataclass(frozen=True)
class GoingBack(Sound):
    """The iterate before nan, with a residual that is not its own."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        new = super().step(f, state)
        fit = np.isfinite(f.size(new.residual))
        return State(where_samples(fit, new.z, state.z), where_samples(fit, new.residual, state.residual / 2))


@dataclass(frozen=True)
class RefusingLateNan(Sound):
    """An exception about nan on the way."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        new = super().step(f, state)
        if np.isnan(to_host(new.residual)[f.active]).any():
            raise FloatingPointError("nan in the residual")
        return new


@dataclass(frozen=True)
class Satisfied(Sound):
    """A test of its own, after which it reports a residual of zero."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        residual = f.residual(z)
        done = host_norm(residual) < 1e-6 * host_norm(z)
        return State(z, where_samples(done, zeros_like(residual), residual))


@dataclass(frozen=True)
class Thorough(WholePicard):
    """A loop that goes on when it is done."""

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> Any:
        """Iterate sixty times."""
        return super().run(f, z0, min(60, max_steps))

    def met(self, f: Evaluator, z: Array, residual: Array) -> np.ndarray:
        """Tell of no sample that it is done."""
        return np.zeros(z.shape[0], dtype=bool)


@dataclass(frozen=True)
class WithoutAtol(WholePicard):
    """A tolerance made from rtol alone."""

    def met(self, f: Evaluator, z: Array, residual: Array) -> np.ndarray:
        """Tell which samples are done."""
        return np.asarray(f.size(residual) <= f.options.rtol * f.size(z))


@dataclass(frozen=True)
class InItsOwnNorm(WholePicard):
    """A test in the mean square, whatever the norm of the solve."""

    def met(self, f: Evaluator, z: Array, residual: Array) -> np.ndarray:
        """Tell which samples are done."""
        rms = NORMS["rms"]
        return np.asarray(host_norm(residual, rms) <= f.options.rtol * host_norm(z, rms) + f.options.atol)


@dataclass(frozen=True)
class Rounding(Sound):
    """Iterates that go through float32."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Round the next iterate."""
        xp, z = array_namespace(state.z), state.z + state.residual
        return self.at(f, xp.astype(xp.astype(z, xp.float32), z.dtype))


@dataclass(frozen=True)
class LeavingTheLast(Sound):
    """A loop over the samples that ends too early."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Leave the last sample where it is."""
        moving = np.arange(state.z.shape[0]) < max(state.z.shape[0] - 1, 1)
        return self.at(f, where_samples(moving, state.z + state.residual, state.z))


@dataclass(frozen=True)
class Relative(Sound):
    """A residual that is divided by the size of z where that is large."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        xp, residual = array_namespace(state.z), f.residual(state.z)
        z = state.z + residual
        return State(z, f.residual(z) / xp.where(xp.abs(z) > 8, 1e6 * xp.abs(z), xp.ones_like(z)))


@dataclass(frozen=True)
class DoubledAdjoint(Sound):
    """An adjoint of its own with a factor that was forgotten."""

    def adjoint(self) -> Doubled:
        """Return it."""
        return Doubled()


FINDS = laws("finds_dense_fixed_points", "finds_fixed_points_of_images", "finds_a_fixed_point_without_a_batch")
CONVERGES = FINDS | laws(
    "honours_the_tolerance",
    "does_not_depend_on_units",
    "differentiates_through_its_default_adjoint",
    "a_finished_sample_harms_nobody",
    "takes_one_sample_or_none",
)
REMOVES = "keeps_answers_without_finished_samples"
IMAGES = laws("returns_the_residual_of_its_iterate", "keeps_nothing_on_itself", "keeps_shapes")
ALONE = laws("finds_a_fixed_point_without_a_batch", "takes_one_sample_or_none")
HONEST = laws("is_honest_where_f_expands", "is_honest_without_a_fixed_point")
NAN = laws("a_nan_stays_in_its_sample")

FAULTS = (
    Fault(Resting(), "finds_dense_fixed_points", CONVERGES | laws(REMOVES)),
    Fault(
        LeavingTheLast(),
        "finds_dense_fixed_points",
        CONVERGES - ALONE | laws("treats_samples_separately", "treats_many_samples_separately", REMOVES),
    ),
    Fault(
        Rounding(),
        "finds_dense_fixed_points",
        FINDS | laws("honours_the_tolerance", "differentiates_through_its_default_adjoint"),
    ),
    Fault(RowsOnly(), "finds_fixed_points_of_images", IMAGES),
    Fault(Squeezing(), "finds_a_fixed_point_without_a_batch", ALONE | laws("treats_samples_separately", REMOVES)),
    Fault(WholePicard(1e-3), "honours_the_tolerance", CONVERGES),
    Fault(
        Satisfied(),
        "honours_the_tolerance",
        laws("differentiates_through_its_default_adjoint", "finds_fixed_points_of_images"),
    ),
    Fault(Thorough(), "honours_the_tolerance"),
    Fault(WithoutAtol(), "honours_the_tolerance"),
    Fault(InItsOwnNorm(), "honours_the_tolerance"),
    Fault(AbsoluteThreshold(), "does_not_depend_on_units"),
    Fault(Lying(), "is_honest_where_f_expands", HONEST),
    Fault(
        Raising(),
        "is_honest_without_a_fixed_point",
        HONEST
        | laws(
            "counts_every_evaluation",
            "treats_samples_separately",
            "treats_many_samples_separately",
            "does_not_depend_on_units",
        ),
    ),
    Fault(Relative(), "is_honest_where_z_drifts_away", HONEST),
    Fault(RefusingNan(), "survives_a_map_that_returns_nan", NAN | laws("survives_a_map_that_turns_nan")),
    Fault(Denoising(), "survives_a_map_that_turns_nan"),
    Fault(GoingBack(), "survives_a_map_that_turns_nan"),
    Fault(RefusingLateNan(), "survives_a_map_that_turns_nan", NAN),
    Fault(WrongAdjoint(), "differentiates_through_its_default_adjoint"),
    Fault(DoubledAdjoint(), "differentiates_through_its_default_adjoint"),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
