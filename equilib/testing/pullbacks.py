"""Laws of a sensitivity: the obligations of `equilib.adjoints.sensitivity.Sensitivity`, and the gradient."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from equilib.adjoints.sensitivity import Needs, Pullback
from equilib.fixed_points.solution import Solution, Status
from equilib.testing.check import require
from equilib.testing.contract import DTYPES, options_are_declared
from equilib.testing.gradients import cotangent_for, dense_gradient
from equilib.testing.maps import CONSTANT, DENSE, IMAGES, LINEAR, SHIFT, KnownMap
from equilib.testing.subject import SensitivitySubject, difference, host, namespaces, same_bits, skip

CLOSE = 1e-7
"""Relative to the gradient: the forward solve is made to 1e-11."""


def declares_its_options(subject: SensitivitySubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass; a model asks what it needs."""
    options_are_declared(subject.sensitivity)
    needs = getattr(subject.sensitivity, "needs", None)
    require(isinstance(needs, Needs), f"needs is {needs!r}; declare it in the class, as in `needs = Needs()`")


def agrees_with_the_dense_inverse(subject: SensitivitySubject) -> None:
    """A gradient that is called exact is (∂f/∂θ)ᵀ (I − J)⁻ᵀ g, which small matrices give directly."""
    if not subject.exact:
        skip("it is declared to be approximate")
    for known in (LINEAR, DENSE, IMAGES):
        cotangent = cotangent_for(known)
        expected = dense_gradient(known, cotangent)
        error = _relative(_bias(subject.pull(known, cotangent)), expected)
        require(error < CLOSE, f"on {known} the gradient is off by {error:.1e} of its size")


def is_right_where_the_jacobian_vanishes(subject: SensitivitySubject) -> None:
    """With J = 0 the fixed point is f itself: an approximate gradient may be short there, but not point elsewhere."""
    cotangent = cotangent_for(CONSTANT)
    expected = dense_gradient(CONSTANT, cotangent)
    found = _bias(subject.pull(CONSTANT, cotangent))
    factor = 1.0 if subject.exact else float(np.sum(found * expected) / np.sum(expected**2))
    error = _relative(found, factor * expected) if factor else float("inf")
    require(error < CLOSE, f"for a map that does not depend on z the gradient is off by {error:.1e} of its size")
    require(0.5 < factor < 1.5, f"for a map that does not depend on z it is {factor:.2g} times the gradient")


def is_linear_in_the_cotangent(subject: SensitivitySubject) -> None:
    """A pullback is a linear map: scaling the loss scales the gradient, and losses add up."""
    first = cotangent_for(DENSE)
    second = np.roll(first, 1, axis=1)
    combined = _bias(subject.pull(DENSE, 1e-3 * first - 2e3 * second))
    separate = 1e-3 * _bias(subject.pull(DENSE, first)) - 2e3 * _bias(subject.pull(DENSE, second))
    error = _relative(combined, separate)
    require(error < CLOSE, f"the gradient of a sum of losses differs from the sum of gradients by {error:.1e}")


def sends_zero_to_zero(subject: SensitivitySubject) -> None:
    """A sample that the loss ignores has no gradient; 0/0 in a normalization gives it one."""
    cotangent = cotangent_for(DENSE)
    cotangent[2] = 0.0
    bias = _bias(subject.pull(DENSE, cotangent))
    require(not bias[2].any(), f"a zero cotangent gave {np.max(np.abs(bias[2])):.1e}")
    others = np.delete(np.arange(len(bias)), 2)
    gap = difference(bias[others], _bias(subject.pull(DENSE, cotangent_for(DENSE)))[others])
    require(gap < CLOSE, f"beside it the gradients of the other samples changed by {gap:.1e}")


def returns_trees_like_the_inputs(subject: SensitivitySubject) -> None:
    """An optimizer adds the cotangents to the parameters: same tree, shapes and dtypes."""
    for dtype in DTYPES:
        pulled = subject.pull(DENSE, cotangent_for(DENSE), dtype=dtype)
        expected = DENSE.inputs(dtype=dtype)
        require(
            isinstance(pulled.inputs, tuple) and len(pulled.inputs) == 1, "inputs is no tuple of one tree per input"
        )
        require(pulled.inputs[0].keys() == expected.keys(), f"the tree has the keys {sorted(pulled.inputs[0])}")
        for name, leaf in expected.items():
            found = pulled.inputs[0][name]
            require(found.shape == leaf.shape, f"{name} has the shape {leaf.shape}, its cotangent {found.shape}")
            require(found.dtype == leaf.dtype, f"{name} is {leaf.dtype}, its cotangent {found.dtype}")


