"""Laws of a family of kernels: the obligations of `equilib.kernels.KernelFamily` and of each `Kernel`."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from equilib.arrays import to_host
from equilib.autodiff import linearize
from equilib.kernels import OPERATIONS, Family, KernelWarning, offering, using_kernels
from equilib.plugin.kernels import check_kernel
from equilib.testing.check import require
from equilib.testing.contract import DTYPES, options_are_declared
from equilib.testing.kernel_cases import differentiable, misfits
from equilib.testing.kernel_subject import VIEWS, KernelsSubject, Trial, arrays, is_array, mapped, spoiled
from equilib.testing.subject import same_bits

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
"""Errors that are rounding, relative to the largest number of a result."""

THREADS = 4


def declares_its_options(subject: KernelsSubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass."""
    options_are_declared(subject.family)


def names_operations(subject: KernelsSubject) -> None:
    """A wrong record costs all of them, a kernel for no operation is never asked, nor two of one name told apart."""
    require(subject.kernels, "it yields no kernel")
    for kernel in subject.kernels:
        try:
            check_kernel(kernel)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"a record is wrong: {error}") from error
    unknown = [kernel.operation for kernel in subject.kernels if kernel.operation not in OPERATIONS]
    require(not unknown, f"there is no operation {', '.join(unknown)}; equilib.kernels.OPERATIONS has them all")
    counts = Counter((each.operation, each.array, each.device, each.name) for each in subject.kernels)
    twice = [f"{name} of {operation}" for (operation, _, _, name), count in counts.items() if count > 1]
    require(not twice, f"two kernels are called {', '.join(twice)}")


def loads(subject: KernelsSubject) -> None:
    """A kernel that cannot be loaded is reported to every user; a family says so by `unavailable` instead."""
    for kernel in subject.kernels:
        try:
            kernel.function()
        except Exception as error:
            raise AssertionError(
                f"{kernel.name} of {kernel.operation} cannot be loaded: {type(error).__name__}: {error}"
            ) from error


def applies_to_something(subject: KernelsSubject) -> None:
    """A kernel that takes no call of many is of no use, or was not compared with its formula."""
    used = {id(trial.kernel) for trial in subject.trials()}
    idle = [
        kernel for place, kernel in enumerate(subject.kernels) if place in subject.loaded and id(kernel) not in used
    ]
    names = ", ".join(f"{each.name} of {each.operation}" for each in idle if each.operation in OPERATIONS)
    require(not names, f"no call is for {names}")


def computes_the_formula(subject: KernelsSubject) -> None:
    """What a kernel returns is what the formula returns, to rounding: of any size, of one sample, and of none."""
    for trial in subject.trials():
        expected = trial.expected()
        _compare(trial, trial.results(), expected)


def computes_large_arrays(subject: KernelsSubject) -> None:
    """Faults begin where loops have parts: in a last block, in the share of a thread, beyond an index of 16 bits."""
    for trial in subject.large_trials():
        expected = trial.expected()
        _compare(trial, trial.results(), expected, tolerance=10 * TOLERANCE[trial.dtype])


def takes_views(subject: KernelsSubject) -> None:
    """Arrays may be strided, reversed, transposed in memory, or broadcast."""
    for trial in subject.trials():
        for name, view in VIEWS.items():
            args = mapped(trial.call.args, view)
            if trial.kernel.applies(*args):
                expected = trial.expected(args)
                _compare(trial, trial.results(args), expected, f" of {name} arrays")


def keeps_nan_and_inf_in_place(subject: KernelsSubject) -> None:
    """What is not finite tells where something went wrong: it is where the formula has it, and nowhere else."""
    for trial in subject.trials():
        for value in (np.nan, np.inf):
            for number in range(sum(1 for each in trial.call.args if is_array(each) and each.size)):
                args = spoiled(trial.call.args, number, value)
                with np.errstate(all="ignore"):
                    expected = trial.expected(args)
                    found = trial.results(args)
                for one, other in zip(found, expected, strict=True):
                    for kind in (np.isnan, np.isposinf, np.isneginf):
                        there = np.array_equal(kind(to_host(one)), kind(other))
                        require(there, f"{trial} has {kind.__name__[2:]} elsewhere where argument {number} has {value}")


def refuses_what_does_not_fit(subject: KernelsSubject) -> None:
    """A call whose shapes do not fit is the formula's to explain; a kernel says no, or raises."""
    for trial in subject.trials(misfits):
        try:
            trial.results()
        except Exception:  # the formula tells the user
            continue
        raise AssertionError(f"{trial} returned something, where the formula raises")


