"""Winograd's transforms L X Lᵀ of tiles of pixels, a register of channels at a time.

The matrices are those of Lavin & Gray 2016 (arXiv:1509.09308), §4.1: with them a 3×3 convolution computes 2×2 pixels
with 16 multiplications of a channel instead of 36, F(2×2, 3×3) = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A (eq. 11). The kernel's
cotangent is F(3×3, 2×2), with the same Bᵀ (eq. 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from equilib_numba.code.memory import vector_of
from equilib_numba.registers import BYTES

Matrix = Sequence[Sequence[float]]

INPUT: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
"""Bᵀ: four lines of an image."""
KERNEL: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
"""G: the three lines of a kernel."""
RESULT: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))
"""Aᵀ: two lines of the result."""
COTANGENT: Matrix = ((1, 0), (0.5, 0.5), (0.5, -0.5), (0, 1))
"""G of F(3×3, 2×2): two lines of the result's cotangent."""
GRADIENT: Matrix = ((1, 1, 1, 0), (0, 1, -1, 0), (0, 1, 1, -1))
"""Aᵀ of F(3×3, 2×2): the three lines of the kernel's cotangent."""


def transform(matrix: Matrix) -> Any:
    """Return an intrinsic f(like, source, line, column, target, line, column, registers) that writes L X Lᵀ.

    X[i, j] are `registers` registers of channels at source + i · line + j · column, and the result is laid out
    likewise. The number `like` tells the type.
    """
    size, length = len(matrix), len(matrix[0])

    @intrinsic
    def sandwich(
        typingctx: Any, like: Any, source: Any, line: Any, column: Any, target: Any, to_line: Any, to_column: Any,
        registers: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            _, source, line, column, target, to_line, to_column, registers = values
            vector = vector_of(context.get_value_type(like), like)

            def place(start: Any, i: int, j: int, steps: tuple[Any, Any], by: Any) -> Any:
                at = builder.add(start, by)
                for count, step in zip((i, j), steps, strict=True):
                    at = builder.add(at, builder.mul(step, ir.Constant(step.type, count)))
                return builder.inttoptr(at, vector.as_pointer())

            with cgutils.for_range(builder, registers) as loop:
                by = builder.mul(loop.index, ir.Constant(loop.index.type, BYTES))
                align = like.bitwidth // 8
                x = [
                    [builder.load(place(source, i, j, (line, column), by), align=align) for j in range(length)]
                    for i in range(length)
                ]
                across = [_apply(builder, matrix, each) for each in x]
                down = [_apply(builder, matrix, [each[j] for each in across]) for j in range(size)]
                for i in range(size):
                    for j in range(size):
                        builder.store(down[j][i], place(target, i, j, (to_line, to_column), by), align=align)
            return context.get_dummy_value()

        return types.none(like, *(types.intp,) * 7), codegen

    return sandwich


def _apply(builder: ir.IRBuilder, matrix: Matrix, x: Sequence[ir.Value]) -> list[ir.Value]:
    """Return the product of a matrix, whose rows have entries of one absolute value, with a vector."""
    return [_combine(builder, row, x) for row in matrix]


def _combine(builder: ir.IRBuilder, weights: Sequence[float], x: Sequence[ir.Value]) -> ir.Value:
    terms = sorted(((w, each) for w, each in zip(weights, x, strict=True) if w), key=lambda term: term[0] < 0)
    factor, total = abs(terms[0][0]), terms[0][1]
    for weight, each in terms[1:]:
        total = builder.fadd(total, each) if weight > 0 else builder.fsub(total, each)
    if factor != 1:
        total = builder.fmul(total, ir.Constant(total.type, [factor] * total.type.count))
    return total
