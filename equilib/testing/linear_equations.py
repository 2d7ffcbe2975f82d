"""Laws of a linear solver: the obligations of `equilib.numerics.linear_solver.LinearSolver`."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from equilib.arrays import Array, host_norm
from equilib.numerics.linear_solver import LinearSolver, MatVec
from equilib.testing.batches import MANY
from equilib.testing.check import require
from equilib.testing.contract import DTYPES, arrives_by_pickle, global_generator_untouched, options_are_declared
from equilib.testing.gradients import cotangent_for
from equilib.testing.maps import DENSE, IMAGES, SHIFT, KnownMap
from equilib.testing.subject import difference, host, namespaces, same_bits


@dataclass(frozen=True, kw_only=True)
class LinearSolverSubject:
    """A linear solver under test, and what its author declares about it; see `linear_solver_checks`."""

    linear_solver: LinearSolver
    couples_samples: bool = False
    backends: tuple[str, ...] = ("any",)

    def solve(self, known: KnownMap, b: np.ndarray, xp: ModuleType = np, dtype: str = "float64", **given: Any) -> Array:
        """Solve (I − J) x = b with J of a map at its z0, to 1e-6 in all samples unless more is given."""
        asked = {"rtol": np.full(len(b), 1e-6), "active": np.ones(len(b), dtype=bool), **given}
        right = xp.asarray(b.astype(dtype))
        return copy.deepcopy(self.linear_solver).solve(matvec_of(known, xp, dtype), right, **asked)

    def agree(self, one: np.ndarray, other: np.ndarray, when: str) -> None:
        """Require the same to the last bit; of one that couples samples the same to ten times the tolerance."""
        gap, close = difference(one, other), 1e-5 * (1 + float(np.max(np.abs(other), initial=0.0)))
        same = gap <= close if self.couples_samples else same_bits(one, other)
        require(same, f"{when} the answer differs by {gap:.1e}")


def matvec_of(
    known: KnownMap, xp: ModuleType = np, dtype: str = "float64", calls: Counter[str] | None = None
) -> MatVec:
    """Return v ↦ v − J v; `calls` counts the products as "jvp"."""
    counter: Counter[str] = Counter() if calls is None else calls
    linear = known.linearize(known.start(xp, dtype), known.inputs(xp, dtype), counter)
    return lambda v: v - linear.jvp(v)


def declares_its_options(subject: LinearSolverSubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass."""
    options_are_declared(subject.linear_solver)


def goes_to_other_processes(subject: LinearSolverSubject) -> None:
    """A pool of processes is sent the solvers that a linear solver is a part of, by pickle."""
    arrives_by_pickle(subject.linear_solver)


def reduces_the_residual_as_asked(subject: LinearSolverSubject) -> None:
    """Each sample has its own tolerance, relative to ‖b‖, and a looser one costs no more products."""
    for known in (DENSE, IMAGES):
        b, spent = cotangent_for(known), []
        for rtol in (1e-1, 1e-6):
            calls: Counter[str] = Counter()
            asked = rtol * 0.1 ** (np.arange(len(b)) % 3)
            given = {"rtol": asked, "active": np.ones(len(b), dtype=bool)}
            x = copy.deepcopy(subject.linear_solver).solve(matvec_of(known, calls=calls), b, **given)
            spent.append(calls["jvp"])
            worst = float(np.max(host_norm(b - matvec_of(known)(x)) / (asked * host_norm(b))))
            require(worst <= 1.001, f"on {known} ‖b − A x‖ is {worst:.2g} times the rtol of {rtol:g} or less")
        require(spent[0] < spent[1], f"on {known} rtol=1e-1 took {spent[0]} products, 1e-6 {spent[1]}")


def does_not_depend_on_units(subject: LinearSolverSubject) -> None:
    """The tolerance is relative: b may be of any size, as gradients of a mean over a large batch are tiny."""
    x = subject.solve(DENSE, cotangent_for(DENSE))
    for scale in (1e-30, 1e30):
        scaled = subject.solve(DENSE, scale * cotangent_for(DENSE))
        error = difference(scaled / scale, x)
        require(error < 1e-4, f"for {scale:g} times b the answer is not so many times x, but {error:.1e} off")


