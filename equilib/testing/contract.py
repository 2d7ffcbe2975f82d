"""Laws about how a solver works: the obligations of `equilib.fixed_points.solver.Solver`."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold
# ruff: noqa: NPY002 - the generator that is watched is the global one

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from equilib.arrays import is_array
from equilib.fixed_points.solver import SolverState
from equilib.options import PartOption, build, describe
from equilib.testing.check import require
from equilib.testing.maps import DENSE, IMAGES, LINEAR, NO_FIXED_POINT, KnownMap
from equilib.testing.subject import SolverSubject, difference, host, namespaces, same_bits

DTYPES = ("float64", "float32")


def declares_its_options(subject: SolverSubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass."""
    options_are_declared(subject.solver)


def options_are_declared(instance: Any) -> None:
    """Require a frozen dataclass whose fields have help texts and defaults; solvers and sensitivities alike."""
    cls = type(instance)
    require(dataclasses.is_dataclass(cls), f"{cls.__name__} is no dataclass, so its options cannot be listed")
    require(cls.__dataclass_params__.frozen, f"{cls.__name__} is not frozen: write @dataclass(frozen=True)")
    options = describe(cls)
    silent = [option.name for option in options if not option.help]
    require(not silent, f"no help for {', '.join(silent)}; declare it with equilib.options.option(..., help=...)")
    required = [option.name for option in options if option.required]
    parts = {option.name: getattr(instance, option.name) for option in options if isinstance(option, PartOption)}
    known = {*required, *parts}
    required += [f.name for f in dataclasses.fields(cls) if f.init and f.name not in known and _has_no_default(f)]
    require(not required, f"no default for {', '.join(required)}, so that its name alone does not choose it")
    parts = {name: part for name, part in parts.items() if part is not None}  # another part may take its place
    default = build(cls, parts, owner=cls.__name__)
    given = {option.name: str(getattr(default, option.name)) for option in options if option.name not in known}
    require(
        build(cls, given | parts, owner=cls.__name__) == default, "its defaults, typed as text, give another solver"
    )


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def goes_to_other_processes(subject: SolverSubject) -> None:
    """A pool of processes is sent solvers by pickle."""
    arrives_by_pickle(subject.solver)


def arrives_by_pickle(instance: Any) -> None:
    """Require that an object is the same after pickling."""
    try:
        arrived = pickle.loads(pickle.dumps(instance))
    except Exception as error:
        raise AssertionError(f"{error}; keep functions of a module on it, no lambdas or inner functions") from error
    require(repr(arrived) == repr(instance), f"it is {arrived!r} after pickling, {instance!r} before")


def returns_the_residual_of_its_iterate(subject: SolverSubject) -> None:
    """Convergence is judged by `state.residual`: it is f(z) − z at `state.z`, of this sign, not of the step before."""
    for known in (DENSE, IMAGES):

        def see(state: SolverState, known: KnownMap = known) -> None:
            z = host(state.z)
            expected = known(z, known.inputs()) - z
            error = difference(state.residual, expected)
            small = 1e-9 * (1 + float(np.max(np.abs(z))))
            evidence = f"on {known} it differs by {error:.2e} from f(z) − z, which is {np.max(np.abs(expected)):.2e}"
            require(error <= small, evidence)

        subject.states(known, see=see)


def takes_one_step_at_a_time(subject: SolverSubject) -> None:
    """`max_steps` bounds the work, so a step must not iterate to convergence by itself."""
    solution = subject.solve(DENSE, rtol=1e-11, max_steps=1)
    require(
        not solution.success,
        f"one step on a nonlinear map took {solution.nfe} evaluations, to {np.max(solution.residual_norm):.1e}",
    )


def keeps_nothing_on_itself(subject: SolverSubject) -> None:
    """A solver object serves many solves: the same problem gives the same bits, whatever was solved in between."""
    shared = dataclasses.replace(subject, solver=copy.deepcopy(subject.solver), copied=False)
    with global_generator_untouched():
        first = shared.solve(DENSE, rtol=1e-6)
        shared.solve(IMAGES, rtol=1e-6)
        second = shared.solve(DENSE, rtol=1e-6)
    require(first.nfe == second.nfe, f"the first solve took {first.nfe} evaluations, the same once more {second.nfe}")
    require(same_bits(first.z, second.z), f"the same solve differs by {difference(first.z, second.z):.1e}")


@contextmanager
def global_generator_untouched() -> Iterator[None]:
    """Require that what is done meanwhile neither draws from nor seeds NumPy's global generator."""
    before = np.random.get_state()
    np.random.random()  # so that a seed is seen, too
    drawn = np.random.get_state()
    try:
        yield
        same = all(np.array_equal(*pair) for pair in zip(drawn, np.random.get_state(), strict=True))
        require(
            same, "it draws from or seeds NumPy's global generator; use one of its own, np.random.default_rng(seed)"
        )
    finally:
        np.random.set_state(before)


