"""Sensitivities of initial value problems that break one law each, many as those of fixed points do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from equilib import Pullback
from equilib.arrays import array_namespace, tree_map, zeros_like
from equilib.ode import OdeSolution
from equilib.ode.adjoints import Interpolating
from equilib_ode.tsit5 import Tsit5
from tests.broken import sensitivities as fixed_point
from tests.broken.fault import Fault, laws

Array = Any


@dataclass(frozen=True)
class Sound(fixed_point.Sound):
    """The adjoint along the interpolated solution, to be broken."""

    needs = Interpolating.needs

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Return the cotangents of the initial value and of the inputs."""
        return Interpolating().pullback(problem, solution, cotangent)


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    needs = Interpolating.needs
    pullback = Sound.pullback


@dataclass(frozen=True)
class HoldingALambda(fixed_point.HoldingALambda, Sound):
    """A function made inside another, on the sensitivity."""


@dataclass(frozen=True)
class Doubled(fixed_point.Doubled, Sound):
    """A factor that was forgotten."""


@dataclass(frozen=True)
class WithoutShared(fixed_point.WithoutShared, Sound):
    """Zero for what the samples share."""


@dataclass(frozen=True)
class LastTime(Sound):
    """The cotangent of the end alone."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Drop those of the times before."""
        xp = array_namespace(cotangent)
        last = xp.concat([0 * cotangent[:-1, ...], cotangent[-1:, ...]])
        return super().pullback(problem, solution, last)


@dataclass(frozen=True)
class FirstTimes(Sound):
    """The times of the first sample for all of them."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Take the first column."""
        shared = solution if solution.t.ndim == 1 else replace(solution, t=solution.t[:, :1] + 0 * solution.t)
        return super().pullback(problem, shared, cotangent)


@dataclass(frozen=True)
class AgainstTime(Sound):
    """The sign of an integral that runs backward in time."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Turn the inputs' cotangents round."""
        pulled = super().pullback(problem, solution, cotangent)
        return replace(pulled, inputs=tree_map(lambda leaf: -leaf, pulled.inputs))


@dataclass(frozen=True)
class OtherOrder(fixed_point.OtherOrder, Sound):
    """The injection before the parameters."""


@dataclass(frozen=True)
class WithoutStart(Sound):
    """No cotangent of the initial value."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Drop it."""
        return replace(super().pullback(problem, solution, cotangent), start=None)


@dataclass(frozen=True)
class Clipped(fixed_point.Clipped, Sound):
    """Large cotangents that are clipped."""


@dataclass(frozen=True)
class Thresholding(fixed_point.Thresholding, Sound):
    """Cotangents that count as zero where they are small."""


@dataclass(frozen=True)
class Normalizing(fixed_point.Normalizing, Sound):
    """A cotangent that is divided by its size."""


@dataclass(frozen=True)
class Widening(fixed_point.Widening, Sound):
    """Cotangents in float64."""


@dataclass(frozen=True)
class Forwarding(fixed_point.Forwarding, Sound):
    """The forward integration for its own."""


@dataclass(frozen=True)
class ZeroForNan(Sound):
    """Zero where there is no solution."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Return zeros."""
        if solution.success:
            return super().pullback(problem, solution, cotangent)
        return Pullback(inputs=tree_map(zeros_like, problem.inputs), start=zeros_like(solution.y[0, ...]))


@dataclass(frozen=True)
class Raising(Sound):
    """The policy of the forward solve, applied where there is no solution."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Raise."""
        if not solution.success and solution.options.on_failure == "raise":
            raise ArithmeticError("the integration did not reach its end")
        return super().pullback(problem, solution, cotangent)


@dataclass(frozen=True)
class Averaging(Sound):
    """A mean over the batch, which is the loss's business."""

    def pullback(self, problem: Any, solution: Any, cotangent: Array, *, guess: Any = None) -> Pullback[OdeSolution]:
        """Divide by the size of the batch."""
        return fixed_point.scaled(super().pullback(problem, solution, cotangent), 4 / cotangent.shape[1])


@dataclass(frozen=True)
class Remembering(fixed_point.Remembering, Sound):
    """A gradient that is mixed with the last one."""


@dataclass(frozen=True)
class Probing(fixed_point.Probing, Sound):
    """A random probe of NumPy's global generator."""


@dataclass(frozen=True)
class InPlace(fixed_point.InPlace, Sound):
    """A cotangent that is overwritten."""


@dataclass(frozen=True)
class NumPyOnly(fixed_point.NumPyOnly, Sound):
    """NumPy's functions on whatever comes."""


KNOWN = "agrees_with_the_known_derivatives"
OWN_TIMES = "follows_the_times_of_each_sample"
LINEAR = "is_linear_in_the_cotangent"
TREES = "returns_trees_like_the_inputs"
NAN = "returns_nan_where_the_solution_did_not_end"
ITSELF = "keeps_nothing_on_itself"

GRADIENTS = laws(
    KNOWN, OWN_TIMES, LINEAR, NAN, ITSELF, "sends_zero_to_zero", "treats_samples_separately", "runs_on_other_arrays"
)

_FAULTS = (
    Fault(NotFrozen(), "declares_its_options"),
    Fault(HoldingALambda(), "goes_to_other_processes"),
    Fault(Doubled(), KNOWN, laws(OWN_TIMES)),
    Fault(WithoutShared(), KNOWN, laws(OWN_TIMES)),
    Fault(LastTime(), KNOWN, laws(OWN_TIMES)),
    Fault(FirstTimes(), OWN_TIMES),
    Fault(AgainstTime(), KNOWN, laws(OWN_TIMES)),
    Fault(OtherOrder(), TREES, GRADIENTS),
    Fault(WithoutStart(), TREES, GRADIENTS),
    Fault(Clipped(), LINEAR),
    Fault(Thresholding(), LINEAR),
    Fault(Normalizing(), "sends_zero_to_zero", laws(KNOWN)),
    Fault(Widening(), TREES),
    Fault(Forwarding(), "reports_its_solves"),
    Fault(ZeroForNan(), NAN),
    Fault(Raising(), NAN),
    Fault(Averaging(), "treats_samples_separately"),
    Fault(Remembering(), ITSELF),
    Fault(Probing(), ITSELF),
    Fault(InPlace(), ITSELF),
    Fault(NumPyOnly(), "runs_on_other_arrays"),
)
FAULTS = tuple(replace(fault, declared={"integrator": Tsit5()}) for fault in _FAULTS)
"""Each with the law that names its fault; what else it fails is in `also`."""
