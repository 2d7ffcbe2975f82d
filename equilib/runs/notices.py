"""Warnings of a program as its own lines, without the places in our code."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from equilib.errors import printable
from equilib.fixed_points.solution import UnsolvedWarning
from equilib.kernels import KernelWarning


@contextmanager
def warnings_said(say: Callable[[str], None]) -> Iterator[None]:
    """Have `say` told of solves that were told to warn, and of kernels that cannot be used, every time."""
    with warnings.catch_warnings():
        for each in (UnsolvedWarning, KernelWarning):
            warnings.simplefilter("always", each)
        show = warnings.showwarning

        def told(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, UnsolvedWarning | KernelWarning):
                say(printable(str(message)))
            else:
                show(message, category, *place, **more)

        warnings.showwarning = told
        yield
