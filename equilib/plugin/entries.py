"""Entries that plugins yield: the name of a part, where its class is, and what users should know about it."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from equilib.errors import UserError, a, require_harmless
from equilib.options import Blueprint, describe
from equilib.options.named import FIXED_POINT, ODE
from equilib.options.schema import check_fields
from equilib.plugin.faults import faults_as
from equilib.plugin.streams import printed_aside

_NAME = re.compile(r"[a-z0-9]+([-_.:][a-z0-9]+)*")


class EntryError(UserError):
    """An entry was found, and what it names cannot be used here."""


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
    least_steps : int
        A limit of steps below which it is of no use: it gets this where an experiment prefers less for another solver.
    """

    needs_jvp: bool = False
    needs_vjp: bool = False
    couples_samples: bool = False
    backends: tuple[str, ...] = ("any",)
    least_steps: int = 0

    def __post_init__(self) -> None:
        check_fields(self)


TIME_STEPS = 100
"""A time step is at most a few of the flow's time units, of which a solve takes seven or more."""

STEADY_STATE = (
    "As a solver it follows the flow z' = f(z) − z to where it stands still, so it converges wherever the eigenvalues "
    "λ of the Jacobian have Re λ < 1: also where f is expansive and Picard iteration diverges. Where f contracts, it "
    "needs several times the evaluations of Picard or Anderson iteration. Allow it max_steps of 50 or more. If it "
    "wanders or the residual hovers, lower step_rtol."
)
"""Advice on every integrator as a solver."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What every entry holds.

    Attributes
    ----------
    name : str
        What users type: lower-case words and digits joined by one of "-_.:", or else ValueError, as of texts
        that a terminal would obey; TypeError where a field holds something else than its annotation says.
    factory : type or str
        A frozen dataclass whose fields are the options; or "module:Class", imported when it is first used.
    summary : str
        One line for lists.
    advice : str
        One paragraph: when to choose it, when not, which option to turn first.
    unavailable : str
        Why it cannot be used here, as in "install equilib[sundials]"; empty where it can.
    preset : mapping
        Values of options that the name stands for, by dotted names, where they are not the factory's defaults.
    """

    noun: ClassVar[str]
    plural: ClassVar[str]
    """One word, the command that lists entries of the kind."""

    name: str
    factory: type[Any] | str
    summary: str
    advice: str = ""
    unavailable: str = ""
    preset: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __init_subclass__(cls, *, noun: str, plural: str = "") -> None:
        cls.noun, cls.plural = noun, plural or f"{noun.replace(' ', '-')}s"

    def __post_init__(self) -> None:
        check_fields(self)
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for {a(self.noun)}: use lower-case words joined by '-'")
        for text in ("summary", "advice", "unavailable"):
            require_harmless(getattr(self, text), text)

    def load(self) -> type[Any]:
        """Import the factory where it is a string, and return the class.

        Raises EntryError if it is unavailable here, cannot be imported, or is not a frozen dataclass with readable
        options.
        """
        if self.unavailable:
            raise EntryError(f"{self.noun} {self.name!r} cannot be used here: {self.unavailable}")
        unloaded = f"{self.noun} {self.name!r} could not be loaded from {self.factory!r}"
        with faults_as(lambda fault: EntryError(f"{unloaded}: {fault}")):
            with printed_aside():
                factory = pkgutil.resolve_name(self.factory) if isinstance(self.factory, str) else self.factory
            describe(factory)
        # A dataclass keeps its own flags there; `dataclasses` has no public way to ask.
        if not factory.__dataclass_params__.frozen:
            raise EntryError(f"{self.noun} {self.name!r}: {factory.__name__} must be a frozen dataclass")
        return factory

    def blueprint(self) -> Blueprint:
        """Return the factory and the preset values; raise as `load` does."""
        return Blueprint(factory=self.load(), preset=self.preset)


