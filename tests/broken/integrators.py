"""Integrators that break one law each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from inspect import getclosurevars
from typing import Any

import numpy as np

from equilib.arrays import array_namespace
from equilib.ode import Start, System
from equilib.ode.flow import Flow, FlowPoint, lane_rms, time_like
from equilib.ode.integrator import Attempt, Memory, Step, Traits
from equilib_scipy.integrators import RK45
from tests.broken.fault import Fault, laws
from tests.initial_value_problems import Heun as _Heun

Array = Any


@dataclass(frozen=True)
class Heun(_Heun):
    """Heun's method without options, to be broken."""

    order: int = field(default=2, init=False)


@dataclass
class HeunNotFrozen:
    """A dataclass, but not a frozen one."""

    order = 2
    controller = _Heun.controller
    traits = _Heun.traits
    begin = _Heun.begin
    attempt = _Heun.attempt
    advance = _Heun.advance
    interpolant = _Heun.interpolant


@dataclass(frozen=True)
class Boasting(Heun):
    """An order that it does not have."""

    order: int = field(default=3, init=False)


@dataclass(frozen=True)
class Careless(Heun):
    """An estimate of the error that is far too small."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error * 1e-4)


@dataclass(frozen=True)
class HalfBlind(Heun):
    """An estimate of the error from the second half of the step."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, and compare the slopes in its middle and at its end."""
        attempt = super().attempt(flow, start, h, memory)
        middle, end = (flow(start.t + c * h, flow.combine(start.y, h, (c,), (start.dy,))) for c in (0.5, 1.0))
        error = flow.sum(h, (1.0, -1.0), (middle, end))
        return replace(attempt, error=flow.error_norm(error, start, attempt.y))


@dataclass(frozen=True)
class Sparing(Heun):
    """The slope that was predicted for that at the end of the step."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, and keep the slope."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, stages=(flow(start.t + h, flow.combine(start.y, h, (1.0,), (start.dy,))),))

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Evaluate nothing."""
        y, dy = (flow.select(accepted, *pair) for pair in ((attempt.y, start.y), (attempt.stages[0], start.dy)))
        return FlowPoint(t, y, dy), memory


@dataclass(frozen=True)
class Switching(Heun):
    """A step of another method where there was an earlier one."""

    @property
    def traits(self) -> Traits:
        """Say that there is no such thing."""
        return Traits(one_step=True)

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Note that there was none."""
        return Memory(host=np.zeros(flow.lanes, dtype=bool))

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step by the midpoint rule where there was one."""
        attempt = super().attempt(flow, start, h, memory)
        slope = flow(start.t + h / 2, flow.combine(start.y, h, (0.5,), (start.dy,)))
        return replace(attempt, y=flow.select(memory.host, flow.combine(start.y, h, (1.0,), (slope,)), attempt.y))

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Note that there was one."""
        point, _ = super().advance(flow, start, t, attempt, accepted, memory)
        return point, Memory(host=memory.host | accepted)


@dataclass(frozen=True)
class Stepwise(Heun):
    """Values between steps that are those before the step."""

    def interpolant(self, flow: Flow, step: Step) -> list[Any]:
        """Return nothing to add."""
        return []


@dataclass(frozen=True)
class Forward(Heun):
    """Step sizes that are taken for positive."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        return super().attempt(flow, start, np.abs(h), memory)


@dataclass(frozen=True)
class Clinging(Heun):
    """A rejected step that moves the solution."""

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Go on from the attempt, accepted or not."""
        return FlowPoint(t, attempt.y, flow(t, attempt.y)), memory


@dataclass(frozen=True)
class SummingUp(Heun):
    """A sum over the batch in the update."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, y=attempt.y + 0 * array_namespace(attempt.y).sum(attempt.y))


@dataclass(frozen=True)
class Numerous(Heun):
    """Steps that depend on how many samples there are."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error * (1 + 0.1 * start.y.shape[0]))


@dataclass(frozen=True)
class PastTheCounter(Heun):
    """An evaluation that the flow does not see."""

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Call f itself."""
        problem = getattr(getattr(flow._f, "__self__", None), "problem", None)
        if problem is not None:
            getclosurevars(problem.f).nonlocals["problem"].f(np.zeros((1,) * start.y.ndim), start.y)
        return Memory()


@dataclass(frozen=True)
class WideningHeun(Heun):
    """A step in float64."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Convert the state."""
        attempt = super().attempt(flow, start, h, memory)
        xp = array_namespace(attempt.y)
        return replace(attempt, y=xp.astype(attempt.y, xp.float64))


@dataclass(frozen=True)
class Remembering(Heun):
    """A derivative that is kept on the integrator."""

    uses: list[int] = field(default_factory=list)

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Count."""
        self.uses.append(1)
        return Memory()

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step whose error grows with the number of integrations."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error * len(self.uses))


@dataclass(frozen=True)
class HeunOnNumPy(Heun):
    """NumPy's functions on whatever comes."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Call one of them."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, y=np.multiply(attempt.y, 1.0))


