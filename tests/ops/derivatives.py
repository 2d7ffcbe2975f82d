"""Derivatives of a case, by our own transforms and by finite differences, to be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equilib import ops
from equilib.autodiff import linearize, value_and_grad
from tests.arrays_under_test import constant_like, lower
from tests.ops.case import Case

_STEP = 1e-5  # balances truncation, h² f''' / 6, against rounding, ε f / h

Arrays = tuple[np.ndarray, ...]


def moved(args: Arrays, directions: Arrays, amount: float) -> Arrays:
    """Return args + amount · directions."""
    return tuple(arg + amount * direction for arg, direction in zip(args, directions, strict=True))


def central_difference(f: Callable[..., np.ndarray], args: Arrays, directions: Arrays) -> np.ndarray:
    """Return (f(args + h·directions) − f(args − h·directions)) / 2h."""
    ahead, behind = f(*moved(args, directions, _STEP)), f(*moved(args, directions, -_STEP))
    return (np.asarray(ahead) - np.asarray(behind)) / (2 * _STEP)


def like(arrays: Any, rng: np.random.Generator) -> Any:
    """Draw normal numbers of the same shapes."""
    return tuple(rng.standard_normal(np.shape(array)) for array in arrays)


def energy(case: Case, weight: np.ndarray) -> Callable[..., Any]:
    """Return Σ weight · y² of the operation's result y: a scalar whose second derivative sees every rule."""

    def scalar(args: tuple[Any, ...]) -> Any:
        y = case.call(*args)
        return ops.sum(ops.multiply(ops.multiply(y, y), constant_like(weight, y)))

    return scalar


def gradient(case: Case, weight: np.ndarray) -> Callable[[Any], Any]:
    """Return the gradient of `energy` as a function of the tuple of arguments."""
    return lambda args: value_and_grad(energy(case, weight))(args)[1]


def forward_over_reverse(case: Case, weight: np.ndarray, args: Any, directions: Any) -> Any:
    """Return the Hessian of `energy` times `directions`, by J·v of the gradient."""
    return linearize(gradient(case, weight), args).jvp(directions)


def reverse_over_reverse(case: Case, weight: np.ndarray, args: Any, directions: Any) -> Any:
    """Return the Hessian of `energy` times `directions`, by Jᵀ·w of the gradient."""
    return linearize(gradient(case, weight), args).vjp(directions)[0]


def all_derivatives(case: Case, args: Any, w: Any, directions: Any) -> dict[str, Any]:
    """Return everything that can be computed of a case, by name."""
    linear = linearize(case.call, *args)
    weight = lower(w)
    products = {
        "value": (linear.value,),
        "jvp": tuple(linear.jvp(direction, k) for k, direction in enumerate(directions)),
        "vjp": linear.vjp(w, tuple(range(len(args)))),
        "forward over reverse": forward_over_reverse(case, weight, args, directions),
        "reverse over reverse": reverse_over_reverse(case, weight, args, directions),
    }
    return {f"{name} {k}": part for name, parts in products.items() for k, part in enumerate(parts)}
