"""Adjoint equations integrated backward in time, from one output time to the one before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeAlias

import numpy as np

from equilib.adjoints.sensitivity import Needs, Pullback, check_pullback
from equilib.arrays import Array, Tree, array_namespace, to_host, tree_map, zeros_like
from equilib.errors import NoDerivativeError
from equilib.fixed_points.linearization import Linearization
from equilib.ode.adjoints.augmented_state import is_floating
from equilib.ode.flow import ErrorNorm, lane_rms, time_like, tolerance_norm
from equilib.ode.integration import integrate
from equilib.ode.library import LibraryIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeOptions, OdeSolution
from equilib.ode.stops import Stretch
from equilib.ode.trajectory import Trajectory
from equilib.options import Checked

Cotangents = tuple[Array, tuple[Tree, ...]]
"""Those of y and of the inputs."""

INTEGRATION = (OdeProblem, OdeSolution), "the solution"
"""What the pullback of an integration takes, as `check_pullback` is told."""


Near: TypeAlias = Callable[[float, Array], tuple[Array, Callable[[Array], Array]]]
"""Maps s, as in `Interval`, and a state to the state's derivative and to the map v ↦ J v, J its derivative."""


PASSED, LONGER = 2, 1.2
"""Steps of the forward solution that one of a backward integral may touch, as these tell how fast f changes in time;
and how long it may be, compared with the longest of them."""

Reach: TypeAlias = Callable[[float], float]
"""Maps s, as in `Interval`, to how far a step from there may go back."""


class _Timed(OdeProblem):
    """A problem whose f takes the time as a number: at single precision an array would miss the end of the interval."""

    differentiable = False
    reach: Reach | None = None

    def longest_step(self, t: np.ndarray, largest: float | None) -> float | None:
        reach = np.inf if self.reach is None else self.reach(float(t[0]))
        return min(reach, np.inf if largest is None else largest)

    def with_fine_times(self, *, fine: bool = True) -> OdeProblem:
        return self

    def at(self, t: np.ndarray, y: Array) -> Array:
        return self.f(float(t[0]), y)

    def linearize_at(self, t: np.ndarray, y: Array) -> Linearization:
        return self.derivatives(self.f, float(t[0]), y)


def _timed(near: Near, reach: Reach | None) -> _Timed:
    def linearize(_: object, s: float, state: Array) -> Linearization:
        value, jvp = near(s, state)

        def vjp(_: Array) -> NoReturn:
            raise NoDerivativeError("an adjoint equation is linearized forward only; take another integrator")

        return Linearization(value=value, jvp=jvp, vjp=vjp, inputs_vjp=lambda _: ())

    problem = _Timed(lambda s, state: near(s, state)[0], linearize=linearize)
    problem.__dict__["reach"] = reach
    return problem


class Interval(NamedTuple):
    """What lies between two output times, `stretch`, in which s runs from `first` back to `last`.

    s is the time itself where samples share their times; else each has t = start + s (end − start), `speed`
    is dt/ds, and s runs from 1 to 0.
    """

    stretch: Stretch
    first: float
    last: float
    speed: Array | None

    def at(self, s: float) -> np.ndarray:
        """Return the times, shape (lanes,) on the host."""
        if self.speed is None:
            return self.stretch.inside(np.asarray([s]))
        t = self.stretch.start + s * (self.stretch.end - self.stretch.start)
        return np.asarray(np.clip(t, self.stretch.least, self.stretch.greatest))

    def reach(self, trajectory: Trajectory) -> Reach:
        """Return how far a step may go back that touches no more than `PASSED` steps of a trajectory, in every lane."""
        way, lanes = np.sign(self.first - self.last), trajectory.boundaries()
        if self.speed is not None:
            start, end = self.stretch.start, self.stretch.end
            lanes = [(t - a) / (b - a) for t, a, b in zip(lanes, start, end, strict=True) if a != b]
        earlier = [np.sort(way * each).tolist() for each in lanes]
        rounding = 1e-9 * abs(self.first - self.last)

        def of_lane(s: float, times: list[float]) -> float:
            place = bisect_left(times, s - rounding)
            first = max(place - PASSED, 0)
            lengths = [b - a for a, b in pairwise(times[first : place + 1])]
            return min(LONGER * max(lengths, default=np.inf), np.inf if place < PASSED else s - times[first])

        def reach(s: float) -> float:
            return min((of_lane(way * s, times) for times in earlier), default=np.inf)

        return reach

    def options(self, options: OdeOptions) -> OdeOptions:
        """Return the options with step sizes of s."""
        if self.speed is None:
            return options
        speed = float(np.max(np.abs(self.stretch.end - self.stretch.start)))
        sizes = {name: getattr(options, name) for name in ("first_step", "largest_step")}
        return replace(options, **{name: size and size / speed for name, size in sizes.items()})

    def paced(self, slope: Array) -> Array:
        """Return what is per time, an array like y, per s."""
        return slope if self.speed is None else slope * self.speed


class Equation(NamedTuple):
    """One adjoint equation as an initial value problem.

    `near` tells the state's derivative; `pack` maps the index of an output time and the
    cotangents of y and of the inputs there to a state; `unpack` the integration of that state and the cotangents of the
    inputs before it to both kinds of cotangents. `norm` is the error norm of the states; `checked` returns the
    integration to the output time of an index, with the status that it has by what is known there; `reach` bounds its
    steps, where it integrates what its norm does not see.
    """

    near: Near
    pack: Callable[[int, Array, tuple[Tree, ...]], Array]
    unpack: Callable[[OdeSolution, tuple[Tree, ...]], Cotangents]
    norm: ErrorNorm
    checked: Callable[[OdeSolution, int], OdeSolution] = lambda found, _: found
    reach: Reach | None = None


