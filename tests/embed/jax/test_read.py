"""What f reads without a mention of it, by operators and the like, counts as it is when it is solved for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.embed.jax.cells import TIGHT, close

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import fixed_point  # noqa: E402

GAIN = 1.0


def solved(read: Callable[[], Any]) -> Any:
    """Return half of the fixed point of a map, which is what is read."""
    return float(fixed_point(lambda z: 0.5 * z + read(), jnp.zeros((1, 1)), **TIGHT)[0, 0]) / 2


class Operators:
    """An object that reads a global in everything that code does without a name."""

    def __neg__(self) -> Any:
        return -GAIN

    def __sub__(self, other: Any) -> Any:
        return GAIN - other

    def __rsub__(self, other: Any) -> Any:
        return other - GAIN

    def __truediv__(self, other: Any) -> Any:
        return GAIN / other

    def __pow__(self, other: Any) -> Any:
        return GAIN**other

    def __iadd__(self, other: Any) -> Any:
        return GAIN + other

    def __lt__(self, other: Any) -> bool:
        return bool(other > GAIN)

    def __eq__(self, other: object) -> bool:
        return bool(other == GAIN)

    __hash__ = object.__hash__

    def __contains__(self, other: Any) -> bool:
        return bool(other == GAIN)

    def __bool__(self) -> bool:
        return bool(GAIN > 1.5)

    def __len__(self) -> int:
        return int(GAIN)

    def __float__(self) -> float:
        return float(GAIN)

    def __iter__(self) -> Iterator[Any]:
        return iter([GAIN])

    def __enter__(self) -> Any:
        return GAIN

    def __exit__(self, *_: object) -> None:
        pass

    def __jax_array__(self) -> Any:
        return jnp.asarray(GAIN)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(GAIN)

    def gain(self) -> Any:
        """Return the global."""
        return GAIN

    @property
    def share(self) -> Any:
        """Return it too."""
        return GAIN


h = Operators()


def _added() -> Any:
    held: Any = h
    held += 0
    return held


def _entered() -> Any:
    with h as held:
        return held


def _joined(head: str) -> Any:
    return getattr(h, head + "in")()


WAYS: dict[str, Callable[[], Any]] = {
    "-h": lambda: 0 - (-h),
    "h - 0": lambda: h - 0,
    "0 - h": lambda: -(0 - h),
    "h / 1": lambda: h / 1,
    "h ** 1": lambda: h**1,
    "h += 0": _added,
    "h < 1.5": lambda: 1.0 if h < 1.5 else 2.0,
    "h == 1": lambda: 1.0 if h == 1.0 else 2.0,
    "1 in h": lambda: 1.0 if 1.0 in h else 2.0,
    "bool": lambda: 2.0 if h else 1.0,
    "len": lambda: len(h),
    "float": lambda: float(h),
    "iter": lambda: next(iter(h)),
    "for": lambda: sum(h),
    "unpacking": lambda: (lambda one: one)(*h),
    "with": _entered,
    "jnp.asarray": lambda: jnp.asarray(h),
    "np.asarray": lambda: np.asarray(h),
    "getattr": lambda: getattr(h, "gain")(),  # noqa: B009
    "getattr of a name that is computed": lambda: _joined("ga"),
    "attrgetter": lambda: operator.attrgetter("share")(h),
    "methodcaller": lambda: operator.methodcaller("gain")(h),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_code_does_without_a_name_is_followed(way: str, monkeypatch: pytest.MonkeyPatch):
    """Operators, conversions, loops and attributes by their text read what there is when it is solved for."""
    for gain in (1.0, 2.0):
        monkeypatch.setitem(globals(), "GAIN", gain)
        assert close(solved(WAYS[way]), gain)
