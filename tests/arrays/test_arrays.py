"""Namespaces, the way between host and device, and per-sample norms."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

from equilib.arrays import (
    array_namespace,
    coefficients,
    from_host,
    is_array,
    max_norm,
    rms_norm,
    rows_like,
    samples_as_rows,
    to_host,
    two_norm,
    where_samples,
)
from tests.arrays_under_test import lift, lower


def test_numpy_is_its_own_namespace():
    """NumPy arrays and scalars answer with NumPy itself, with Python scalars beside them or alone."""
    assert array_namespace(np.ones(2), np.float32(1.0), 2.0, None) is np
    assert array_namespace(1.0) is np


def test_other_libraries_answer_for_themselves():
    """A library that follows the standard is asked for its namespace."""
    assert array_namespace(strict.ones(2), 3.0, None) is strict


@pytest.mark.parametrize("pair", [(np.ones(2), strict.ones(2)), (strict.ones(2), "text"), ([1.0],)])
def test_no_common_namespace(pair: tuple[Any, ...]):
    """Arrays of different libraries, and what is no array, have no namespace."""
    with pytest.raises(TypeError):
        array_namespace(*pair)


def test_what_is_an_array():
    """Arrays and NumPy scalars are arrays; numbers, lists and things that merely have a shape are not."""

    class Shaped:
        shape = (2,)

    assert all(map(is_array, [np.ones(2), np.float32(1.0), strict.ones(2)]))
    assert not any(map(is_array, [1.0, None, True, [1.0], "text", Shaped(), np.ndarray, np.float32]))


def test_to_host_and_back(xp: ModuleType):
    """A round trip through the host keeps the numbers, the dtype and the library."""
    array = lift(xp, np.arange(6.0).reshape(2, 3), "float32")
    host = to_host(array)
    assert type(host) is np.ndarray
    assert host.dtype == np.float32
    back = from_host(host, array)
    assert type(back) is type(array)
    np.testing.assert_array_equal(lower(back), np.arange(6.0).reshape(2, 3))


def test_numpy_arrays_are_not_copied():
    """On NumPy, to and from the host are free."""
    array = np.ones(2)
    assert to_host(array) is array
    assert from_host(array, np.zeros(1)) is array


def test_coefficients_take_the_dtype_of_the_arrays(xp: ModuleType):
    """Host numbers in double precision do not widen single-precision arrays."""
    array = lift(xp, np.ones((2, 2)), "float32")
    numbers = coefficients(np.array([0.5, 2.0]), array)
    assert (type(numbers), numbers.dtype) == (type(array), array.dtype)
    assert lower(numbers).tolist() == [0.5, 2.0]


@pytest.mark.parametrize(("shape", "rows"), [((3,), (3, 1)), ((3, 2, 4), (3, 8)), ((0, 4), (0, 4)), ((2, 0), (2, 0))])
def test_samples_as_rows(xp: ModuleType, shape: tuple[int, ...], rows: tuple[int, int]):
    """Each sample becomes a row, also where there are no samples or nothing in them."""
    assert samples_as_rows(lift(xp, np.zeros(shape))).shape == rows


def test_rows_like_broadcasts_by_sample(xp: ModuleType):
    """One number a sample lines up with the sample axis, not with the last."""
    scaled = rows_like(lift(xp, np.array([1.0, 10.0])), lift(xp, np.ones((2, 2, 2))))
    assert scaled.shape == (2, 1, 1)


@pytest.mark.parametrize("mask", [[True, False], [True, True], [False, False]])
def test_where_samples(xp: ModuleType, mask: list[bool]):
    """Whole samples are chosen, and a NaN that is not chosen does not show."""
    chosen, other = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    for k, take in enumerate(mask):
        (other if take else chosen)[k] = np.nan
    picked = lower(where_samples(np.array(mask), lift(xp, chosen), lift(xp, other)))
    np.testing.assert_array_equal(picked, np.where(np.array(mask)[:, None], chosen, other))
    assert np.isfinite(picked).all()


@pytest.mark.parametrize(
    ("norm", "expected"),
    [(two_norm, [5.0, 0.0]), (rms_norm, [2.5, 0.0]), (max_norm, [4.0, 0.0])],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_norms_are_per_sample(xp: ModuleType, norm: Any, expected: list[float]):
    """Each sample has its own norm, in the dtype of the array."""
    array = lift(xp, np.array([[[3.0, 0.0], [0.0, -4.0]], np.zeros((2, 2))]), "float32")
    norms = norm(array)
    assert norms.dtype == xp.float32
    assert lower(norms).tolist() == expected


@pytest.mark.parametrize("norm", [two_norm, rms_norm, max_norm])
def test_norms_see_what_is_not_finite(xp: ModuleType, norm: Any):
    """A NaN or an infinity shows in its sample's norm and in no other."""
    norms = lower(norm(lift(xp, np.array([[1.0, np.nan], [1.0, 1.0], [np.inf, 0.0]]))))
    assert np.isfinite(norms).tolist() == [False, True, False]


def test_rms_norm_does_not_grow_with_the_size():
    """The root mean square of a constant is that constant, however many numbers there are."""
    assert [float(rms_norm(np.full((1, size), 3.0))[0]) for size in (1, 10, 1000)] == pytest.approx([3.0] * 3)


def test_an_object_of_no_library_is_named():
    """What has a shape and is no array is refused by its type, beside arrays and alone."""

    class Table:
        shape = (1,)

    for others in ((), (np.ones(1),)):
        with pytest.raises(TypeError, match="Table is not a supported array type"):
            array_namespace(Table(), *others)
