"""Deep equilibrium models on NumPy and CuPy, where every solver and every adjoint is a plugin.

This module is the framework-free heart: fixed points of any map on arrays of any array-API library, and their
derivatives. It loads NumPy and the standard library only. Layers and models are in `equilib.layers` and
`equilib.models`, the differentiable operations in `equilib.ops`, training in `equilib.training`, the author's side of
the plugin system in `equilib.plugin`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.fixed_point import equilibrium, fixed_point
from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.adjoints.jacobian_free import JacobianFree
from equilib.adjoints.named import adjoint, linear_solver, solver
from equilib.adjoints.sensitivity import Needs, Pullback, Sensitivity
from equilib.adjoints.unrolled import Unrolled
from equilib.arrays import Tree
from equilib.fixed_points.evaluator import Counts, Evaluator
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.picard import Picard, State
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import ConvergenceError, ConvergenceWarning, Solution, Status
from equilib.fixed_points.solve import solve
from equilib.fixed_points.solver import Solver, SolverState
from equilib.kernels import Family, offer
from equilib.numerics.affine import Affine
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver
from equilib.ode import Evolution, SteadyState, evolve, integrate, odeint
from equilib.ode.named import integrator
from equilib.options import named

__version__ = "0.1.0"


def _installed_kernels() -> tuple[Family, ...]:
    from equilib.plugin.kernels import installed_families  # deferred: plugins are found when a kernel is of use

    return installed_families()


def _made_by_name(kind: str, spec: str, options: Mapping[str, object], *, solves: str | None) -> Any:
    from equilib.plugin.by_name import make_part  # deferred: plugins are found when a name is first given

    return make_part(kind, spec, options, solves=solves)


offer(_installed_kernels)
named.offer(_made_by_name)


def save(path: str | Path, tree: Tree) -> None:
    """Write a tree of arrays, such as a model's parameters, to an npz file, under names like "deq/cell/weight".

    Parameters
    ----------
    path : str or Path
        It ends in .npz; the file appears whole or not at all.
    tree : dict, list, tuple or array
        Its leaves are arrays of any shape, of any library, or numbers. None and empty containers are kept, for `load`
        without `like`; keys of dicts are texts or integers, others become texts.

    Raises
    ------
    UserError
        If it cannot be written, a leaf is something else, or two of them would have one name.
    """
    from equilib.runs import saved  # deferred: it is above what `import equilib` loads

    saved.save(path, tree)


def load(path: str | Path, like: Tree = None) -> Tree:
    """Read what `save`, or a run as its `model.npz`, wrote; nothing in a file is executed.

    Parameters
    ----------
    path : str or Path
    like : tree of arrays, optional
        The structure to be filled, such as `model.init(rng)`, whose names, shapes and dtypes the file must have. By
        default what was saved, with lists for tuples. Of a file that something else wrote there are its names alone:
        dicts, lists where names are 0, 1, ..., and an array where the only name is "array"; of one that an earlier
        version wrote there are no empty containers, so that a model with parts without parameters needs `like`.

    Returns
    -------
    tree of arrays of any shape: those of the library and the device of `like`, without it of NumPy's

    Raises
    ------
    UserError
        If it cannot be read, is damaged, or holds another model.
    """
    from equilib.runs import saved  # deferred: it is above what `import equilib` loads

    return saved.load(path, like)


def load_run(path: str | Path, **changes: Any) -> Any:
    """Return the run that `equilib run` left in a folder: its `model`, `params`, `metrics` and `record`.

    `run.predict(x)` is the model's output, for NumPy's arrays on every device, `run.plot()` the course of the training,
    `run.training()` has the trainer and the data, as `equilib.commands.load.LoadedRun` tells.

    Parameters
    ----------
    path : str or Path
    **changes
        What the request should have instead of what is recorded: device, kernels, data, data_dir.

    Raises
    ------
    UserError
        If there is no run with a model in the folder, or it cannot be made again here.
    """
    from equilib.commands import load as runs  # deferred: it is above what `import equilib` loads

    return runs.load_run(path, **changes)


__all__ = [
    "GMRES",
    "Affine",
    "ConvergenceError",
    "ConvergenceWarning",
    "Counts",
    "Equilibrium",
    "Evaluator",
    "Evolution",
    "FixedPointProblem",
    "ImplicitAdjoint",
    "JacobianFree",
    "LinearSolver",
    "Linearization",
    "Needs",
    "Picard",
    "Pullback",
    "Sensitivity",
    "Solution",
    "SolveOptions",
    "Solver",
    "SolverState",
    "State",
    "Status",
    "SteadyState",
    "Unrolled",
    "adjoint",
    "equilibrium",
    "evolve",
    "fixed_point",
    "integrate",
    "integrator",
    "linear_solver",
    "load",
    "load_run",
    "odeint",
    "save",
    "solve",
    "solver",
]
