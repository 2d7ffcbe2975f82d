"""Laws of a sensitivity of initial value problems, tried on one whose solution and derivatives are known."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from equilib.adjoints.sensitivity import Needs, Pullback, Sensitivity
from equilib.arrays import Array, Tree, array_namespace
from equilib.fixed_points.linearization import Linearization
from equilib.ode.integration import integrate
from equilib.ode.library import AnyIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution
from equilib.ode.times import Times
from equilib.testing.check import require
from equilib.testing.contract import DTYPES, arrives_by_pickle, global_generator_untouched, options_are_declared
from equilib.testing.subject import difference, host, namespaces, same_bits, skip

TIMES = (0.0, 0.7, 2.0)
SHARED = np.asarray(TIMES)[:, None]
_rng = np.random.default_rng(8)
Y0, RATE = _rng.uniform(0.2, 0.8, (4, 4)), _rng.uniform(0.5, 1.5, (4, 4))
COTANGENT = _rng.standard_normal((len(TIMES), 4, 4))
GAIN = 1.3
TIGHT = {"float64": 1e-8, "float32": 1e-4}
CLOSE = 1e-5
"""Relative to the gradient: the forward solve is made to 1e-8, an interpolant is less exact."""

Gradient = dict[str, np.ndarray]
"""The cotangents of y(t₀), the gain and the rate."""


def growth(t: Array, y: Array, params: Tree, rate: Array) -> Array:
    """Return y' = gain·rate·y·(1 − y), element by element: of logistic growth."""
    return params["gain"] * rate * y * (1 - y)


def _linearize(f: object, t: Array, y: Array, params: Tree, rate: Array) -> Linearization:
    xp, gain = array_namespace(y), params["gain"]
    slope, shape = gain * rate * (1 - 2 * y), y * (1 - y)
    return Linearization(
        value=gain * rate * shape,
        jvp=lambda v: slope * v,
        vjp=lambda w: slope * w,
        inputs_vjp=lambda w: ({"gain": xp.sum(w * rate * shape)}, gain * shape * w),
    )


def known_gradient(cotangent: np.ndarray, times: np.ndarray = SHARED) -> Gradient:
    """Return the gradient of ⟨cotangent, y⟩, y = y₀ e^(ut) / (1 + y₀ (e^(ut) − 1)) with u = gain·rate."""
    t = times[:, :, None]
    grown = np.exp(t * GAIN * RATE)
    y = Y0 * grown / (1 + Y0 * (grown - 1))
    by_u = np.sum(cotangent * t * y * (1 - y), axis=0)
    start = np.sum(cotangent * grown / (1 + Y0 * (grown - 1)) ** 2, axis=0)
    return {"y(t₀)": start, "gain": np.sum(by_u * RATE), "rate": GAIN * by_u}


@dataclass(frozen=True, kw_only=True)
class OdeSensitivitySubject:
    """A sensitivity of initial value problems under test, and who makes the solutions."""

    sensitivity: Sensitivity[OdeSolution]
    integrator: AnyIntegrator
    exact: bool = True

    def problem(self, xp: ModuleType = np, dtype: str = "float64", rows: slice = slice(None)) -> OdeProblem:
        """Return the problem of some of the samples."""
        gain, rate = np.full((), GAIN, dtype=dtype), RATE[rows].astype(dtype)
        return OdeProblem(growth, {"gain": xp.asarray(gain)}, xp.asarray(rate), linearize=_linearize)

    def solution(
        self,
        xp: ModuleType = np,
        dtype: str = "float64",
        rows: slice = slice(None),
        times: Times = TIMES,
        **options: Any,
    ) -> OdeSolution:
        """Integrate as the sensitivity needs it."""
        needs, y0 = self.sensitivity.needs, xp.asarray(Y0[rows].astype(dtype))
        given = {"rtol": TIGHT[dtype], "atol": TIGHT[dtype], "on_failure": "record", **options}
        problem, integrator = self.problem(xp, dtype, rows), copy.deepcopy(self.integrator)
        return integrate(problem, y0, times, integrator, dense=needs.trajectory, states=needs.states, **given)

    def pullback(self, solution: OdeSolution, problem: OdeProblem, cotangent: np.ndarray) -> Pullback[OdeSolution]:
        """Return what the sensitivity does."""
        g = array_namespace(solution.y).asarray(cotangent.astype(str(solution.y.dtype).rpartition(".")[2]))
        return copy.deepcopy(self.sensitivity).pullback(problem, solution, g)

    def gradient(
        self,
        cotangent: np.ndarray = COTANGENT,
        xp: ModuleType = np,
        dtype: str = "float64",
        rows: slice = slice(None),
    ) -> Gradient:
        """Return the gradient on the host."""
        return gradient_of(self.pullback(self.solution(xp, dtype, rows), self.problem(xp, dtype, rows), cotangent))


