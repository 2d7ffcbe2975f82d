"""Operations as traces see them: one step each, with little to do where nothing is traced.

autograd's own `primitive` looks at every argument's box, type and `__array_ufunc__` before it calls a function, which
costs more than the arithmetic of small arrays. Ours asks only whether there is a box. Where there is one, it does the
same, so that an operation can be part of any trace: ours, autograd's `grad` or `make_jvp`, and any nest of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import count
from typing import Any, TypeVar, cast

from autograd.tracer import Box, TraceStack, new_box

Function = TypeVar("Function", bound=Callable[..., Any])

BOXES: set[type] = Box.types
"""The types of traced values; autograd adds to it when a new type of array is first traced."""

TRACES = count()
"""The numbers of traces, in any thread, ours and autograd's: an inner trace begins later than those around it."""


@contextmanager
def _new_trace(_: TraceStack) -> Iterator[int]:
    yield next(TRACES)


# autograd counts the traces that are open, in one place for all threads, which mixes up those of different threads.
TraceStack.new_trace = _new_trace


def primitive(function: Function) -> Function:
    """Make `function` an operation that traces see as one step; its rules are given by `linear_rule`.

    Arrays to differentiate are passed by position; keywords are constants.
    """

    @wraps(function)
    def operation(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            if type(arg) in BOXES:
                return _traced(operation, args, kwargs)
        return function(*args, **kwargs)

    return cast(Function, operation)


def _traced(operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Take one step of the innermost trace; the step that this calls is one of the next trace, if there is one."""
    trace, boxed = -1, []
    for number, arg in enumerate(args):
        if type(arg) in BOXES:
            if arg._trace > trace:
                trace, boxed = arg._trace, [number]
            elif arg._trace == trace:
                boxed.append(number)
    values = list(args)
    for number in boxed:
        values[number] = args[number]._value
    ans = operation(*values, **kwargs)
    parents = tuple([args[number]._node for number in boxed])
    node = type(parents[0])(ans, operation, tuple(values), kwargs, tuple(boxed), parents)
    return new_box(ans, trace, node)
