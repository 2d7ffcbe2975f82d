"""What a plugin author imports: the hooks, and the records that the hooks yield.

A plugin is a module with functions marked by `hookimpl`, named in its package's entry-point group `equilib`:

    [project.entry-points.equilib]
    relaxation = "equilib_relaxation"
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import pluggy

from equilib.errors import UserError
from equilib.options import describe

hookspec = pluggy.HookspecMarker("equilib")
hookimpl = pluggy.HookimplMarker("equilib")

_NAME = re.compile(r"[a-z0-9]+([-_.:][a-z0-9]+)*")


class EntryError(UserError):
    """A record was found, and what it names cannot be used here."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a solver needs and what it does to a batch.

    Attributes
    ----------
    needs_jvp, needs_vjp : bool
        Whether it uses J·v, Jᵀ·w.
    couples_samples : bool
        Whether one sample's answer may depend on the others in its batch.
    backends : tuple of str
        The array libraries it runs on, as in ("numpy", "cupy"); "any" is every array-API library.
    kind : str
        "iterative" for a solver that steps, "whole" for one that solves in one call.
    least_steps : int
        A limit of steps below which it is of no use: it gets this where an experiment prefers less for another solver.
    """

    needs_jvp: bool = False
    needs_vjp: bool = False
    couples_samples: bool = False
    backends: tuple[str, ...] = ("any",)
    kind: str = "iterative"
    least_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What every record holds.

    Attributes
    ----------
    name : str
        What users type: lower-case words and digits joined by one of "-_.:".
    factory : type or str
        A frozen dataclass whose fields are the options; or "module:Class", imported when it is first used.
    summary : str
        One line for lists.
    unavailable : str
        Why it cannot be used here, as in "install equilib[sundials]"; empty where it can.
    """

    noun: ClassVar[str] = "entry"

    name: str
    factory: type[Any] | str
    summary: str
    unavailable: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a {self.noun}: use lower-case words joined by '-'")

    def load(self) -> type[Any]:
        """Import the factory where it is a string, and return the class.

        Raises
        ------
        EntryError
            If it is unavailable here, cannot be imported, or is not a frozen dataclass with readable options.
        """
        if self.unavailable:
            raise EntryError(f"{self.noun} {self.name!r} cannot be used here: {self.unavailable}")
        try:
            factory = pkgutil.resolve_name(self.factory) if isinstance(self.factory, str) else self.factory
            describe(factory)
        except Exception as error:
            raise EntryError(
                f"{self.noun} {self.name!r} could not be loaded from {self.factory!r}: {type(error).__name__}: {error}"
            ) from error
        # A dataclass keeps its own flags there; `dataclasses` has no public way to ask.
        if not factory.__dataclass_params__.frozen:
            raise EntryError(f"{self.noun} {self.name!r}: {factory.__name__} must be a frozen dataclass")
        return factory


@dataclass(frozen=True, kw_only=True)
class SolverEntry(Entry):
    """A solver: `factory` has `init(problem, z0) -> state` and `step(problem, state) -> state`.

    Attributes
    ----------
    advice : str
        One paragraph: when to choose it, when not, which option to turn first.
    capabilities : Capabilities
    adjoint : str
        The adjoint that is used with it unless the user names another.
    """

    noun: ClassVar[str] = "solver"

    advice: str = ""
    capabilities: Capabilities = Capabilities()
    adjoint: str = "implicit"


@dataclass(frozen=True, kw_only=True)
class IntegratorEntry(Entry):
    """An integrator of y' = f(t, y): `factory` meets the protocol `equilib.ode.integrator.Integrator`.

    Attributes
    ----------
    advice : str
    order : int
        Order of accuracy.
    """

    noun: ClassVar[str] = "integrator"

    advice: str = ""
    order: int = 0


