"""Arrays that autograd does not know are registered when they are first traced.

The CuPy arrays here are real ones over host memory: their types, metadata and views work without a device, and
whatever would launch a kernel raises. Nothing in this file is tested on a GPU.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import array_api_strict as strict
import autograd
import numpy as np
import pytest
from autograd.core import vspace
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import Box

from equilib import ops
from equilib.arrays import array_namespace, is_array
from equilib.autodiff import IndependentError, linearize
from equilib.autodiff.boxes import ArraySpace, TracedArray, ensure_traceable
from equilib.autodiff.tape import Linearized

_VIEWS = {
    "reshape": (lambda x: ops.reshape(x, (6, 4)), lambda x: x.reshape(6, 4)),
    "permute_dims": (lambda x: ops.permute_dims(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1)),
    "matrix_transpose": (ops.matrix_transpose, lambda x: x.swapaxes(1, 2)),
    "expand_dims": (lambda x: ops.expand_dims(x, -1), lambda x: x[..., None]),
    "flip": (lambda x: ops.flip(x, (0, 2)), lambda x: x[::-1, :, ::-1]),
    "getitem": (lambda x: x[1, ::2, None, 1:], lambda x: x[1, ::2, None, 1:]),
    "broadcast_to": (
        lambda x: ops.broadcast_to(x, (5, 2, 3, 4)),
        lambda x: np.broadcast_to(x, (5, 2, 3, 4)),
    ),
    "a chain": (lambda x: ops.permute_dims(x, (1, 0, 2))[0, :, :].T, lambda x: x[:, 0].T),
}
_INVERTIBLE = ["reshape", "permute_dims", "matrix_transpose", "expand_dims", "flip"]


def over(host: np.ndarray) -> Any:
    """Return a `cupy.ndarray` over the memory of a NumPy array."""
    cupy = pytest.importorskip("cupy")
    memory = cupy.cuda.UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
    return cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(memory, 0))


def read(view: Any, host: np.ndarray) -> np.ndarray:
    """Read a view of `over(host)` through the host's memory."""
    offset = view.data.ptr - host.ctypes.data
    return np.ndarray(view.shape, host.dtype, host.data, offset, view.strides)


@pytest.fixture
def host() -> np.ndarray:
    """Return 24 different numbers."""
    return np.arange(24.0).reshape(2, 3, 4)


def test_cupy_arrays_are_recognised(host: np.ndarray):
    """A CuPy array is an array, and its namespace is array-api-compat's for CuPy."""
    array = over(host)
    assert is_array(array)
    assert array_namespace(array, 2.0).__name__ == "array_api_compat.cupy"
    with pytest.raises(TypeError, match="an operation got arrays of cupy and numpy: give parameters and inputs of one"):
        array_namespace(array, host)


def test_cupy_arrays_get_our_box_and_space(host: np.ndarray):
    """Once traced, a CuPy array is boxed by ours and has a vector space of its shape and dtype."""
    array = over(host)
    seen = []
    linearize(lambda x: (seen.append(x), ops.reshape(x, (24,)))[1], array)
    assert type(seen[0]) is TracedArray
    assert (seen[0].shape, seen[0].dtype, seen[0].ndim, seen[0].size) == ((2, 3, 4), np.float64, 3, 24)
    assert isinstance(vspace(array), ArraySpace)
    assert (vspace(array).shape, vspace(array).size) == ((2, 3, 4), 24)


@pytest.mark.parametrize("name", _VIEWS)
def test_views_of_cupy_arrays_are_pushed_as_views(name: str, host: np.ndarray):
    """Changes of shape are traced on CuPy arrays; the value and J·v are views of what went in."""
    operation, expected = _VIEWS[name]
    other = host + 100.0
    linear = linearize(operation, over(host))
    np.testing.assert_array_equal(read(linear.value, host), expected(host))
    np.testing.assert_array_equal(read(linear.jvp(over(other)), other), expected(other))


