"""Records of the kernels in CUDA C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from pkgutil import resolve_name
from typing import Any

from equilib.kernels import Kernel, shapes
from equilib.machine.tf32 import in_tf32

_COUNTED = 1 << 28
"""Numbers of an array that is convolved, at most."""

_MOST = 64
"""Arrays that are passed with a launch."""


@dataclass(frozen=True)
class Cuda:
    """Kernels for CuPy's arrays on a CUDA device: few launches, since these are what a batch takes its time for."""

    def kernels(self) -> Iterator[Kernel]:
        """Yield one record per kernel."""
        yield _record("norms", "norms:norms", _few(shapes.norms))
        yield _record("squares", "norms:squares", lambda leaves: all(each.size for each in leaves))
        yield _record("adam", "adam:adam", shapes.adam)
        yield _record("dot", "combinations:dot", shapes.two)
        yield _record("weighted_sum", "combinations:weighted_sum", _few(shapes.weighted_sum, 2))
        yield _record("combined", "combinations:combined", _few(shapes.combined, 2))
        yield _record("overlaps", "combinations:overlaps", _few(shapes.overlaps))
        yield _record("orthogonalized", "combinations:orthogonalized", _few(shapes.orthogonalized))
        yield _record("sum", "sums:sum_rows", shapes.sum_rows)
        yield _record("times_slope", "elementwise:times_slope", shapes.two)
        for name in ("sigmoid", "relu", "gelu", "gelu_slope", "tanh_slope", "sigmoid_slope", "relu_slope"):
            yield _record(name, f"elementwise:{name}", shapes.one)
        yield _record("group_norm", "group_norm:group_norm", shapes.one)
        yield _record("group_norm_push", "group_norm:group_norm_push", shapes.derivative)
        yield _record("group_norm_pull", "group_norm:group_norm_pull", shapes.derivative)
        for name in shapes.CONVOLUTIONS:
            yield _record(name, f"convolution:{name}", _exact(_small(getattr(shapes, name))))


def _exact(test: Callable[..., bool]) -> Callable[..., bool]:
    """Return a test that also asks for all digits: in TF32 a convolution is left to CuPy's products."""

    def applies(one: Any, *rest: Any) -> bool:
        return not in_tf32(one.dtype) and test(one, *rest)

    return applies


def _small(test: Callable[..., bool]) -> Callable[..., bool]:
    """Return a test that also asks for arrays whose numbers an int can count."""

    def applies(one: Any, other: Any, *rest: Any) -> bool:
        shapes_given = (each for each in rest if isinstance(each, tuple) and len(each) == 4)
        numbers = one.size, other.size, *map(prod, shapes_given)
        return max(numbers) < _COUNTED and test(one, other, *rest)

    return applies


def _few(test: Callable[..., bool], position: int = 0) -> Callable[..., bool]:
    """Return a test that also asks for no more arrays at a position than a launch takes."""

    def applies(*args: Any) -> bool:
        return len(args[position]) <= _MOST and test(*args)

    return applies


def _record(operation: str, code: str, test: Callable[..., bool], about: str = "in few launches") -> Kernel:
    return Kernel(
        operation=operation,
        name="cuda-c",
        about=f"{operation} {about}",
        array="cupy.ndarray",
        device="cuda",
        applies=test,
        load=partial(resolve_name, f"equilib_cuda.{code}"),
        seconds=(1.0, 0.01),
        least=1,
        priority=10,
    )