def gradient_of(pulled: Pullback[OdeSolution]) -> Gradient:
    """Return the three cotangents."""
    require(pulled.start is not None, "start is None, and y(t) depends on the initial value")
    require(len(pulled.inputs) == 2, f"of a problem with two inputs it returns {len(pulled.inputs)} cotangents")
    require(isinstance(pulled.inputs[0], dict), "the cotangent of the first input, a tree, is none")
    return {"y(t₀)": host(pulled.start), "gain": host(pulled.inputs[0]["gain"]), "rate": host(pulled.inputs[1])}


def _agree(found: Gradient, expected: Gradient, when: str, close: float = CLOSE) -> None:
    for name, leaf in expected.items():
        error = difference(found[name], leaf) / (float(np.max(np.abs(leaf))) or 1.0)
        require(error < close, f"{when} the cotangent of the {name} is off by {error:.1e} of its size")


def declares_its_options(subject: OdeSensitivitySubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass; a model asks what it needs."""
    options_are_declared(subject.sensitivity)
    needs = getattr(subject.sensitivity, "needs", None)
    require(isinstance(needs, Needs), f"needs is {needs!r}; declare it in the class, as in `needs = Needs()`")


def goes_to_other_processes(subject: OdeSensitivitySubject) -> None:
    """A pool of processes is sent models, and their sensitivities, by pickle."""
    arrives_by_pickle(subject.sensitivity)


def agrees_with_the_known_derivatives(subject: OdeSensitivitySubject) -> None:
    """Logistic growth has a formula, and so have its derivatives by the initial value and by all inputs."""
    if not subject.exact:
        skip("it is declared to be approximate")
    _agree(subject.gradient(), known_gradient(COTANGENT), "for a loss of three times")
    for index in range(len(TIMES)):
        alone = np.zeros_like(COTANGENT)
        alone[index] = COTANGENT[index]
        # At t₀ the inputs have no influence yet.
        expected = known_gradient(alone)
        known = expected if index else {"y(t₀)": expected["y(t₀)"]}
        _agree(subject.gradient(alone), known, f"for a loss of the time {TIMES[index]}")


def follows_the_times_of_each_sample(subject: OdeSensitivitySubject) -> None:
    """With a step size for each sample, each may have its own times, in either direction, or stay where it is."""
    times = np.outer(TIMES, (1.0, 0.5, -0.3, 0.0))
    solution = subject.solution(times=times, per_sample=True)
    found = gradient_of(subject.pullback(solution, subject.problem(), COTANGENT))
    if not subject.exact:
        skip("it is declared to be approximate")
    _agree(found, known_gradient(COTANGENT, times), "for times of each sample")


def is_linear_in_the_cotangent(subject: OdeSensitivitySubject) -> None:
    """A pullback is a linear map, at any size of the loss: what is absolute in it belongs to another equation."""
    solution, problem, other = subject.solution(), subject.problem(), np.flip(COTANGENT)

    def pull(cotangent: np.ndarray) -> Gradient:
        return gradient_of(subject.pullback(solution, problem, cotangent))

    once, second = pull(COTANGENT), pull(other)
    expected = {name: once[name] - 2 * second[name] for name in once}
    _agree(pull(COTANGENT - 2 * other), expected, "for a sum of losses")
    for scale in (-1e-20, 1e3, 1e20):
        scaled = pull(scale * COTANGENT)
        _agree({name: leaf / scale for name, leaf in scaled.items()}, once, f"for {scale:g} times the loss")


def sends_zero_to_zero(subject: OdeSensitivitySubject) -> None:
    """A loss that ignores the solution has no gradient; 0/0 in a normalization gives it one."""
    for name, leaf in subject.gradient(np.zeros_like(COTANGENT)).items():
        require(not np.any(leaf), f"a zero cotangent gave the {name} {np.max(np.abs(leaf)):.1e}")


def returns_trees_like_the_inputs(subject: OdeSensitivitySubject) -> None:
    """An optimizer adds the cotangents to the parameters: same trees, shapes and dtypes."""
    expected = {"y(t₀)": Y0, "gain": np.zeros(()), "rate": RATE}
    for dtype in DTYPES:
        for name, leaf in subject.gradient(dtype=dtype).items():
            shape = expected[name].shape
            require(leaf.shape == shape, f"the {name} has the shape {shape}, its cotangent {leaf.shape}")
            require(leaf.dtype == dtype, f"the {name} is {dtype}, its cotangent {leaf.dtype}")


def reports_its_solves(subject: OdeSensitivitySubject) -> None:
    """Integrations backward in time are evidence; the forward one is known already."""
    solution = subject.solution()
    for each in subject.pullback(solution, subject.problem(), COTANGENT).solves:
        require(isinstance(each, OdeSolution), f"Pullback.solves has a {type(each).__name__}, not an OdeSolution")
        require(not same_bits(each.y, solution.y), "what it reports as its solve is the forward integration")
        require(each.success or not subject.exact, f"it is declared exact: {each.failure_report()}")


def returns_nan_where_the_solution_did_not_end(subject: OdeSensitivitySubject) -> None:
    """What did not reach its end has no derivative; nan is seen, while zero trains on, and nothing is raised."""
    broken = subject.solution(max_steps=2)
    strict = replace(broken, options=replace(broken.options, on_failure="raise"))
    for name, leaf in gradient_of(subject.pullback(strict, subject.problem(), COTANGENT)).items():
        require(np.isnan(leaf).all(), f"without a solution the cotangent of the {name} is not nan")


def treats_samples_separately(subject: OdeSensitivitySubject) -> None:
    """A sample's gradient is its own, whoever else is in the batch."""
    together = subject.gradient()
    for i in range(len(Y0)):
        rows = slice(i, i + 1)
        alone, known = subject.gradient(COTANGENT[:, rows], rows=rows), ("y(t₀)", "rate")
        expected = {name: together[name][rows] for name in known}
        _agree({name: alone[name] for name in known}, expected, f"of sample {i} alone")


def keeps_nothing_on_itself(subject: OdeSensitivitySubject) -> None:
    """A sensitivity serves many batches, and changes neither the tape's cotangent nor the user's solution."""
    sensitivity, solution, cotangent = copy.deepcopy(subject.sensitivity), subject.solution(), COTANGENT.copy()
    y = host(solution.y)
    with global_generator_untouched():
        first = gradient_of(sensitivity.pullback(subject.problem(), solution, cotangent))
        sensitivity.pullback(subject.problem(), solution, np.flip(COTANGENT).copy())
        second = gradient_of(sensitivity.pullback(subject.problem(), solution, cotangent))
    require(same_bits(cotangent, COTANGENT), "it changed the cotangent in place")
    require(same_bits(solution.y, y), "it changed the solution in place")
    for name in first:
        require(same_bits(first[name], second[name]), f"called once more the cotangent of the {name} is another")


def runs_on_other_arrays(subject: OdeSensitivitySubject) -> None:
    """The same code serves NumPy, CuPy and all array-API libraries."""
    for name, xp in namespaces(("any",)).items():
        for dtype, close in (("float64", CLOSE), ("float32", 1e-2)):
            _agree(subject.gradient(xp=xp, dtype=dtype), subject.gradient(dtype=dtype), f"on {name} in {dtype}", close)