def changes_no_argument(subject: KernelsSubject) -> None:
    """Callers use their arrays again, and several kernels may be given the same one."""
    for trial in subject.trials():
        before = mapped(trial.call.args, lambda x: x.copy())
        trial.results()
        for number, (one, other) in enumerate(zip(arrays(trial.call.args), arrays(before), strict=True)):
            require(same_bits(one, other), f"{trial} changed array {number} of its arguments")


def returns_new_arrays(subject: KernelsSubject) -> None:
    """What it returns is the caller's, of the formula's dtype, and no later call changes it."""
    for trial in subject.trials():
        results = trial.results()
        before = [each.copy() for each in results]
        trial.results(mapped(trial.call.args, lambda x: x + x))
        for one, other in zip(results, before, strict=True):
            require(same_bits(one, other), f"{trial} returned an array that the next call changes")
            dtype = str(one.dtype).rpartition(".")[2]
            require(dtype == trial.dtype, f"{trial} returned {dtype}")
            shared = isinstance(one, np.ndarray) and any(np.shares_memory(one, x) for x in arrays(trial.call.args))
            require(not shared, f"{trial} returned a view of an argument")


def gives_the_same_bits_again(subject: KernelsSubject) -> None:
    """A run is repeated bit for bit, in as many threads as it had."""
    for trial in subject.trials():
        for one, other in zip(trial.results(), trial.results(), strict=True):
            require(same_bits(one, other), f"{trial} differs when it is called again")


def serves_several_threads(subject: KernelsSubject) -> None:
    """Operations are called by several threads at once, and scratch arrays must not be shared between them."""
    with ThreadPoolExecutor(THREADS) as pool:
        for trial in subject.trials():
            given = trial.call.args, mapped(trial.call.args, lambda x: x + x)
            alone = [[each.copy() for each in trial.results(args)] for args in given]
            work = lambda number, trial=trial, given=given: trial.results(given[number % 2])  # noqa: E731
            for number, found in enumerate(list(pool.map(work, range(2 * THREADS)))):
                for one, other in zip(found, alone[number % 2], strict=True):
                    require(same_bits(one, other), f"{trial} differs where {THREADS} threads call it at once")


def has_the_formulas_derivatives(subject: KernelsSubject) -> None:
    """J·v, Jᵀ·w and second derivatives with the kernels are those without, to rounding."""
    family = Family(name="checked", package="checked", make=lambda spec: subject.kernels)
    for dtype in DTYPES:
        for name, function, args in differentiable(dtype):
            with using_kernels("none"):
                expected = _derivatives(function, args)
            with offering(lambda: (family,)), using_kernels("checked", all_sizes=True), warnings.catch_warnings():
                warnings.simplefilter("error", KernelWarning)
                found = _derivatives(function, args)
            for what, value in expected.items():
                error = _error(found[what], np.asarray(value, np.float64))
                require(error < 50 * TOLERANCE[dtype], f"{what} of {name} in {dtype} differs by {error:.1e}")


def _derivatives(function: Callable[..., Any], args: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    linear, every = linearize(function, *args), tuple(range(len(args)))
    w = np.cos(np.arange(linear.value.size, dtype=linear.value.dtype)).reshape(linear.value.shape)
    directions = [np.sin(np.arange(x.size, dtype=x.dtype)).reshape(x.shape) for x in args]
    gradient = linearize(lambda *at: linearize(function, *at).vjp(w, every), *args)
    found = {"the value": linear.value}
    for number, (direction, pulled) in enumerate(zip(directions, linear.vjp(w, every), strict=True)):
        found[f"J·v for argument {number}"] = linear.jvp(direction, number)
        found[f"Jᵀ·w for argument {number}"] = pulled
        for other, second in enumerate(gradient.jvp(direction, number)):
            found[f"the second derivative by arguments {number} and {other}"] = second
    return found


def _compare(
    trial: Trial, found: Sequence[Any], expected: Sequence[np.ndarray], how: str = "", tolerance: float | None = None
) -> None:
    least = TOLERANCE[trial.dtype] if tolerance is None else tolerance
    require(len(found) == len(expected), f"{trial} returned {len(found)} arrays instead of {len(expected)}")
    for one, other in zip(found, expected, strict=True):
        require(one.shape == other.shape, f"{trial} returned the shape {one.shape} instead of {other.shape}{how}")
        error = _error(one, other)
        require(error <= least, f"{trial} differs by {error:.1e}{how}")


def _error(found: Any, expected: np.ndarray) -> float:
    if not expected.size:
        return 0.0
    return float(
        np.max(np.abs(np.asarray(to_host(found), np.float64) - expected)) / max(np.max(np.abs(expected)), 1e-9)
    )