def changes_no_array_in_place(subject: SolverSubject) -> None:
    """The initial guess is the user's, earlier iterates and `f` are the driver's, and some arrays cannot change."""
    kept: list[tuple[str, Any, np.ndarray]] = []
    touched: list[str] = []

    def see(state: SolverState) -> None:
        name = f"state {len(kept) // 2}"
        kept.append((f"z of {name}", state.z, host(state.z)))
        kept.append((f"the residual of {name}", state.residual, host(state.residual)))

    problem, z0 = subject.problem(DENSE), DENSE.start()
    subject.solve_problem(problem, z0, max_steps=8)
    require(same_bits(z0, DENSE.z0), "it changed the initial guess in place")
    subject.states(DENSE, see=see, touched=touched)
    require(not touched, f"it changed {', '.join(touched)} of the evaluator in place; work on a copy")
    for what, array, before in kept:
        require(same_bits(array, before), f"it changed {what} in place after it had returned it")


def keeps_shapes(subject: SolverSubject) -> None:
    """`z` and `residual` have the shape of z0; `failed`, where there is one, is a bool per sample on the host."""
    for known in (DENSE, IMAGES):
        shape = known.z0.shape

        def see(state: SolverState, shape: tuple[int, ...] = shape) -> None:
            for name in ("z", "residual"):
                found = tuple(getattr(state, name).shape)
                require(found == shape, f"{name} has the shape {found}, z0 {shape}")
            failed = getattr(state, "failed", np.zeros(shape[0], dtype=bool))
            right = isinstance(failed, np.ndarray) and failed.dtype == bool and failed.shape == shape[:1]
            require(right, f"failed is {failed!r}, not an ndarray of bool of shape {shape[:1]}")

        subject.states(known, see=see)


def keeps_dtypes(subject: SolverSubject) -> None:
    """float32 stays float32: a leak to float64 halves the speed of all that follows."""
    for dtype in DTYPES:

        def see(state: SolverState, dtype: str = dtype) -> None:
            for name in ("z", "residual"):
                found = str(getattr(state, name).dtype)
                require(found == dtype, f"{name} became {found}, z0 is {dtype}")

        subject.states(DENSE, dtype=dtype, see=see)


def counts_every_evaluation(subject: SolverSubject) -> None:
    """Solvers are compared by `nfe`, so f must be called through the problem only."""
    for known in (DENSE, NO_FIXED_POINT):
        calls: Counter[str] = Counter()
        problem = subject.problem(known, calls=calls)
        solution = subject.solve_problem(problem, known.start(), max_steps=20)
        for counted, real in ((solution.nfe, "f"), (solution.njvp, "jvp"), (solution.nvjp, "vjp")):
            require(counted == calls[real], f"{real} was called {calls[real]} times, {counted} were counted")


def uses_only_what_it_declares(subject: SolverSubject) -> None:
    """Users without derivatives choose by what a solver says it needs."""
    for known in (DENSE, LINEAR):
        calls: Counter[str] = Counter()
        subject.solve_problem(subject.problem(known, calls=calls), known.start(), rtol=1e-6)
        for product in {"jvp", "vjp"} - set(subject.needs):
            require(not calls[product], f"it used {product}, which it does not declare to need")


def runs_on_other_arrays(subject: SolverSubject) -> None:
    """The same code serves NumPy, CuPy and all array-API libraries: same answers, steps and counts."""
    for name, xp in namespaces(subject.backends).items():
        for dtype, rtol, close in (("float64", 1e-8, 1e-9), ("float32", 1e-4, 1e-4)):
            expected = subject.solve(DENSE, dtype=dtype, rtol=rtol)
            solution = subject.solve(DENSE, xp, dtype, rtol=rtol)
            require(
                is_array(solution.z) and type(solution.z) is type(DENSE.start(xp)), f"on {name} z is no array of it"
            )
            require(str(solution.z.dtype).endswith(dtype), f"on {name} {dtype} became {solution.z.dtype}")
            same = solution.status == expected.status and np.array_equal(solution.steps, expected.steps)
            require(same, f"on {name}: {solution}; on numpy: {expected}")
            error = difference(solution.z, expected.z)
            require(error < close, f"on {name} the answers in {dtype} differ by {error:.1e}")


def _evaluated_once(subject: SolverSubject, known: KnownMap, z0: np.ndarray, **options: Any) -> None:
    solution = subject.solve(known.starting_at(z0), **options)
    require(solution.nfe <= 2, f"it spent {solution.nfe} evaluations where two tell, one of the slope")
    require(same_bits(solution.z, z0), "it did not return the initial guess as it was")


def needs_no_step_from_the_answer(subject: SolverSubject) -> None:
    """Who starts at the fixed point has converged: one evaluation, and the guess as it was."""
    _evaluated_once(subject, DENSE, np.array(DENSE.solution))


def allows_no_step_at_all(subject: SolverSubject) -> None:
    """`max_steps=0` asks how good a guess is: one evaluation, the guess as it was."""
    _evaluated_once(subject, DENSE, DENSE.z0, max_steps=0)
