"""Parametrizations of a module's tensors, such as weight_norm, within f."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.utils import parametrize


@contextmanager
def evaluated_anew() -> Iterator[None]:
    """Have a block in which `parametrize.cached` keeps nothing.

    What it kept of an evaluation without a graph, as those of a solver are, would have no derivative in the next one.
    """
    depth = parametrize._cache_enabled
    parametrize._cache_enabled = 0
    try:
        yield
    finally:
        parametrize._cache_enabled += depth