@dataclass(frozen=True)
class HoldingALambda(Heun):
    """A function made inside another, on the integrator."""

    update: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "update", lambda y: y)


@dataclass(frozen=True)
class Halfhearted(Heun):
    """A step of Euler's method for the first half of Heun's."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Weigh the slopes wrongly."""
        attempt = super().attempt(flow, start, h, memory)
        slope = flow(start.t + h, flow.combine(start.y, h, (1.0,), (start.dy,)))
        return replace(attempt, y=flow.combine(start.y, h, (0.6, 0.4), (start.dy, slope)))


@dataclass(frozen=True)
class Certain(Heun):
    """An estimate of the error that is zero."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=0.0 * attempt.error)


@dataclass(frozen=True)
class Library:
    """SciPy's method of order 5, to be broken."""

    order: int = field(default=5, init=False)
    together: bool = field(default=True, init=False)

    def stepper(self, system: System, start: Start) -> Any:
        """Begin an integration."""
        return RK45().stepper(system, start)


@dataclass(frozen=True)
class WithoutAtol(Library):
    """A library that is told rtol for atol."""

    def stepper(self, system: System, start: Start) -> Any:
        """Begin an integration."""
        return super().stepper(system, replace(start, atol=start.rtol))


@dataclass(frozen=True)
class Unbounded(Library):
    """A library that is not told how long its steps may be."""

    def stepper(self, system: System, start: Start) -> Any:
        """Begin an integration."""
        return super().stepper(system, replace(start, largest_step=np.inf))


@dataclass(frozen=True)
class AsItLikes(Library):
    """A library that keeps the tolerances that it was made with."""

    def stepper(self, system: System, start: Start) -> Any:
        """Begin an integration."""
        return super().stepper(system, replace(start, rtol=1e-8, atol=1e-30))


@dataclass(frozen=True)
class Bent(Heun):
    """A sign in the polynomial between two steps, whose ends are right."""

    def interpolant(self, flow: Flow, step: Step) -> list[Any]:
        """Return a cubic with too much at the first power and too little at the second."""
        first, second, third = super().interpolant(flow, step)
        return [1.4 * first, second - 0.4 * first, third]


@dataclass(frozen=True)
class Swallowing(Heun):
    """An error of nan that counts as none."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=np.nan_to_num(attempt.error))


@dataclass(frozen=True)
class Holding(Heun):
    """The last value in place of nan."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, or stay."""
        attempt = super().attempt(flow, start, h, memory)
        xp = array_namespace(attempt.y)
        y = xp.where(xp.isnan(attempt.y), start.y, attempt.y)
        return replace(attempt, y=y, error=np.nan_to_num(attempt.error))


@dataclass(frozen=True)
class ManyAtATime(Heun):
    """An error that is divided by the number of samples where there are many."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error / (1 if start.y.shape[0] < 16 else 2))


@dataclass(frozen=True)
class Dithering(Heun):
    """A step size with noise of NumPy's global generator."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        attempt = super().attempt(flow, start, h, memory)
        return replace(attempt, error=attempt.error * (1 + 1e-3 * np.random.random()))  # noqa: NPY002


@dataclass(frozen=True)
class OverTheStart(Heun):
    """An initial value that is overwritten."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, and end at where it began."""
        attempt = super().attempt(flow, start, h, memory)
        if type(start.y) is np.ndarray and (attempt.error <= 1).all():
            start.y[...] = attempt.y
        return attempt


@dataclass(frozen=True)
class OverTheSlope(Heun):
    """A slope at the start that is overwritten."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, and leave another slope for the next one from here."""
        attempt = super().attempt(flow, start, h, memory)
        if type(start.y) is np.ndarray:
            start.dy[...] *= 0.99
        return attempt


@dataclass(frozen=True)
class Clipping(Heun):
    """A solution that is kept within bounds."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step that ends between -50 and 50, and accept it there."""
        attempt = super().attempt(flow, start, h, memory)
        xp = array_namespace(attempt.y)
        y = xp.clip(attempt.y, -50.0, 50.0)
        far = bool(xp.any(xp.abs(attempt.y) >= 50))
        return replace(attempt, y=y, error=0 * attempt.error if far else attempt.error)


@dataclass(frozen=True)
class Standing(Heun):
    """A step that leads nowhere."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size 0."""
        return super().attempt(flow, start, 0 * h, memory)


def _with_more_error(attempt: Attempt, factor: Any) -> Attempt:
    return replace(attempt, error=attempt.error * factor)


@dataclass(frozen=True)
class Hurried(Heun):
    """A step that is called long beside 1."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, and trust a long one less."""
        return _with_more_error(super().attempt(flow, start, h, memory), 1 + np.abs(h))


@dataclass(frozen=True)
class Weighing(Heun):
    """A solution that is called large beside 1."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, and trust it less where y is large."""
        return _with_more_error(super().attempt(flow, start, h, memory), 1 + lane_rms(start.y, flow.lanes))


