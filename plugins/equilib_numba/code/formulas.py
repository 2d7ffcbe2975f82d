"""Functions of a number in compiled code, so that LLVM makes them functions of a register full of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from equilib_numba.code.compiling import HOW

# tanh x ≈ x P(x²) / Q(x²) for |x| ≤ 7.9, where float32's tanh becomes 1: Eigen's coefficients
# (Eigen/src/Core/MathFunctionsImpl.h, generic_fast_tanh_float).
_LARGEST = 7.90531110763549805
_P = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05)
_P = (*_P, 6.37261928875436e-04, 4.89352455891786e-03)
_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)

# eʳ ≈ 1 + r + r² p(r) for |r| ≤ ½ log 2, and log 2 in two parts, of which the first has few bits: those of Cephes
# (Moshier, single/expf.c).
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG_2 = (0.693359375, -2.12194440e-4)
_FARTHEST = 87.3365  # from there on the sigmoid is below float32's smallest normal number
_WHOLE = 1.5 * 2.0**23
"""A number of float32 that rounds what is added to whole numbers, and has them in its last bits."""


@intrinsic
def _power_of_two(typingctx: Any, shifted: Any) -> Any:
    """Return 2ⁿ of float32 for the whole number n in the last bits of `_WHOLE` + n."""
    if shifted != types.float32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.IntType(32)
        exponent = builder.shl(builder.bitcast(values[0], word), ir.Constant(word, 23))
        return builder.bitcast(builder.add(exponent, ir.Constant(word, 127 << 23)), ir.FloatType())

    return shifted(shifted), codegen


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


def sigmoid(argument: Any) -> Any:
    """Return 1 / (1 + e^−x) of a number in compiled code; in float32 to 3 units in the last place of normal numbers."""
    raise NotImplementedError


@overload(sigmoid, jit_options=HOW)
def _(argument: Any) -> Any:
    if argument == types.float64:

        def exact(argument: Any) -> Any:
            return 1.0 / (1.0 + math.exp(-argument))

        return exact
    farthest, zero, one, whole = (np.float32(each) for each in (_FARTHEST, 0, 1, _WHOLE))
    log2_e, first, rest = (np.float32(each) for each in (1 / math.log(2), *_LOG_2))
    p0, p1, p2, p3, p4, p5 = (np.float32(each) for each in _EXP)

    def reduced(argument: Any) -> Any:
        x = farthest if argument < -farthest else -argument
        x = -farthest if x < -farthest else x
        shifted = x * log2_e + whole
        n = shifted - whole
        r = x - n * first - n * rest
        power = one + r + r * r * (((((p0 * r + p1) * r + p2) * r + p3) * r + p4) * r + p5)
        inside = one / (one + power * _power_of_two(shifted))
        return zero if argument < -farthest else inside

    return reduced
