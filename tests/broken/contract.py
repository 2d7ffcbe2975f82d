"""Solvers that break an obligation of the protocol each."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import getclosurevars
from typing import Any

import numpy as np

from equilib import State
from equilib.arrays import array_namespace, samples_as_rows, zeros_like
from equilib.fixed_points.evaluator import Evaluator
from equilib.options import option
from tests.broken.answers import CONVERGES, WholePicard
from tests.broken.fault import Fault, laws
from tests.broken.sound import Failing, Sound

Array = Any


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    init = Sound.init
    step = Sound.step
    at = Sound.at


@dataclass(frozen=True)
class WithoutHelp(Sound):
    """An option nobody can read about."""

    damping: float = 0.0


@dataclass(frozen=True)
class WithoutDefault(Sound):
    """A solver that cannot be chosen by its name."""

    matrix: np.ndarray = field(kw_only=True)


@dataclass(frozen=True)
class WrongSign(Sound):
    """The residual as z − f(z)."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Evaluate the initial guess."""
        return State(z0, z0 - f(z0))

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        z = state.z - state.residual
        return State(z, z - f(z))


@dataclass(frozen=True)
class Stale(Sound):
    """The residual of the iterate before."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        residual = f.residual(state.z)
        return State(state.z + residual, residual)


@dataclass(frozen=True)
class Looping(Sound):
    """All the iterations in one step."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Iterate."""
        for _ in range(200):
            state = self.at(f, state.z + state.residual)
        return state


@dataclass(frozen=True)
class Remembering(Sound):
    """A warm start that is kept on the solver."""

    memory: dict[str, Array] = field(default_factory=dict)

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Start from the last answer."""
        return self.at(f, self.memory.get(str(z0.shape), z0))

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z, and keep it."""
        self.memory[str(z.shape)] = z
        return State(z, f.residual(z))


@dataclass(frozen=True)
class InPlace(Sound):
    """A step that saves an array."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Scale the residual where it is."""
        step = state.residual
        step *= 0.9
        return self.at(f, state.z + step)


@dataclass(frozen=True)
class OnTheGuess(Sound):
    """A step that works on the array it was given."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Add to the iterate."""
        z = state.z
        z += state.residual
        return self.at(f, z)


@dataclass(frozen=True)
class Flattening(Sound):
    """A state of rows, whatever the shape of z0."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Evaluate the initial guess."""
        return State(samples_as_rows(z0), samples_as_rows(f.residual(z0)))


@dataclass(frozen=True)
class OneVerdict(Sound):
    """One `failed` for the whole batch."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        return Failing(z, f.residual(z), np.zeros(1, dtype=bool))


@dataclass(frozen=True)
class Widening(Sound):
    """A residual in float64."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        xp = array_namespace(state.z)
        z = state.z + xp.astype(state.residual, state.z.dtype)
        return State(z, xp.astype(f.residual(z), xp.float64))


@dataclass(frozen=True)
class Uncounted(Sound):
    """An evaluation past the counter."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        problem = getclosurevars(f.problem.f).nonlocals["problem"]
        return State(z, problem(z) - z)


@dataclass(frozen=True)
class Undeclared(Sound):
    """A product J·v that nobody was told of."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Take a step of a Neumann series."""
        linear = f.linearize(state.z)
        return self.at(f, state.z + state.residual + linear.jvp(state.residual))


@dataclass(frozen=True)
class NumPyOnly(Sound):
    """NumPy's functions on whatever comes."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        return self.at(f, np.add(state.z, state.residual))


@dataclass(frozen=True)
class Eager(Sound):
    """A step before the first."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Begin at f(z0)."""
        return self.at(f, f(z0))


@dataclass(frozen=True)
class FunctionAsOption(Sound):
    """An option that has no text."""

    measure: Any = option(np.abs, help="size of a residual")


@dataclass(frozen=True)
class HoldingALambda(Sound):
    """A function made inside another, on the solver."""

    update: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "update", lambda z, residual: z + residual)


@dataclass(frozen=True)
class Halving(Sound):
    """The step for the residual."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        return State(z, 0.5 * f.residual(z))


@dataclass(frozen=True)
class Endless(WholePicard):
    """A loop that does not look at max_steps."""

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> Any:
        """Iterate a hundred times at least."""
        return super().run(f, z0, max(max_steps, 100))


@dataclass(frozen=True)
class StaleWhole(WholePicard):
    """A library's loop whose residual is that of the iterate before."""

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> Any:
        """Return an iterate that is one step further."""
        state = super().run(f, z0, max_steps)
        return State(state.z + state.residual, state.residual)


DRAWS = np.random.default_rng(0)


@dataclass(frozen=True)
class Drawing(Sound):
    """A random number that no second solve repeats."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Take a step of random length, the same for all samples."""
        share = float(DRAWS.uniform(0.9, 1.0))
        return self.at(f, state.z + share * state.residual)


@dataclass(frozen=True)
class Reseeding(Sound):
    """A seed for everybody."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Seed NumPy's global generator."""
        np.random.seed(0)  # noqa: NPY002
        return super().init(f, z0)


@dataclass(frozen=True)
class Deactivating(Sound):
    """A note in the driver's array of samples that it need not work on."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        new = super().step(f, state)
        f.active[:] = False
        return new


@dataclass(frozen=True)
class Loosening(Sound):
    """A tolerance that is changed for all."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        f.tolerance *= 10
        return super().step(f, state)