@pytest.mark.parametrize("name", _INVERTIBLE)
def test_views_of_cupy_arrays_are_pulled_as_views(name: str, host: np.ndarray):
    """The transpose of a change of shape undoes it, again as a view."""
    operation, expected = _VIEWS[name]
    linear = linearize(operation, over(host))
    cotangent = np.ascontiguousarray(expected(host + 100.0))
    np.testing.assert_array_equal(read(linear.vjp(over(cotangent))[0], cotangent), host + 100.0)


def test_autograd_pulls_views_of_cupy_arrays(host: np.ndarray):
    """Autograd's own transforms accept CuPy arrays through the same registration."""
    array = over(host)
    ensure_traceable(array)
    pull, _ = autograd.make_vjp(lambda x: ops.reshape(x, (24,)))(array)
    cotangent = np.arange(24.0) + 100.0
    np.testing.assert_array_equal(read(pull(over(cotangent)), cotangent), host + 100.0)


def test_independence_is_found_on_cupy(host: np.ndarray):
    """Dependence is read off the tape: no kernel is needed to see that there is none."""
    linear = Linearized(lambda t: ops.reshape(t["a"], (24,)), {"a": over(host), "b": over(host)})
    with pytest.raises(IndependentError, match="argument 0 at 'b'"):
        linear.vjp(over(np.arange(24.0)), (0,), strict=True)


def test_numpy_arrays_keep_autograds_box():
    """Tracing NumPy arrays changes nothing for code written with autograd."""
    ensure_traceable(np.ones(2))
    assert Box.type_mappings[np.ndarray] is ArrayBox


def test_registering_again_changes_nothing():
    """A type is registered once; its operators stay the same objects."""
    array = strict.asarray([1.0])
    ensure_traceable(array)
    before = Box.type_mappings[type(array)], TracedArray.__add__
    ensure_traceable(array)
    assert (Box.type_mappings[type(array)], TracedArray.__add__) == before


@pytest.mark.parametrize("value", ["text", object()])
def test_what_is_no_array_cannot_be_traced(value: Any):
    """Only arrays can be traced; the error names the type that was given."""
    with pytest.raises(TypeError, match=f"only arrays can be differentiated, not {type(value).__name__}"):
        ensure_traceable(value)


def test_spaces_of_arrays():
    """Two spaces are equal if shape and dtype are; zeros and ones have them."""
    space = vspace_of((2, 3), strict.float32)
    assert space == vspace_of((2, 3), strict.float32)
    assert space != vspace_of((2, 3), strict.float64)
    assert space != vspace_of((3, 2), strict.float32)
    assert space != "a space"
    assert hash(space) == hash(vspace_of((2, 3), strict.float32))
    for array, number in ((space.zeros(), 0.0), (space.ones(), 1.0)):
        assert (array.shape, array.dtype) == ((2, 3), strict.float32)
        assert bool(strict.all(array == number))


def vspace_of(shape: tuple[int, ...], dtype: Any) -> ArraySpace:
    """Return the space of arrays of the strict library."""
    return ArraySpace(strict.zeros(shape, dtype=dtype))


def test_autograds_gradient_on_arrays_it_does_not_know():
    """Autograd's `grad` and Hessian products run on a registered type, through its vector space."""
    x, v = strict.asarray([1.0, 2.0]), strict.asarray([1.0, 10.0])
    ensure_traceable(x)
    cubes = lambda x: ops.sum(x * x * x)  # noqa: E731
    np.testing.assert_allclose(np.asarray(autograd.grad(cubes)(x)), [3.0, 12.0])
    product = autograd.grad(lambda x: ops.sum(autograd.grad(cubes)(x) * v))(x)
    np.testing.assert_allclose(np.asarray(product), [6.0, 120.0])


def test_importing_the_operations_loads_no_array_library():
    """CuPy and array-api-compat are loaded when an array needs them, not by an import of ours."""
    check = (
        "import sys, equilib.autodiff, equilib.ops;"
        "print(sorted({'cupy', 'torch', 'jax', 'array_api_compat'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