@dataclass(frozen=True)
class Historic(Heun):
    """A part of what the error is compared with that is the time."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step, and trust a late one more."""
        return _with_more_error(super().attempt(flow, start, h, memory), 1 / (1 + np.abs(start.t)))


@dataclass(frozen=True)
class Wary(Heun):
    """A step backward that is trusted less."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        return _with_more_error(super().attempt(flow, start, h, memory), np.where(h < 0, 1.5, 1.0))


@dataclass(frozen=True)
class Grasping(Heun):
    """What the user's f returned, kept for a second use."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step with slopes of which no copy was made."""
        problem = getattr(getattr(flow._f, "__self__", None), "problem", None)
        if problem is None or type(start.y) is not np.ndarray:
            return super().attempt(flow, start, h, memory)

        def slope(t: np.ndarray, y: Array) -> Array:
            return problem.f(time_like(t, y), y)

        first = slope(start.t, start.y)
        last = slope(start.t + h, flow.combine(start.y, h, (1.0,), (start.dy,)))
        y = flow.combine(start.y, h, (0.5, 0.5), (first, last))
        error = flow.sum(h, (0.5, -0.5), (first, last))
        return Attempt(y=y, error=flow.error_norm(error, start, y), order=2)


MANY = "treats_many_samples_separately"
NAN = laws("takes_back_a_step_into_nan", "ends_where_f_turns_nan")
BLIND = laws(
    "answers_between_its_steps",
    "finds_steady_states",
    "integrates_backwards",
    "is_honest_where_the_solution_blows_up",
    "recovers_from_a_step_too_long",
    "sees_where_f_jumps",
    "takes_back_a_step_into_nan",
)
REPEATS = laws("a_nan_stays_in_its_sample", "answers_between_its_steps", "runs_on_other_arrays")

FAULTS = (
    Fault(HeunNotFrozen(), "declares_its_options"),
    Fault(HoldingALambda(), "goes_to_other_processes"),
    Fault(Boasting(), "has_the_order_it_declares"),
    Fault(Halfhearted(), "has_the_order_it_declares", laws("follows_the_tolerance", "answers_between_its_steps")),
    Fault(Careless(), "follows_the_tolerance", BLIND),
    Fault(Certain(), "follows_the_tolerance", BLIND),
    Fault(WithoutAtol(), "follows_the_tolerance"),
    Fault(AsItLikes(), "follows_the_tolerance"),
    Fault(HalfBlind(), "sees_where_f_jumps"),
    Fault(Sparing(), "leaves_the_slope_that_it_says"),
    Fault(Switching(), "needs_no_earlier_step_if_it_says_so"),
    Fault(Stepwise(), "answers_between_its_steps"),
    Fault(Bent(), "answers_between_its_steps"),
    Fault(Unbounded(), "keeps_to_the_largest_step"),
    Fault(Forward(), "integrates_backwards", laws("does_not_know_the_direction_of_time")),
    Fault(Clinging(), "recovers_from_a_step_too_long", laws("sees_where_f_jumps", "takes_back_a_step_into_nan")),
    Fault(Swallowing(), "takes_back_a_step_into_nan", NAN),
    Fault(Holding(), "ends_where_f_turns_nan", NAN),
    Fault(Clipping(), "is_honest_where_the_solution_blows_up"),
    Fault(SummingUp(), "a_nan_stays_in_its_sample"),
    Fault(Numerous(), "treats_samples_separately", laws(MANY)),
    Fault(ManyAtATime(), MANY),
    Fault(PastTheCounter(), "counts_every_evaluation", laws("lets_f_use_arrays_again", "runs_on_other_arrays")),
    Fault(WideningHeun(), "keeps_dtypes"),
    Fault(Hurried(), "does_not_know_the_unit_of_time"),
    Fault(Weighing(), "does_not_know_the_unit_of_y"),
    Fault(Historic(), "does_not_know_the_origin_of_time", laws("does_not_know_the_unit_of_time")),
    Fault(Wary(), "does_not_know_the_direction_of_time"),
    Fault(Grasping(), "lets_f_use_arrays_again", laws("runs_on_other_arrays")),
    Fault(Remembering(), "keeps_nothing_on_itself"),
    Fault(Dithering(), "keeps_nothing_on_itself", REPEATS | laws("treats_samples_separately", MANY)),
    Fault(
        OverTheStart(),
        "keeps_nothing_on_itself",
        REPEATS | laws("has_the_order_it_declares", "leaves_what_it_is_given"),
    ),
    Fault(OverTheSlope(), "leaves_what_it_is_given", laws("runs_on_other_arrays")),
    Fault(HeunOnNumPy(), "runs_on_other_arrays"),
    Fault(
        Standing(),
        "finds_steady_states",
        BLIND | NAN | laws("follows_the_tolerance", "has_the_order_it_declares"),
    ),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
