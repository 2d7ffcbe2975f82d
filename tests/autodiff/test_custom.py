"""Values that enter the tape with a pullback of their own."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize, static_value, value_and_grad
from equilib.autodiff.custom import with_pullback
from tests.arrays_under_test import lift, lower


def square_root_of_product(x: Any, y: Any, calls: list[Any]) -> Any:
    """Return √(x y), computed outside the trace, with its pullback; every use of it is noted in `calls`."""
    a, b = static_value(x), static_value(y)
    root = ops.sqrt(a * b)

    def pullback(w: Any) -> tuple[Any, Any]:
        calls.append(w)
        return 0.5 * w * b / root, 0.5 * w * a / root

    return with_pullback(root, pullback, x, y)


def test_the_given_pullback_is_the_derivative(xp: ModuleType):
    """The gradient goes through the pullback that was given, called once for all sources."""
    x, y, calls = lift(xp, np.array([4.0])), lift(xp, np.array([9.0])), []
    value, grad = value_and_grad(lambda p: ops.sum(square_root_of_product(*p, calls) * 2.0))((x, y))
    assert lower(value) == 12.0
    assert [float(part[0]) for part in lower(grad)] == [1.5, 2 / 3]
    assert len(calls) == 1


def test_sources_that_are_constants_get_nothing():
    """Only the traced sources receive their cotangents."""
    _, grad = value_and_grad(lambda y: ops.sum(square_root_of_product(np.array([4.0]), y, [])))(np.array([9.0]))
    np.testing.assert_allclose(grad, 1 / 3)


def test_what_a_pullback_cannot_do_is_refused():
    """Without a differential, forward mode and second derivatives would be wrong, so they raise."""
    x = np.array([4.0])
    f = lambda x: ops.sum(square_root_of_product(x, np.array([9.0]), []))  # noqa: E731
    with pytest.raises(NotImplementedError, match="first derivatives in reverse mode only"):
        linearize(f, x).jvp(x)
    with pytest.raises(NotImplementedError, match="first derivatives in reverse mode only"):
        value_and_grad(lambda x: ops.sum(value_and_grad(f)(x)[1]))(x)
