"""Laws of a sensitivity: the obligations of `equilib.adjoints.sensitivity.Sensitivity`, and the gradient."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from equilib.adjoints.equation import transposed
from equilib.adjoints.sensitivity import Needs, Pullback
from equilib.fixed_points.solution import Solution, Status
from equilib.testing.batches import MANY
from equilib.testing.check import require
from equilib.testing.contract import DTYPES, arrives_by_pickle, global_generator_untouched, options_are_declared
from equilib.testing.gradients import cotangent_for, dense_gradient
from equilib.testing.maps import CONSTANT, DENSE, IMAGES, LINEAR, SHIFT, KnownMap
from equilib.testing.subject import SensitivitySubject, difference, host, namespaces, same_bits, skip

CLOSE = 1e-7
"""Relative to the gradient: the forward solve is made to 1e-11."""

COSINE = 0.7
"""Where ‖J‖ ≤ ρ, w = g makes an angle of cosine √(1 − ρ²) at least with the exact w = g + Jᵀw; here ρ is 0.7."""


def declares_its_options(subject: SensitivitySubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass; a model asks what it needs."""
    options_are_declared(subject.sensitivity)
    needs = getattr(subject.sensitivity, "needs", None)
    require(isinstance(needs, Needs), f"needs is {needs!r}; declare it in the class, as in `needs = Needs()`")


def goes_to_other_processes(subject: SensitivitySubject) -> None:
    """A pool of processes is sent models, and their sensitivities, by pickle."""
    arrives_by_pickle(subject.sensitivity)


def agrees_with_the_dense_inverse(subject: SensitivitySubject) -> None:
    """A gradient that is called exact is (∂f/∂θ)ᵀ (I − J)⁻ᵀ g, which small matrices give directly."""
    if not subject.exact:
        skip("it is declared to be approximate")
    for known in (LINEAR, DENSE, IMAGES):
        cotangent = cotangent_for(known)
        pulled, expected = subject.pull(known, cotangent).inputs[0], dense_gradient(known, cotangent)
        for name, leaf in expected.items():
            error = _relative(host(pulled[name]), leaf)
            require(error < CLOSE, f"on {known} the gradient of the {name} is off by {error:.1e} of its size")


def points_along_the_gradient(subject: SensitivitySubject) -> str:
    """An approximation may be short, but must go the gradient's way at least as far as w = g, for which this holds."""
    cosines: dict[str, float] = {}
    for known in (LINEAR, DENSE, IMAGES):
        cotangent = cotangent_for(known)
        found, expected = _bias(subject.pull(known, cotangent)), dense_gradient(known, cotangent)["bias"]
        cosines[str(known)] = min(map(_cosine, found, expected))
    measured = ", ".join(f"{cosine:.3f} on {known}" for known, cosine in cosines.items())
    evidence = f"the least cosine of a sample with the exact gradient is {measured}"
    least = min(cosines.values())
    require(least >= COSINE, f"{evidence}; {COSINE} is asked for: what do signs, transposes and the place of J say?")
    return evidence


def forgets_no_input(subject: SensitivitySubject) -> None:
    """f depends on parameters and on an injection, and training needs the cotangents of both, in their order."""
    cotangent, solution = cotangent_for(DENSE), subject.solution(DENSE)
    together = subject.pull_at(solution, DENSE.problem(), cotangent).inputs[0]
    apart = subject.pull_at(solution, DENSE.restrictable(), cotangent).inputs
    require(len(apart) == 2, f"of a problem with two inputs it returns {len(apart)} cotangents")
    for name, leaf in zip(("gain", "bias"), apart, strict=True):
        require(np.any(host(leaf) != 0), f"the cotangent of the {name} is zero, and f depends on it")
        gap = _relative(host(leaf), host(together[name]))
        require(gap < CLOSE, f"the cotangent of the {name} changes by {gap:.1e} where it is an input by itself")


