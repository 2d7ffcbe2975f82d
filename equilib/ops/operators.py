"""Python's operators for traced arrays, as the operations they stand for."""

from __future__ import annotations

from operator import eq, ge, gt, le, lt, ne

from equilib.autodiff.boxes import TracedArray, static_value
from equilib.ops.elementwise import abs as absolute
from equilib.ops.elementwise import add, divide, multiply, negative, subtract
from equilib.ops.elementwise import pow as power
from equilib.ops.products import matmul
from equilib.ops.shapes import getitem, matrix_transpose


def install_operators(box: type[TracedArray]) -> None:
    """Give `box` the arithmetic, indexing and comparison operators."""
    both = {"add": add, "sub": subtract, "mul": multiply, "truediv": divide, "matmul": matmul}
    for name, operation in both.items():
        setattr(box, f"__{name}__", operation)
        setattr(box, f"__r{name}__", lambda self, other, operation=operation: operation(other, self))
    single = {"neg": negative, "abs": absolute, "pow": power, "getitem": getitem}
    for name, function in single.items():
        setattr(box, f"__{name}__", function)
    for compare in (lt, le, gt, ge, eq, ne):
        # The value of a comparison is a constant for every trace.
        values = lambda self, other, compare=compare: compare(static_value(self), static_value(other))  # noqa: E731
        setattr(box, f"__{compare.__name__}__", values)
    box.T = property(matrix_transpose)
