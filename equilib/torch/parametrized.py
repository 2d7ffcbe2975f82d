"""Tensors of a module that calls of it make: parametrizations, such as weight_norm, and lazy parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize


def initialize(f: Callable[..., Any], tensors: Iterable[Tensor], *arguments: Any) -> bool:
    """Call f once, without a graph, if one of its tensors has no shape before that, as those of `torch.nn.LazyLinear`.

    Returns whether it was called.
    """
    if not any(map(is_lazy, tensors)):
        return False
    with torch.no_grad():
        f(*arguments)
    return True


def evaluated_anew() -> AbstractContextManager[None]:
    """Return a block in which `parametrize.cached` keeps nothing.

    What it kept of an evaluation without a graph, as those of a solver are, would have no derivative in the next one.
    """
    return _uncached() if parametrize._cache_enabled else AS_IT_IS


AS_IT_IS = nullcontext()
"""A block that changes nothing: to make one takes longer than to enter it, and each call of f enters two."""


@contextmanager
def _uncached() -> Iterator[None]:
    depth = parametrize._cache_enabled
    parametrize._cache_enabled = 0
    try:
        yield
    finally:
        parametrize._cache_enabled += depth