@dataclass(frozen=True)
class VerdictAsList(Sound):
    """A `failed` that is no array."""

    def at(self, f: Evaluator, z: Array) -> Any:
        """Evaluate at z."""
        return Failing(z, f.residual(z), [False] * z.shape[0])


@dataclass(frozen=True)
class WideningByAScalar(Sound):
    """A number of NumPy's, which widens what it is multiplied by."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        z = state.z + state.residual * (np.float64(1.0) if type(state.z) is np.ndarray else 1.0)
        return State(z, f.residual(array_namespace(z).astype(z, state.z.dtype)))


@dataclass(frozen=True)
class Discounting(Sound):
    """Evaluations that are taken off the count."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate for nothing."""
        new = super().step(f, state)
        f.counts.nfe -= 1
        return new


@dataclass(frozen=True)
class UncountedProducts(Sound):
    """A product J·v past the counter."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Take a step of a Neumann series."""
        problem = getclosurevars(f.problem.f).nonlocals["problem"]
        linear = problem.derivatives(problem.f, state.z, *f.problem.inputs)
        return self.at(f, state.z + state.residual + linear.jvp(state.residual))


@dataclass(frozen=True)
class UndeclaredTranspose(Undeclared):
    """A product Jᵀ·w that nobody was told of, beside one with J that was declared."""

    def step(self, f: Evaluator, state: Any) -> Any:
        """Look at the gradient of the residual."""
        f.linearize(state.z).vjp(state.residual)
        return super().step(f, state)


@dataclass(frozen=True)
class FromZero(Sound):
    """An initial guess of its own."""

    def init(self, f: Evaluator, z0: Array) -> Any:
        """Begin at zero."""
        return self.at(f, zeros_like(z0))


REMOVES = "keeps_answers_without_finished_samples"
TOLERANCE = "honours_the_tolerance"
LATE = "survives_a_map_that_turns_nan"
IMAGES = laws("keeps_nothing_on_itself", "keeps_shapes", "finds_fixed_points_of_images")
START = laws("needs_no_step_from_the_answer", "allows_no_step_at_all")
MATES = laws(
    "a_nan_stays_in_its_sample",
    "a_finished_sample_harms_nobody",
    "treats_samples_separately",
    REMOVES,
)
REPEATS = MATES | laws("a_hopeless_sample_harms_nobody", "treats_many_samples_separately")

FAULTS = (
    Fault(NotFrozen(), "declares_its_options"),
    Fault(WithoutHelp(), "declares_its_options"),
    Fault(WithoutDefault(matrix=np.eye(2)), "declares_its_options"),
    Fault(FunctionAsOption(), "declares_its_options"),
    Fault(HoldingALambda(), "goes_to_other_processes"),
    Fault(WrongSign(), "returns_the_residual_of_its_iterate", laws(LATE)),
    Fault(Stale(), "returns_the_residual_of_its_iterate"),
    Fault(Halving(), "returns_the_residual_of_its_iterate", laws(TOLERANCE, LATE)),
    Fault(StaleWhole(), "returns_the_residual_of_its_iterate"),
    Fault(Looping(), "takes_one_step_at_a_time", laws(TOLERANCE)),
    Fault(Endless(), "takes_one_step_at_a_time"),
    Fault(Remembering(), "keeps_nothing_on_itself"),
    Fault(Drawing(), "keeps_nothing_on_itself", REPEATS | laws("runs_on_other_arrays")),
    Fault(Reseeding(), "keeps_nothing_on_itself"),
    Fault(InPlace(), "changes_no_array_in_place", laws(LATE)),
    Fault(OnTheGuess(), "changes_no_array_in_place", MATES | laws(LATE)),
    Fault(Deactivating(), "changes_no_array_in_place", CONVERGES | laws(REMOVES)),
    Fault(Loosening(), "changes_no_array_in_place"),
    Fault(Flattening(), "keeps_shapes", IMAGES | laws("returns_the_residual_of_its_iterate")),
    Fault(OneVerdict(), "keeps_shapes", laws(REMOVES)),
    Fault(VerdictAsList(), "keeps_shapes", laws(REMOVES)),
    Fault(Widening(), "keeps_dtypes", laws("runs_on_other_arrays")),
    Fault(WideningByAScalar(), "keeps_dtypes", laws("runs_on_other_arrays")),
    Fault(Uncounted(), "counts_every_evaluation", laws(TOLERANCE, REMOVES)),
    Fault(Discounting(), "counts_every_evaluation", laws(TOLERANCE, REMOVES)),
    Fault(UncountedProducts(), "counts_every_evaluation", declared={"needs": ("jvp",)}),
    Fault(Undeclared(), "uses_only_what_it_declares", declared={"needs": ("vjp",)}),
    Fault(UndeclaredTranspose(), "uses_only_what_it_declares", declared={"needs": ("jvp",)}),
    Fault(NumPyOnly(), "runs_on_other_arrays"),
    Fault(Eager(), "needs_no_step_from_the_answer", START),
    Fault(FromZero(), "allows_no_step_at_all", START | laws(*sorted(MATES)[:2])),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
