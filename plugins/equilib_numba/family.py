"""Records of the kernels that numba compiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from equilib.kernels import Kernel, shapes
from equilib_numba import applies

_SINGLE, _REAL = ("float32",), ("float32", "float64")
_LIGHT, _PRODUCT, _PASS = 1 << 15, 1 << 17, 1 << 22
"""Numbers from which one pass over memory, and a product of matrices in two threads, repay that code is loaded."""

_METHODS = (
    ("winograd", "3x3 kernels with stride 1 by Winograd's F(2x2, 3x3)", 20),
    ("windows", "any kernel and stride, by products of its windows where they lie", 10),
)


@dataclass(frozen=True)
class Numba:
    """Kernels for NumPy's arrays on the CPU, whose samples threads share."""

    def kernels(self) -> Iterator[Kernel]:
        """Yield one record per kernel."""
        yield from _convolutions()
        for name in ("tanh", "sigmoid", "gelu", "gelu_slope"):
            yield _record(name, "elementwise:function", shapes.one, dtypes=_SINGLE, bound=(name,))
        for name in ("relu", "tanh_slope", "sigmoid_slope", "relu_slope"):
            yield _record(name, "elementwise:function", shapes.one, bound=(name,))
        yield _record("times_slope", "elementwise:times_slope", shapes.two)
        yield _record("sum", "sums:sum_rows", shapes.sum_rows)
        yield _record("matmul", "matrices:matmul", applies.matmul, least=_PRODUCT)
        yield _record("dot", "combinations:dot", shapes.two, least=_PASS)
        yield _record("weighted_sum", "combinations:weighted_sum", shapes.weighted_sum)
        yield _record("combined", "combinations:combined", shapes.combined)
        yield _record("overlaps", "combinations:overlaps", shapes.overlaps)
        yield _record("orthogonalized", "combinations:orthogonalized", shapes.orthogonalized)
        yield _record("adam", "adam:adam", shapes.adam)
        yield _record("max_pool", "pooling:max_pool", shapes.max_pool)
        yield _record("max_pool_push", "pooling:max_pool_push", shapes.max_pool_push)
        yield _record("max_pool_pull", "pooling:max_pool_pull", shapes.max_pool_pull)
        yield _record("group_norm", "group_norm:group_norm", shapes.one)
        yield _record("group_norm_push", "group_norm:group_norm_push", shapes.derivative)
        yield _record("group_norm_pull", "group_norm:group_norm_pull", shapes.derivative)


def _convolutions() -> Iterator[Kernel]:
    """Yield the kernels of convolutions and their transposes, by each method."""
    for operation in shapes.CONVOLUTIONS:
        for name, about, priority in _METHODS:
            yield Kernel(
                operation=operation,
                name=name,
                about=about,
                dtypes=_REAL,
                applies=partial(applies.convolution, operation, name == "winograd"),
                load=partial(_load, "convolution", operation, method=name),
                seconds=(4.0, 0.05),
                priority=priority,
            )


def _record(
    operation: str,
    code: str,
    test: Callable[..., bool],
    *,
    dtypes: tuple[str, ...] = _REAL,
    bound: tuple[Any, ...] = (),
    least: int = _LIGHT,
) -> Kernel:
    module, function = code.split(":")
    return Kernel(
        operation=operation,
        name="compiled",
        about=f"{operation} in one pass over memory",
        dtypes=dtypes,
        applies=test,
        load=partial(_load, module, function, *bound),
        seconds=(1.0, 0.05),
        least=least,
        priority=10,
    )


def _load(module: str, function: str, *bound: Any, **given: Any) -> Callable[..., Any]:
    code: Callable[..., Any] = getattr(import_module(f"equilib_numba.{module}"), function)
    if bound:
        made: Callable[..., Any] = code(*bound)
        return made
    return partial(code, **given) if given else code