def is_right_where_the_jacobian_vanishes(subject: SensitivitySubject) -> None:
    """With J = 0 the fixed point is f itself: an approximate gradient may be short there, but not point elsewhere."""
    cotangent = cotangent_for(CONSTANT)
    expected = dense_gradient(CONSTANT, cotangent)["bias"]
    found = _bias(subject.pull(CONSTANT, cotangent))
    factor = 1.0 if subject.exact else float(np.sum(found * expected) / np.sum(expected**2))
    error = _relative(found, factor * expected) if factor else float("inf")
    require(error < CLOSE, f"for a map that does not depend on z the gradient is off by {error:.1e} of its size")
    require(0.5 < factor < 1.5, f"for a map that does not depend on z it is {factor:.2g} times the gradient")


def is_linear_in_the_cotangent(subject: SensitivitySubject) -> None:
    """A pullback is a linear map: scaling the loss scales the gradient, at any size of it, and losses add up."""
    solution, problem = subject.solution(DENSE), DENSE.problem()

    def pull(cotangent: np.ndarray) -> np.ndarray:
        return _bias(subject.pull_at(solution, problem, cotangent))

    first = cotangent_for(DENSE)
    second = np.roll(first, 1, axis=1)
    once = pull(first)
    error = _relative(pull(first - 2 * second), once - 2 * pull(second))
    require(error < CLOSE, f"the gradient of a sum of losses differs from the sum of gradients by {error:.1e}")
    for scale in (-1e-30, -1e3, 1e30):
        error = _relative(pull(scale * first) / scale, once)
        require(error < CLOSE, f"{scale:g} times the cotangent is not so many times the gradient, but {error:.1e} off")


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
    """Whether w = Jᵀw + g was solved is evidence, sample by sample, and w with its residual bears it out."""
    cotangent, calls = cotangent_for(DENSE), Counter[str]()
    solution, problem = subject.solution(DENSE), DENSE.problem(calls=calls)
    pulled = subject.pull_at(solution, problem, cotangent)
    made = calls["jvp"] + calls["vjp"]
    solves, linear = pulled.solves, DENSE.problem().linearize(solution.z)
    require(bool(solves) or not subject.exact, "it is declared exact and reports no solve in Pullback.solves")
    for each in solves:
        require(isinstance(each, Solution), f"Pullback.solves has a {type(each).__name__}, not a Solution")
        require(len(each.status) == len(DENSE.z0), f"{len(each.status)} statuses for {len(DENSE.z0)} samples")
        require(Status.RUNNING not in each.status, "a status is still RUNNING")
        require(each.residual_norm.shape == (len(DENSE.z0),), f"residual_norm is of shape {each.residual_norm.shape}")
        require(each.success or not subject.exact, f"it is declared exact: {each.failure_report()}")
        if not pulled.truncated:
            left = each.options.norm_of(linear.vjp(each.z) + cotangent - each.z)
            gap = difference(left, each.residual_norm)
            require(gap < CLOSE, f"Jᵀw + g − w at the w it reports is {np.max(left):.1e}, it says {each.residual_norm}")
    counted = sum(each.nfe + each.njvp + each.nvjp for each in solves)
    require(made <= counted or not solves, f"it made {made} products with J and Jᵀ, and reports {counted}")


def starts_from_a_guess(subject: SensitivitySubject) -> None:
    """With `Needs(guess=True)` an earlier w spares products; a bad one costs some, and changes no gradient."""
    if not subject.sensitivity.needs.guess:
        skip("it does not declare Needs(guess=True)")
    cotangent, solution = cotangent_for(DENSE), subject.solution(DENSE)
    cold = subject.pull_at(solution, DENSE.problem(), cotangent)
    spent = []
    for guess in (cold.solves[-1].z, np.full_like(cotangent, 1e3)):
        warm = subject.pull_at(solution, DENSE.problem(), cotangent, guess=guess)
        error = _relative(_bias(warm), _bias(cold))
        require(error < CLOSE, f"from another guess the gradient is off by {error:.1e} of its size")
        spent.append(sum(each.nfe + each.njvp for each in warm.solves))
    require(spent[0] < spent[1], f"from its own answer it took {spent[0]} products, from a wrong one {spent[1]}")


