"""Parametrizations of a module's tensors, such as weight_norm, within f."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch.nn.utils import parametrize


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