def reports_its_solve(subject: SensitivitySubject) -> None:
    """Whether the adjoint equation was solved is evidence, sample by sample, like that of a forward solve."""
    solves = subject.pull(DENSE, cotangent_for(DENSE)).solves
    require(bool(solves) or not subject.exact, "it is declared exact and reports no solve in Pullback.solves")
    for each in solves:
        require(isinstance(each, Solution), f"Pullback.solves has a {type(each).__name__}, not a Solution")
        require(len(each.status) == len(DENSE.z0), f"{len(each.status)} statuses for {len(DENSE.z0)} samples")
        require(Status.RUNNING not in each.status, "a status is still RUNNING")
        require(each.residual_norm.shape == (len(DENSE.z0),), f"residual_norm is of shape {each.residual_norm.shape}")
        require(each.success or not subject.exact, f"it is declared exact: {each.failure_report()}")


def does_not_raise_where_it_fails(subject: SensitivitySubject) -> None:
    """One hard batch must not end a training run: a solve that fails is reported, whatever the forward policy."""
    for known in (DENSE, SHIFT):
        solution = subject.solution(known, max_steps=2)
        strict = replace(solution.options, on_failure="raise", max_steps=1, rtol=1e-14)
        solves = _pull(subject, known, replace(solution, options=strict)).solves
    singular = bool(solves) and subject.exact and all(each.success for each in solves)
    require(not singular, "it reports success where I − J = 0 and the adjoint equation has no solution")


def a_nan_stays_in_its_sample(subject: SensitivitySubject) -> None:
    """One bad image must not spoil the gradients of a batch: the other samples' are the same, bit for bit."""
    sick = 3
    others = np.delete(np.arange(len(DENSE.z0)), sick)
    cotangent = cotangent_for(DENSE)
    healthy = _bias(subject.pull(DENSE, cotangent))
    cotangent[sick] = np.nan
    for where, bias in (
        ("cotangent", _bias(subject.pull(DENSE, cotangent))),
        ("bias", _bias(subject.pull(DENSE.poisoned(sick), cotangent_for(DENSE)))),
    ):
        gap = difference(bias[others], healthy[others])
        require(
            same_bits(bias[others], healthy[others]), f"nan in one sample's {where} changed the others by {gap:.1e}"
        )


def treats_samples_separately(subject: SensitivitySubject) -> None:
    """A sample's gradient is its own, whoever else is in the batch."""
    cotangent = cotangent_for(DENSE)
    together = _bias(subject.pull(DENSE, cotangent))
    for i in range(len(cotangent)):
        alone = _bias(subject.pull(DENSE.take([i]), cotangent[i : i + 1]))
        error = _relative(alone[0], together[i])
        require(error < CLOSE, f"sample {i} alone and in its batch differ by {error:.1e} of the gradient")


def changes_no_array_in_place(subject: SensitivitySubject) -> None:
    """The cotangent is the tape's and the solution the user's: the same call twice gives the same bits."""
    solution = subject.solution(DENSE)
    z, cotangent = host(solution.z), cotangent_for(DENSE)
    sensitivity = copy.deepcopy(subject.sensitivity)
    first, second = (sensitivity.pullback(DENSE.problem(), solution, cotangent) for _ in range(2))
    require(same_bits(cotangent, cotangent_for(DENSE)), "it changed the cotangent in place")
    require(same_bits(solution.z, z), "it changed the solution in place")
    require(
        same_bits(_bias(first), _bias(second)),
        f"called twice it differs by {difference(_bias(first), _bias(second)):.1e}",
    )


def runs_on_other_arrays(subject: SensitivitySubject) -> None:
    """The same code serves NumPy, CuPy and all array-API libraries."""
    cotangent = cotangent_for(DENSE)
    for name, xp in namespaces(("any",)).items():
        for dtype, close in (("float64", CLOSE), ("float32", 1e-3)):
            expected = _bias(subject.pull(DENSE, cotangent, dtype=dtype))
            error = _relative(_bias(subject.pull(DENSE, cotangent, xp, dtype)), expected)
            require(error < close, f"on {name} the gradients in {dtype} differ by {error:.1e}")


def _pull(subject: SensitivitySubject, known: KnownMap, solution: Solution) -> Pullback[Solution]:
    return copy.deepcopy(subject.sensitivity).pullback(known.problem(), solution, cotangent_for(known))


def _bias(pulled: Pullback[Solution]) -> np.ndarray:
    return host(pulled.inputs[0]["bias"])


def _relative(found: np.ndarray, expected: Any) -> float:
    return difference(found, expected) / float(np.max(np.abs(expected)))