def returns_zeros_where_nothing_is_asked(subject: LinearSolverSubject) -> None:
    """Samples that are finished, or whose b is zero or not finite, have no equation, and spoil nobody else's."""
    idle, others = 2, [0, 1, 3, 4]
    expected = subject.solve(DENSE, cotangent_for(DENSE))
    for value, asked in ((np.nan, True), (np.inf, True), (0.0, True), (np.nan, False), (1.0, False)):
        b, active = cotangent_for(DENSE), np.ones(len(DENSE.z0), dtype=bool)
        b[idle], active[idle] = value, asked
        x = subject.solve(DENSE, b, active=active)
        where = f"b is {value} and active {asked}"
        require(not np.any(x[idle]), f"where {where} x is {np.max(np.abs(x[idle])):.1e}, not zero")
        subject.agree(x[others], expected[others], f"beside a sample where {where}")


def returns_where_there_is_no_solution(subject: LinearSolverSubject) -> None:
    """A Jacobian may make I − J singular: do your best and return what is finite, without raising."""
    for known in (SHIFT, replace(SHIFT, gain=0.999999)):
        x = subject.solve(known, cotangent_for(known), rtol=np.full(len(known.z0), 1e-12))
        require(np.isfinite(x).all(), f"on {known} with a gain of {known.gain:g} x is not finite")


def knows_its_residual(subject: LinearSolverSubject) -> None:
    """Who has `solve_with_residual` spares a product, so its b − A x must be that, and b where x is zero."""
    solver: Any = copy.deepcopy(subject.linear_solver)
    if hasattr(solver, "solve_with_residual"):
        b, A = cotangent_for(DENSE), matvec_of(DENSE)
        active = np.arange(len(b)) != 1
        x, residual = solver.solve_with_residual(A, b, rtol=np.full(len(b), 1e-3), active=active)
        error = difference(residual, b - A(x))
        require(error < 1e-9, f"what it takes for b − A x is off by {error:.1e}")


def keeps_shapes_and_dtypes(subject: LinearSolverSubject) -> None:
    """X is an array like b: float32 stays float32, and a sample may have any shape."""
    for known in (DENSE, IMAGES):
        for dtype in DTYPES:
            x = subject.solve(known, cotangent_for(known), dtype=dtype, rtol=np.full(len(known.z0), 1e-3))
            require(str(x.dtype) == dtype and x.shape == known.z0.shape, f"x is {x.dtype} of shape {x.shape}")


def treats_samples_separately(subject: LinearSolverSubject) -> None:
    """A sample's equation is its own, in a batch of any size; one that couples samples says so."""
    b, rows = cotangent_for(DENSE), [i % len(DENSE.z0) for i in range(MANY)]
    together = subject.solve(DENSE, b)
    for i in range(len(b)):
        alone = subject.solve(DENSE.take([i]), b[i : i + 1])
        subject.agree(alone[0], together[i], f"of sample {i} alone and in its batch")
    many = subject.solve(DENSE.take(rows), b[rows])
    subject.agree(many, together[rows], f"in a batch of {MANY} samples")


def keeps_nothing_on_itself(subject: LinearSolverSubject) -> None:
    """A linear solver serves many equations, and changes no array that it is given."""
    solver, b = copy.deepcopy(subject.linear_solver), cotangent_for(DENSE)
    given = {"rtol": np.full(len(b), 1e-6), "active": np.ones(len(b), dtype=bool)}
    kept = copy.deepcopy(given)
    with global_generator_untouched():
        first = host(solver.solve(matvec_of(DENSE), b, **given))
        solver.solve(matvec_of(DENSE), np.flip(b).copy(), **given)
        second = host(solver.solve(matvec_of(DENSE), b, **given))
    require(same_bits(first, second), f"the same call once more differs by {difference(first, second):.1e}")
    require(same_bits(b, cotangent_for(DENSE)), "it changed b in place")
    for name, array in given.items():
        require(same_bits(array, kept[name]), f"it changed {name} in place")


def runs_on_other_arrays(subject: LinearSolverSubject) -> None:
    """The same code serves NumPy, CuPy and all array-API libraries."""
    for name, xp in namespaces(subject.backends).items():
        for dtype, rtol, close in (("float64", 1e-10, 1e-8), ("float32", 1e-3, 1e-2)):
            given: dict[str, Any] = {"rtol": np.full(len(DENSE.z0), rtol)}
            expected = subject.solve(DENSE, cotangent_for(DENSE), dtype=dtype, **given)
            x = subject.solve(DENSE, cotangent_for(DENSE), xp, dtype, **given)
            require(type(x) is type(DENSE.start(xp)), f"on {name} x is a {type(x).__name__}")
            error = difference(x, expected)
            require(error < close, f"on {name} the answers in {dtype} differ by {error:.1e}")