@dataclass(frozen=True, kw_only=True)
class SolverEntry(Entry, noun="solver"):
    """A solver: `factory` meets `equilib.fixed_points.solver.Solver` or `WholeSolver`.

    Attributes
    ----------
    capabilities : Capabilities
    adjoint : str
        The adjoint that is used with it unless the user names another.
    """

    capabilities: Capabilities = Capabilities()
    adjoint: str = "implicit"


@dataclass(frozen=True, kw_only=True)
class IntegratorEntry(Entry, noun="integrator"):
    """An integrator of y' = f(t, y): `factory` meets `equilib.ode.integrator.Integrator` or `LibraryIntegrator`.

    Attributes
    ----------
    order : int
        Order of accuracy.
    adjoint : str
        The adjoint that is used with it unless the user names another.
    steady : mapping
        Options of `equilib.ode.steady_state.SteadyState` that suit it, where they are not the defaults there.
    capabilities : Capabilities
        Those of that solver.
    solves : bool
        Whether its name is that of a solver, too; `steady:integrator=NAME` is one in any case.
    """

    order: int = 0
    adjoint: str = "interpolating"
    steady: Mapping[str, object] = field(default_factory=dict, hash=False)
    capabilities: Capabilities = Capabilities(least_steps=TIME_STEPS)
    solves: bool = True

    def blueprint(self) -> Blueprint:
        """Return the factory, the preset values, and what suits a steady state; raise as `load` does."""
        return replace(super().blueprint(), around=self.steady)

    def solver(self) -> SolverEntry:
        """Return the solver of the same name: the steady state of z' = f(z) − z by this integrator."""
        return SolverEntry(
            name=self.name,
            factory="equilib.ode.steady_state:SteadyState",
            summary=f"Steady state of z' = f(z) − z by {self.summary}",
            advice=f"{self.advice} {STEADY_STATE}".strip(),
            unavailable=self.unavailable,
            preset={"integrator": self.name},
            capabilities=self.capabilities,
        )


@dataclass(frozen=True, kw_only=True)
class LinearSolverEntry(Entry, noun="linear solver"):
    """A solver of A x = b without a matrix: `factory` meets `equilib.numerics.linear_solver.LinearSolver`.

    `couples_samples` and `backends` are as in `Capabilities`.
    """

    couples_samples: bool = False
    backends: tuple[str, ...] = ("any",)


@dataclass(frozen=True, kw_only=True)
class SensitivityEntry(Entry, noun="adjoint"):
    """A sensitivity, the `--adjoint` of the command line.

    Attributes
    ----------
    solves : str
        What it differentiates: "fixed point", and `factory` meets `equilib.Sensitivity` for a `Solution`; or "ode", the
        solution of an initial value problem, and it meets that for an `OdeSolution`. Or else ValueError.
    exact : bool
        Whether its gradient is that of the solution, up to the tolerance of its own solve.
    solvers : tuple of str
        The solvers whose last state it reuses, by name; empty where it serves them all.
    """

    solves: str = FIXED_POINT
    exact: bool = True
    solvers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solves not in (FIXED_POINT, ODE):
            raise ValueError(f"adjoint {self.name!r} solves {FIXED_POINT!r} or {ODE!r}, not {self.solves!r}")


@dataclass(frozen=True, kw_only=True)
class OptimizerEntry(Entry, noun="optimizer"):
    """An optimizer: `factory` meets `equilib.training.optimizers.Optimizer`."""


@dataclass(frozen=True, kw_only=True)
class DatasetEntry(Entry, noun="data set", plural="datasets"):
    """A data set of labelled images: `factory` meets `equilib.training.data.ImageData`."""


@dataclass(frozen=True, kw_only=True)
class ExperimentEntry(Entry, noun="experiment"):
    """An experiment of `equilib run`: `factory` meets `equilib.experiments.Experiment`."""


@dataclass(frozen=True, kw_only=True)
class KernelEntry(Entry, noun="kernel family", plural="kernels"):
    """A family of kernels: `factory` meets `equilib.kernels.KernelFamily`."""


@dataclass(frozen=True, kw_only=True)
class CommunicatorEntry(Entry, noun="communicator"):
    """What carries messages between ranks: `factory` meets `equilib.machine.ranks.communicator.Connector`."""
