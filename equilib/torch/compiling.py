"""Functions that `torch.compile` leaves as they are, and that no recorder of operations can follow.

The one would trace into the solver's loop; the others would record the numbers of one solve as constants.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch

from equilib.errors import UserError

F = TypeVar("F", bound=Callable[..., Any])

REASON = "equilib's solvers decide by numbers, which nothing that is compiled or exported knows beforehand"

RECORDED = (
    "a solve or an integration cannot be recorded by {}: its steps depend on its numbers, which would be constants of "
    "the record; run the model as it is (torch.compile around it leaves the solve out), and save its state_dict"
)


def uncompiled(function: F) -> F:
    """Return a function that is called outside of what is compiled; it raises UserError where calls are recorded."""
    disabled: list[Callable[..., Any]] = []

    @wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        refuse_recorders()
        return function(*args, **kwargs)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:  # who compiles has loaded it; to load it takes seconds
            return plain(*args, **kwargs)
        if not disabled:
            told = "reason" in inspect.signature(torch.compiler.disable).parameters
            disabled.append(torch.compiler.disable(plain, **({"reason": REASON} if told else {})))
        return disabled[0](*args, **kwargs)

    return cast(F, call)


def refuse_recorders() -> None:
    """Raise UserError where calls are recorded."""
    if torch._C._get_tracing_state() is not None:
        raise UserError(RECORDED.format("torch.jit.trace"))
    if torch.compiler.is_compiling():
        raise UserError(RECORDED.format("torch.export"))
    if torch._C._len_torch_dispatch_stack():
        from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

        names = {type(each).__name__ for each in _get_current_dispatch_mode_stack()}
        if names & {"ProxyTorchDispatchMode", "FakeTensorMode"}:
            raise UserError(f"{RECORDED.format('make_fx or with fake tensors')}; for torch.func.linearize take jvp")
    if _fx_traces():  # last, as make_fx is one of its tracers
        raise UserError(f"{RECORDED.format('torch.fx')}; a tracer whose is_leaf_module knows it keeps it as one call")


def _fx_traces() -> bool:
    tracer = sys.modules.get("torch.fx._symbolic_trace")
    # The older one warns in versions that have both; without either PyTorch's own errors tell it.
    for name in ("is_fx_symbolic_tracing", "is_fx_tracing"):
        if hasattr(tracer, name):
            return bool(getattr(tracer, name)())
    return False
