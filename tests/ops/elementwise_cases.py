"""Cases of the elementwise operations and the activations."""

from __future__ import annotations

import numpy as np
from scipy import special

from equilib import ops
from tests.arrays_under_test import constant_like
from tests.ops.case import Case

_UNARY = {
    "abs": (lambda x: np.sqrt(x * x), "apart"),
    "cos": (lambda x: np.exp(1j * x).real, "normal"),
    "exp": (lambda x: np.power(np.e, x), "normal"),
    "gelu": (lambda x: x * special.expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)), "normal"),
    "log": (lambda x: np.log2(x) / np.log2(np.e), "positive"),
    "negative": (lambda x: 0 - x, "normal"),
    "relu": (lambda x: (x + np.sqrt(x * x)) / 2, "apart"),
    "sigmoid": (special.expit, "normal"),
    "sign": (lambda x: x / np.sqrt(x * x), "apart"),
    "silu": (lambda x: x * special.expit(x), "normal"),
    "sin": (lambda x: np.exp(1j * x).imag, "normal"),
    "softplus": (lambda x: np.logaddexp(0, x), "normal"),
    "sqrt": (lambda x: x**0.5, "positive"),
    "tanh": (lambda x: np.sinh(x) / np.cosh(x), "normal"),
}

_BINARY = {
    "add": (lambda x, y: -(-x - y), "normal"),
    "subtract": (lambda x, y: x + (-1) * y, "normal"),
    "multiply": (lambda x, y: ((x + y) ** 2 - (x - y) ** 2) / 4, "normal"),
    "divide": (lambda x, y: x * y**-1.0, "positive"),
    "maximum": (lambda x, y: (x + y + np.abs(x - y)) / 2, "apart"),
    "minimum": (lambda x, y: (x + y - np.abs(x - y)) / 2, "apart"),
}

_BROADCASTS = {
    "same shape": ((2, 3), (2, 3)),
    "rows": ((2, 3), (3,)),
    "rows, reversed": ((3,), (2, 3)),
    "columns": ((2, 3), (2, 1)),
    "both ways": ((4, 1, 3), (2, 1)),
    "with a 0-d array": ((2, 3), ()),
}

_EXPONENTS = (0, 1, 2, 3, -1, 0.5, -1.5)

_MASK = np.array([[True, False, True], [False, False, True]])


def _unary() -> list[Case]:
    return [
        Case(name, getattr(ops, name), (shape,), reference, f"{len(shape)} axes", domain)
        for name, (reference, domain) in _UNARY.items()
        for shape in [(), (2, 3)]
    ]


def _binary() -> list[Case]:
    return [
        Case(name, getattr(ops, name), shapes, reference, detail, domain)
        for name, (reference, domain) in _BINARY.items()
        for detail, shapes in _BROADCASTS.items()
    ]


def _with_scalars() -> list[Case]:
    cases = []
    for name, (reference, domain) in _BINARY.items():
        operation = getattr(ops, name)
        cases += [
            Case(
                name,
                lambda x, operation=operation: operation(x, 0.625),
                ((2, 3),),
                lambda x, reference=reference: reference(x, np.array(0.625)),
                "with a scalar on the right",
                domain,
            ),
            Case(
                name,
                lambda x, operation=operation: operation(0.625, x),
                ((2, 3),),
                lambda x, reference=reference: reference(np.array(0.625), x),
                "with a scalar on the left",
                domain,
            ),
        ]
    return cases


def _pow() -> list[Case]:
    return [
        Case(
            "pow",
            lambda x, exponent=exponent: ops.pow(x, exponent),
            ((2, 3),),
            lambda x, exponent=exponent: np.exp(exponent * np.log(x)),
            f"exponent {exponent}",
            "positive",
        )
        for exponent in _EXPONENTS
    ]


def _where() -> list[Case]:
    def chosen(mask: np.ndarray):
        return lambda x, y: ops.where(constant_like(mask, x), x, y)

    def by_product(mask: np.ndarray):
        return lambda x, y: mask * x + (1 - mask) * y

    same, scalars = ((2, 3), (2, 3)), ((2, 3),)
    return [
        Case("where", chosen(_MASK), same, by_product(_MASK)),
        Case("where", chosen(_MASK), ((3,), (2, 1)), by_product(_MASK), "both branches broadcast"),
        Case("where", chosen(_MASK[0]), same, by_product(_MASK[0]), "the condition broadcasts"),
        Case(
            "where",
            lambda x: ops.where(constant_like(_MASK, x), x, -1.0),
            scalars,
            lambda x: by_product(_MASK)(x, -1.0),
            "a scalar second",
        ),
        Case(
            "where",
            lambda x: ops.where(constant_like(_MASK, x), -1.0, x),
            scalars,
            lambda x: by_product(_MASK)(-1.0, x),
            "a scalar first",
        ),
    ]


def _clip() -> list[Case]:
    bounds = {
        "both bounds": (-0.2, 0.21),
        "from below": (-0.11, None),
        "from above": (None, 0.11),
        "no bound": (None, None),
    }
    return [
        Case(
            "clip",
            lambda x, low=low, high=high: ops.clip(x, low, high),
            ((3, 4),),
            lambda x, low=low, high=high: np.fmin(np.fmax(x, low or -np.inf), high or np.inf),
            detail,
            "apart",
        )
        for detail, (low, high) in bounds.items()
    ]


CASES = [*_unary(), *_clip(), *_binary(), *_with_scalars(), *_pow(), *_where()]
