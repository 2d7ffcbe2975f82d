"""Functions that `torch.compile` leaves as they are: it would trace into the solver's loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar, cast

import torch

F = TypeVar("F", bound=Callable[..., Any])


def uncompiled(function: F) -> F:
    """Return a function that is called outside of what is compiled."""

    @cache
    def disabled() -> Callable[..., Any]:
        return cast(Callable[..., Any], torch.compiler.disable(function))

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # Who compiles has loaded it; to load it takes seconds.
        return (disabled() if "torch._dynamo" in sys.modules else function)(*args, **kwargs)

    return cast(F, call)
