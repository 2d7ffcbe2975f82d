"""Records of the kernels in CUDA C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import Any

from equilib.kernels import Kernel, shapes

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


def _few(test: Callable[..., bool], position: int = 0) -> Callable[..., bool]:
    """Return a test that also asks for no more arrays at a position than a launch takes."""

    def applies(*args: Any) -> bool:
        return len(args[position]) <= _MOST and test(*args)

    return applies


def _record(operation: str, code: str, test: Callable[..., bool], about: str = "in one launch") -> Kernel:
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