def solves_both_equations(subject: SensitivitySubject) -> None:
    """Tangents and second derivatives are made of solves of x = A x + b, with A = Jᵀ and with A = J."""
    sensitivity: Any = copy.deepcopy(subject.sensitivity)
    if not hasattr(sensitivity, "solve_adjoint"):
        skip("it has no solve_adjoint, and so first derivatives in reverse mode only")
    solution, b = subject.solution(DENSE), cotangent_for(DENSE)
    linear = DENSE.problem().linearize(solution.z)
    for name, products in (("Jᵀ", linear), ("J", transposed(linear))):
        x = sensitivity.solve_adjoint(products, solution, b).z
        left = float(np.max(np.abs(products.vjp(x) + b - x)) / np.max(np.abs(b)))
        require(left < CLOSE, f"{name} x + b − x is {left:.1e} of b for the x that solve_adjoint returns")


def does_not_raise_where_it_fails(subject: SensitivitySubject) -> None:
    """One hard batch must not end a training run: a solve that fails is reported, whatever the forward policy."""
    for known in (DENSE, SHIFT):
        solution = subject.solution(known, max_steps=2)
        strict = replace(solution.options, on_failure="raise", max_steps=1, rtol=1e-14)
        solves = _pull(subject, known, replace(solution, options=strict)).solves
    singular = bool(solves) and subject.exact and all(each.success for each in solves)
    require(not singular, "it reports success where I − J = 0 and the adjoint equation has no solution")


def a_nan_stays_in_its_sample(subject: SensitivitySubject) -> None:
    """One bad image must not spoil a batch, nor pass for a good one: its gradient is nan, the others' keep each bit."""
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
        size = np.max(np.abs(bias[sick]))
        require(not np.isfinite(size), f"nan in a sample's {where} is swallowed: its own gradient is up to {size:.1e}")


def treats_samples_separately(subject: SensitivitySubject) -> None:
    """A sample's gradient is its own, whoever else is in the batch."""
    cotangent = cotangent_for(DENSE)
    together = _bias(subject.pull(DENSE, cotangent))
    for i in range(len(cotangent)):
        alone = _bias(subject.pull(DENSE.take([i]), cotangent[i : i + 1]))
        error = _relative(alone[0], together[i])
        require(error < CLOSE, f"sample {i} alone and in its batch differ by {error:.1e} of the gradient")


def treats_many_samples_separately(subject: SensitivitySubject) -> None:
    """A batch of any size is differentiated as a small one is."""
    rows = [i % len(DENSE.z0) for i in range(MANY)]
    few = _bias(subject.pull(DENSE, cotangent_for(DENSE)))
    error = _relative(_bias(subject.pull(DENSE.take(rows), cotangent_for(DENSE)[rows])), few[rows])
    require(error < CLOSE, f"in a batch of {MANY} samples the gradients change by {error:.1e} of their size")


def keeps_nothing_on_itself(subject: SensitivitySubject) -> None:
    """A sensitivity serves many batches: the same call gives the same bits, whatever was asked in between."""
    sensitivity, solution, cotangent = copy.deepcopy(subject.sensitivity), subject.solution(DENSE), cotangent_for(DENSE)
    with global_generator_untouched():
        first = _bias(sensitivity.pullback(DENSE.problem(), solution, cotangent))
        sensitivity.pullback(LINEAR.problem(), subject.solution(LINEAR), np.flip(cotangent))
        second = _bias(sensitivity.pullback(DENSE.problem(), solution, cotangent))
    require(same_bits(first, second), f"the same call once more differs by {difference(first, second):.1e}")


def changes_no_array_in_place(subject: SensitivitySubject) -> None:
    """The cotangent is the tape's, and the solution the user's."""
    solution = subject.solution(DENSE)
    kept, cotangent = {name: host(getattr(solution, name)) for name in ("z", "residual", "z0")}, cotangent_for(DENSE)
    copy.deepcopy(subject.sensitivity).pullback(DENSE.problem(), solution, cotangent)
    require(same_bits(cotangent, cotangent_for(DENSE)), "it changed the cotangent in place")
    for name, before in kept.items():
        require(same_bits(getattr(solution, name), before), f"it changed {name} of the solution in place")


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


def _cosine(found: np.ndarray, expected: np.ndarray) -> float:
    size = float(np.linalg.norm(found) * np.linalg.norm(expected))
    return float(np.sum(found * expected)) / size if size > 0 else 0.0


def _relative(found: np.ndarray, expected: Any) -> float:
    return difference(found, expected) / float(np.max(np.abs(expected)))