class BackwardAdjoint(Checked, ABC):
    """Integrates backward with the integrator, the tolerances and the step limit of the forward solution.

    A cotangent has no natural size (a mean over the batch divides it by that), so the absolute tolerance is taken
    relative to its root mean square. Tolerances of each component, which say nothing of those of a cotangent, are
    replaced by their geometric mean.
    """

    needs: ClassVar[Needs]
    dense: ClassVar[bool] = False
    """Whether `unpack` needs the trajectory."""

    @abstractmethod
    def equation(self, problem: OdeProblem, solution: OdeSolution, norm: ErrorNorm, interval: Interval) -> Equation:
        """Return the adjoint equation of a solution; `norm` is the error norm for cotangents."""

    def pullback(
        self, problem: OdeProblem, solution: OdeSolution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[OdeSolution]:
        """Return the cotangents of y(t₀) and of the inputs for that of `solution.y`; nan where a solve fails.

        Raises ValueError if the adjoint needs the trajectory, and the integration was not dense.
        """
        check_pullback(problem, solution, cotangent, *INTEGRATION)
        problem = problem.with_fine_times(fine=solution.fine_times)
        size = float(lane_rms(cotangent[None, ...], 1)[0])
        rtol, atol = _number(solution.options.rtol), _number(solution.options.atol)
        atol *= size if np.isfinite(size) and size > 0 else 1.0
        options = replace(solution.options, rtol=rtol, atol=atol, per_sample=False, on_failure="record")
        if self.needs.trajectory:
            _ = solution.trajectory  # asked for before anything is integrated
        if not solution.success:
            return no_derivative(problem, solution)
        y_bar, inputs = cotangent[-1, ...], tree_map(zeros_like, problem.inputs)
        solves: tuple[OdeSolution, ...] = ()
        for index in range(len(solution.t) - 1, 0, -1):
            interval = _interval(solution, index)
            if interval is not None:
                equation = self.equation(problem, solution, tolerance_norm(rtol, atol, 1), interval)
                state, times = equation.pack(index, y_bar, inputs), [interval.first, interval.last]
                own = None if isinstance(solution.integrator, LibraryIntegrator) else equation.norm
                how: dict[str, Any] = {"dense": self.dense, "error_norm": own}
                backward = _timed(equation.near, equation.reach), state, times, solution.integrator
                found = equation.checked(integrate(*backward, interval.options(options), **how), index - 1)
                solves = (*solves, found)
                if not found.success:
                    return no_derivative(problem, solution, solves)
                y_bar, inputs = equation.unpack(found, inputs)
            # At an output time its own cotangent is added.
            y_bar = y_bar + cotangent[index - 1, ...]
        return Pullback(inputs=inputs, start=y_bar, solves=solves)


def _number(tolerance: float | Array) -> float:
    """Return a tolerance, or the geometric mean of one for each component."""
    if isinstance(tolerance, float):
        return tolerance
    host = to_host(tolerance).astype(np.float64)
    return float(np.prod(host ** (1 / host.size)))


def _interval(solution: OdeSolution, index: int) -> Interval | None:
    """Return the interval before the output time `index`, None where it is empty."""
    earlier, later = np.atleast_1d(solution.t[index - 1]), np.atleast_1d(solution.t[index])
    if np.array_equal(earlier, later):
        return None
    least, greatest = np.minimum(earlier, later), np.maximum(earlier, later)
    between = [stop for stop in solution.stops if np.any((least < stop) & (stop < greatest))]
    if between:
        raise ValueError(f"an adjoint needs output times where f is not smooth: give t = {between} among them")
    stretch = Stretch.between(earlier, later, solution.stops)
    if solution.t.ndim == 1:
        return Interval(stretch, float(later[0]), float(earlier[0]), None)
    return Interval(stretch, 1.0, 0.0, time_like(later - earlier, solution.y[0, ...]))


def along_the_solution(
    problem: OdeProblem, solution: OdeSolution, interval: Interval
) -> Callable[[float], Linearization]:
    """Return the map of s, as in `Interval`, to f linearized on the solution; raises as `solution.trajectory`."""
    trajectory = solution.trajectory

    @lru_cache(maxsize=1)  # the iterations of an implicit stage are at one time
    def linearized(s: float) -> Linearization:
        t = interval.at(s)
        return problem.linearize_at(t, trajectory.at(t))

    return linearized


def linear_near(
    linearized: Callable[[float], Linearization], derivative: Callable[[Linearization, Array], Array]
) -> Near:
    """Return the `Near` of a state whose derivative is linear in it, a function of f linearized and of the state."""

    def near(s: float, state: Array) -> tuple[Array, Callable[[Array], Array]]:
        product = partial(derivative, linearized(s))
        return product(state), product

    return near


def no_derivative(
    problem: OdeProblem, solution: OdeSolution, solves: tuple[OdeSolution, ...] = ()
) -> Pullback[OdeSolution]:
    """Return nan for everything: what did not reach the end has no derivative."""

    def nan(leaf: Array) -> Array:
        xp = array_namespace(leaf)
        return xp.full_like(leaf, float("nan")) if is_floating(leaf) else xp.zeros_like(leaf)

    return Pullback(inputs=tree_map(nan, problem.inputs), start=nan(solution.y[0, ...]), solves=solves)
