"""Functions of a number in compiled code, so that LLVM makes them functions of a register full of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from equilib_numba.code.compiling import HOW

# tanh x ≈ x P(x²) / Q(x²) for |x| ≤ 7.9, where float32's tanh becomes 1: Eigen's coefficients
# (Eigen/src/Core/MathFunctionsImpl.h, generic_fast_tanh_float).
_LARGEST = 7.90531110763549805
_P = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05)
_P = (*_P, 6.37261928875436e-04, 4.89352455891786e-03)
_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def tanh(argument: Any) -> Any:
    """Return tanh of a number in compiled code: the C library's in float64, to 5 units in the last place in float32."""
    raise NotImplementedError


@overload(tanh, jit_options=HOW)
def _(argument: Any) -> Any:
    if argument == types.float64:

        def exact(argument: Any) -> Any:
            return math.tanh(argument)

        return exact
    largest, one = np.float32(_LARGEST), np.float32(1)
    p0, p1, p2, p3, p4, p5, p6 = (np.float32(each) for each in _P)
    q0, q1, q2, q3 = (np.float32(each) for each in _Q)

    def rational(argument: Any) -> Any:
        x = largest if argument > largest else argument
        x = -largest if x < -largest else x
        square = x * x
        above = x * ((((((p0 * square + p1) * square + p2) * square + p3) * square + p4) * square + p5) * square + p6)
        inside = above / (((q0 * square + q1) * square + q2) * square + q3)
        inside = one if argument > largest else inside
        return -one if argument < -largest else inside

    return rational
