"""An operation that counts how often each part of its rule is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from equilib.autodiff import LinearMap, linear_rule, primitive


def counted(counts: Counter[str], factor: float = 3.0) -> Callable[[Any], Any]:
    """Return the operation x ↦ factor · x, which counts its evaluations, rules, pushes and pulls."""

    @primitive
    def scale(x: Any) -> Any:
        counts["evaluations"] += 1
        return x * factor

    @linear_rule(scale)
    def _(ans: Any, x: Any) -> LinearMap:
        counts["rules"] += 1

        def push(v: Any) -> Any:
            counts["pushes"] += 1
            return v * factor

        def pull(w: Any) -> Any:
            counts["pulls"] += 1
            return w * factor

        return LinearMap(push, pull)

    return scale