@dataclass(frozen=True, kw_only=True)
class SensitivityEntry(Entry):
    """A sensitivity, the `--adjoint` of the command line.

    Attributes
    ----------
    advice : str
    exact : bool
        Whether its gradient is that of the fixed point, up to the tolerance of its own solve.
    solvers : tuple of str
        The solvers whose last state it reuses, by name; empty where it serves them all.
    """

    noun: ClassVar[str] = "adjoint"

    advice: str = ""
    exact: bool = True
    solvers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExperimentEntry(Entry):
    """An experiment of `equilib run`: `factory` has `run(self, context) -> Mapping[str, object]`."""

    noun: ClassVar[str] = "experiment"


@hookspec
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield one record per solver.

    A complete plugin:

        from dataclasses import dataclass

        from equilib import State
        from equilib.options import option
        from equilib.plugin import SolverEntry, hookimpl

        @dataclass(frozen=True)
        class Relaxation:
            step_size: float = option(0.5, help="share of the residual that is added", exclusive_minimum=0)

            def init(self, problem, z0):
                return State(z0, problem.residual(z0))

            def step(self, problem, state):
                z = state.z + self.step_size * state.residual
                return State(z, problem.residual(z))

        @hookimpl
        def equilib_solvers():
            yield SolverEntry(name="relaxation", factory=Relaxation, summary="Damped Picard iteration")
    """
    return ()


@hookspec
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield one record per integrator.

    A complete plugin:

        from dataclasses import dataclass

        from equilib.ode.flow import Point
        from equilib.ode.integrator import Attempt, Memory, hermite
        from equilib.plugin import IntegratorEntry, hookimpl
        from equilib.ode.step_control import PIController

        @dataclass(frozen=True)
        class Heun:
            order = 2
            controller = PIController()

            def begin(self, flow, start):
                return Memory()

            def attempt(self, flow, start, h, memory):
                slope = flow(start.t + h, flow.combine(start.y, h, (1.0,), (start.dy,)))
                y = flow.combine(start.y, h, (0.5, 0.5), (start.dy, slope))
                error = flow.sum(h, (0.5, -0.5), (start.dy, slope))
                return Attempt(y=y, error=flow.error_norm(error, start, y), order=2)

            def advance(self, flow, start, t, attempt, accepted, memory):
                y = flow.select(accepted, attempt.y, start.y)
                return Point(t, y, flow(t, y)), memory

            def interpolant(self, flow, step):
                return hermite(flow, step)

        @hookimpl
        def equilib_integrators():
            yield IntegratorEntry(name="heun", factory=Heun, summary="Heun's method of order 2", order=2)
    """
    return ()


@hookspec
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield one record per sensitivity.

    A complete plugin:

        from dataclasses import dataclass

        from equilib import Pullback
        from equilib.plugin import SensitivityEntry, hookimpl

        @dataclass(frozen=True)
        class OneStep:
            def pullback(self, problem, solution, cotangent):
                return Pullback(inputs=problem.linearize(solution.z).inputs_vjp(cotangent))

        @hookimpl
        def equilib_sensitivities():
            yield SensitivityEntry(
                name="one-step", factory=OneStep, summary="Gradient of the last iteration alone", exact=False
            )
    """
    return ()


@hookspec
def equilib_experiments() -> Iterable[ExperimentEntry]:
    """Yield one record per experiment.

    A complete plugin:

        from dataclasses import dataclass

        from equilib.options import option
        from equilib.plugin import ExperimentEntry, hookimpl

        @dataclass(frozen=True)
        class Cosine:
            size: int = option(8, help="how many copies of z = cos(z) to solve", minimum=1)

            def run(self, context):
                return {"size": self.size}

        @hookimpl
        def equilib_experiments():
            yield ExperimentEntry(name="cosine", factory=Cosine, summary="The fixed point of the cosine")
    """
    return ()


HOOKS: dict[str, type[Entry]] = {
    "equilib_solvers": SolverEntry,
    "equilib_integrators": IntegratorEntry,
    "equilib_sensitivities": SensitivityEntry,
    "equilib_experiments": ExperimentEntry,
}
"""Each hook and the record that it yields."""
