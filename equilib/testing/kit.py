"""Lists of checks, one for each kind of plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.kernels import KernelFamily
from equilib.numerics.linear_solver import LinearSolver
from equilib.ode.library import AnyIntegrator
from equilib.ode.solution import OdeSolution
from equilib.options.named import FIXED_POINT, ODE, made
from equilib.testing import (
    answers,
    batches,
    contract,
    images,
    integrations,
    integrator_contract,
    linear_equations,
    ode_pullbacks,
    pullbacks,
    traits,
    units,
    updates,
)
from equilib.testing.check import Check, checks_of
from equilib.testing.images import ImageDataSubject
from equilib.testing.integrator_subject import IntegratorSubject
from equilib.testing.linear_equations import LinearSolverSubject
from equilib.testing.ode_pullbacks import OdeSensitivitySubject
from equilib.testing.subject import SensitivitySubject, SolverSubject
from equilib.testing.updates import OptimizerSubject
from equilib.training.data import ImageData
from equilib.training.optimizers import Optimizer

PRODUCTS = ("jvp", "vjp")


def solver_checks(
    solver: str | Solver | WholeSolver,
    *,
    couples_samples: bool = False,
    needs: Iterable[str] = (),
    backends: Iterable[str] = ("any",),
    sensitivity: str | Sensitivity[Solution] | None = None,
    exact: bool = True,
) -> list[Check]:
    """Return the laws of a solver as checks.

    Parameters
    ----------
    solver : str, Solver or WholeSolver
        A name or an object, with the options to check it with; it is copied for each solve.
    couples_samples : bool
        Whether one sample's answer may depend on the others in its batch: they must then agree to ten times the
        tolerance, otherwise bit for bit.
    needs : iterable of {"jvp", "vjp"}
        The products that it uses; without any, problems come without derivatives.
    backends : iterable of str
        The array libraries it runs on besides NumPy, as in `equilib.plugin.Capabilities`. For "any" array-api-strict
        stands, which refuses all that is not in the standard.
    sensitivity : str or Sensitivity[Solution], optional
        Its default adjoint; by default `solver.adjoint()` if there is one, else `ImplicitAdjoint()`.
    exact : bool
        Whether that adjoint gives the gradient of the fixed point.

    Raises
    ------
    ValueError
        If `needs` holds something else.
    """
    needed = tuple(needs)
    unknown = [name for name in needed if name not in PRODUCTS]
    if unknown:
        raise ValueError(f"needs may hold 'jvp' and 'vjp', not {unknown[0]!r}")
    subject = SolverSubject(
        solver=_named("solver", solver),
        couples_samples=couples_samples,
        needs=needed,
        backends=tuple(backends),
        sensitivity=_named("adjoint", sensitivity, FIXED_POINT),
        exact=exact,
    )
    return checks_of(subject, contract, answers, batches)


def sensitivity_checks(
    sensitivity: str | Sensitivity[Solution],
    *,
    exact: bool = True,
    solver: str | Solver | WholeSolver | None = None,
) -> list[Check]:
    """Return the laws of a sensitivity as checks.

    Parameters
    ----------
    sensitivity : str or Sensitivity[Solution]
        A name or an object, with the options to check it with; it is copied for each use.
    exact : bool
        Whether its gradient is that of the fixed point, up to the tolerance of its own solve.
    solver : str, Solver or WholeSolver, optional
        Who makes the solutions, by default "picard". One that reuses a solver's state needs that solver.
    """
    subject = SensitivitySubject(
        sensitivity=_named("adjoint", sensitivity, FIXED_POINT),
        exact=exact,
        solver=_named("solver", solver or "picard"),
    )
    return checks_of(subject, pullbacks)


def ode_sensitivity_checks(
    sensitivity: str | Sensitivity[OdeSolution], integrator: str | AnyIntegrator, *, exact: bool = True
) -> list[Check]:
    """Return the laws of a sensitivity of initial value problems, whose solutions the integrator makes, as checks."""
    subject = OdeSensitivitySubject(
        sensitivity=_named("adjoint", sensitivity, ODE), integrator=_named("integrator", integrator), exact=exact
    )
    return checks_of(subject, ode_pullbacks)


def integrator_checks(integrator: str | AnyIntegrator) -> list[Check]:
    """Return the laws of an integrator, with the options to check it with, as checks."""
    subject = IntegratorSubject(_named("integrator", integrator))
    return checks_of(subject, integrator_contract, integrations, traits, units)


def linear_solver_checks(
    linear_solver: str | LinearSolver, *, couples_samples: bool = False, backends: Iterable[str] = ("any",)
) -> list[Check]:
    """Return the laws of a linear solver, with the options to check it with, as checks.

    What is declared is as for `solver_checks`.
    """
    subject = LinearSolverSubject(
        linear_solver=_named("linear solver", linear_solver),
        couples_samples=couples_samples,
        backends=tuple(backends),
    )
    return checks_of(subject, linear_equations)


def optimizer_checks(optimizer: str | Optimizer) -> list[Check]:
    """Return the laws of an optimizer, with the options to check it with, as checks."""
    return checks_of(OptimizerSubject(_named("optimizer", optimizer)), updates)


def dataset_checks(dataset: ImageData, data_dir: Path | None = None) -> list[Check]:
    """Return the laws of a data set of labelled images as checks; they load it from the folder, a few times."""
    return checks_of(ImageDataSubject(dataset, data_dir), images)


def kernel_checks(family: KernelFamily) -> list[Check]:
    """Return the laws of a family of kernels, with the options to check it with, as checks."""
    # Deferred: they load autograd, which lists do without.
    from equilib.testing import kernels
    from equilib.testing.kernel_subject import KernelsSubject

    return checks_of(KernelsSubject(family), kernels)


def _named(kind: str, given: Any, solves: str | None = None) -> Any:
    """Return the part of a name; an object as it is, for checks to say what it lacks."""
    return made(kind, given, solves=solves) if isinstance(given, str) else given
