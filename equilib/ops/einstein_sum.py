"""Einstein's summation, made of products, permutations and sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from math import prod

from equilib.arrays import Array
from equilib.ops.elementwise import multiply
from equilib.ops.products import matmul
from equilib.ops.reductions import sum as sum_over
from equilib.ops.shapes import broadcast_to, getitem, permute_dims, reshape, shape_of

Term = tuple[Array, tuple[str, ...]]
"""An array, and a label for each of its axes."""


def einsum(subscripts: str, *operands: Array) -> Array:
    """Return the sum over the labels that the result lacks of the product of the operands, as `numpy.einsum`.

    `subscripts` holds the labels of each operand's shape, and those of the result behind "->"; without, the result has
    the labels that occur once, in alphabetical order. "..." stands for leading axes, which broadcast. Operands are
    multiplied from left to right.

    Raises ValueError if subscripts and operands do not fit together.
    """
    inputs, output = _parsed(subscripts, [shape_of(each) for each in operands])
    sizes: dict[str, int] = {}
    for labels, operand in zip(inputs, operands, strict=True):
        for label, length in zip(labels, shape_of(operand), strict=True):
            known = sizes.setdefault(label, length)
            if known != length and not (label.isdigit() and 1 in (known, length)):
                raise ValueError(f"einsum {subscripts!r}: axis {label!r} has the lengths {known} and {length}")
            sizes[label] = length if known == 1 else known
    terms = [_distinct(_stretched(term, sizes)) for term in zip(operands, inputs, strict=True)]
    for number in range(1, len(terms)):
        later = {label for _, labels in terms[number + 1 :] for label in labels} | set(output)
        terms[number] = _product(terms[number - 1], terms[number], later)
    x, labels = _summed(terms[-1], set(output))
    return permute_dims(x, tuple(labels.index(label) for label in output))


def _parsed(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Return the labels of each operand and of the result; the axes of "..." are numbered from the last."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    for part in [*parts, right]:
        before, dots, after = part.partition("...")
        if not (before + after + "a").isalpha():
            raise ValueError(f"einsum {subscripts!r}: {part!r} is not made of letters and '...'")
    if len(parts) != len(shapes):
        raise ValueError(f"einsum {subscripts!r} is for {len(parts)} operands, it was given {len(shapes)}")
    inputs = [_labels(part, len(shape), subscripts) for part, shape in zip(parts, shapes, strict=True)]
    found = Counter(label for labels in inputs for label in labels)
    leading = tuple(sorted((label for label in found if label.isdigit()), key=int, reverse=True))
    if not arrow:
        return inputs, (*leading, *sorted(label for label, times in found.items() if times == 1 and label.isalpha()))
    before, dots, after = right.partition("...")
    output = (*before, *(leading if dots else ()), *after)
    if len(set(output)) < len(output) or not set(output) <= set(found):
        raise ValueError(f"einsum {subscripts!r}: the result has an axis twice, or one that no operand has")
    return inputs, output


def _labels(part: str, ndim: int, subscripts: str) -> tuple[str, ...]:
    before, dots, after = part.partition("...")
    extra = ndim - len(before) - len(after)
    if extra < 0 or (extra and not dots):
        raise ValueError(f"einsum {subscripts!r}: {part!r} labels {len(before + after)} axes of an array of {ndim}")
    return (*before, *(str(number) for number in reversed(range(extra))), *after)


def _stretched(term: Term, sizes: dict[str, int]) -> Term:
    x, labels = term
    return broadcast_to(x, tuple(sizes[label] for label in labels)), tuple(labels)


def _distinct(term: Term) -> Term:
    """Take the diagonal over every label that an array has twice."""
    x, labels = term
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            one = labels.index(label)
            other = labels.index(label, one + 1)
            rest = [axis for axis in range(len(labels)) if axis not in (one, other)]
            length = shape_of(x)[one]
            x = permute_dims(x, (*rest, one, other))
            x = reshape(x, (*shape_of(x)[:-2], length * length))
            x = getitem(x, (..., slice(None, None, length + 1)))
            labels = (*(labels[axis] for axis in rest), label)
    return x, labels


def _summed(term: Term, kept: set[str]) -> Term:
    x, labels = term
    axes = tuple(axis for axis, label in enumerate(labels) if label not in kept)
    return (sum_over(x, axes) if axes else x), tuple(label for label in labels if label in kept)


def _product(one: Term, other: Term, later: set[str]) -> Term:
    """Multiply two arrays and sum over what nobody needs later, as one product of matrices."""
    one, other = _summed(one, later | set(other[1])), _summed(other, later | set(one[1]))
    (x, left), (y, right) = one, other
    shared = [label for label in left if label in right and label in later]
    summed = [label for label in left if label in right and label not in later]
    rows, columns = ([label for label in labels if label not in shared + summed] for labels in (left, right))
    lengths = dict(zip(left + right, shape_of(x) + shape_of(y), strict=True))
    size: Callable[[Sequence[str]], int] = lambda labels: prod(lengths[label] for label in labels)  # noqa: E731

    def matrices(z: Array, labels: tuple[str, ...], *groups: list[str]) -> Array:
        order = reduce(list.__add__, groups)
        return reshape(permute_dims(z, tuple(map(labels.index, order))), tuple(map(size, groups)))

    x, y = matrices(x, left, shared, rows, summed), matrices(y, right, shared, summed, columns)
    # Without a sum the product is elementwise, of columns and rows.
    z = matmul(x, y) if summed else multiply(x, y)
    labels = (*shared, *rows, *columns)
    return reshape(z, tuple(lengths[label] for label in labels)), labels
