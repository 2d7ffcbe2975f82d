"""What the operations do at kinks, at extremes, and with input they do not take."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import sparse, special

from equilib import ops
from equilib.autodiff import linearize, value_and_grad
from equilib.layers import MaxPool
from tests.arrays_under_test import distance, lift, lower


def slope(operation: Any, *at: float) -> np.ndarray:
    """Return the derivative of an operation on scalars with respect to its first argument."""
    arrays = [np.asarray([x]) for x in at]
    return linearize(operation, *arrays).jvp(np.ones(1))


@pytest.mark.parametrize(("operation", "expected"), [(ops.relu, 0.0), (ops.abs, 0.0), (ops.sign, 0.0)])
def test_slope_at_the_kink(operation: Any, expected: float):
    """Relu, abs and sign have the slope 0 at 0."""
    assert slope(operation, 0.0) == expected


BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
LISTS = {
    **{name: lambda x, name=name: getattr(ops, name)(x, x) for name in BINARY},
    **{f"array {name} list": lambda x, name=name: getattr(ops, name)(np.ones(2), x) for name in BINARY},
    **{name: lambda x, name=name: getattr(ops, name)(x) for name in ("negative", "sign", "exp", "abs")},
    "pow": lambda x: ops.pow(x, 2),
    "multiply by a number": lambda x: ops.multiply(2, x),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_refused(name: str):
    """No operation concatenates or repeats: each says of a list, a tuple or a text that it takes arrays."""
    for given in ([1.0, 2.0], (1.0, 2.0), "ab"):
        with pytest.raises(TypeError, match=f"operations take arrays, got a {type(given).__name__}"):
            LISTS[name](given)


ODD = {"a MaskedArray": np.ma.array(np.ones((2, 3)), mask=np.eye(2, 3)), "a matrix": np.ones((2, 3)).view(np.matrix)}
PLAIN = {
    **{name: getattr(ops, name) for name in ("tanh", "exp", "abs", "softmax", "sum", "mean")},
    "add": lambda x: ops.add(np.ones((2, 3)), x),
    "matmul": lambda x: ops.matmul(x, np.ones((3, 3))),
    "reshape": lambda x: ops.reshape(x, (3, 2)),
    "cross_entropy": lambda x: ops.cross_entropy(x, np.array([0, 1])),
    "conv2d": lambda x: ops.conv2d(x, KERNEL),
    "gradient": lambda x: value_and_grad(lambda p: ops.sum(ops.tanh(p)))(x),
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("kind", ODD)
def test_masked_arrays_and_matrices_are_refused(kind: str, name: str):
    """Their arithmetic is another: no operation computes with what stands under a mask, or takes * for a product."""
    with pytest.raises(TypeError, match=f"operations take plain arrays, got {kind}; take "):
        PLAIN[name](ODD[kind])


def test_maximum_shares_a_tie():
    """Where the arguments of maximum tie, each gets half the derivative."""
    assert slope(ops.maximum, 2.0, 2.0) == 0.5
    assert linearize(ops.maximum, np.ones(1), np.ones(1)).jvp(np.ones(1), argnum=1) == 0.5


IMAGES, KERNEL = np.ones((2, 5, 6, 3)), np.ones((3, 2, 3, 4))
WHOLE = "is two whole numbers of at least 1, along height and width, not"
ROWS = "whole numbers of rows and columns of at least 0, not"
ODD_GEOMETRIES: dict[str, tuple[Callable[[], Any], str]] = {
    "no stride": (lambda: ops.conv2d(IMAGES, KERNEL, (0, 1)), rf"a stride {WHOLE} \(0, 1\)"),
    "backwards": (lambda: ops.conv2d_block(IMAGES, KERNEL, stride=(1, -1)), rf"a stride {WHOLE} \(1, -1\)"),
    "one stride": (lambda: ops.conv2d(IMAGES, KERNEL, 2), f"a stride {WHOLE} 2"),  # type: ignore[arg-type]
    "half": (lambda: ops.conv2d(IMAGES, KERNEL, (1.5, 1)), f"a stride {WHOLE}"),  # type: ignore[arg-type]
    "cut": (lambda: ops.conv2d(IMAGES, KERNEL, padding=((0, 0), (-1, 0))), ROWS),
    "cut at once": (lambda: ops.conv2d_block(IMAGES, KERNEL, padding=((-1, 1), (0, 0))), ROWS),
    "one padding": (lambda: ops.conv2d(IMAGES, KERNEL, padding=(1, 1)), ROWS),  # type: ignore[arg-type]
    "no kernel": (lambda: ops.conv2d(IMAGES, KERNEL[:0]), rf"a window or kernel {WHOLE} \(0, 2\)"),
    "flat kernel": (lambda: ops.conv2d(IMAGES, KERNEL[0]), r"kernels have the shape .* not \(2, 3, 4\)"),
    "no dilation": (lambda: ops.conv2d_general(IMAGES, KERNEL, dilation=(0, 1)), rf"a dilation {WHOLE} \(0, 1\)"),
    "cut, dilated": (lambda: ops.conv2d_general(IMAGES, KERNEL, padding=((0, 0), (0, -1)), dilation=(1, 2)), ROWS),
    "in a line": (lambda: ops.conv1d(IMAGES[0], KERNEL[0], stride=0), "the stride is a whole number of at least 1"),
    "transposed": (lambda: ops.conv2d_transpose(IMAGES, KERNEL.swapaxes(2, 3), padding=((0, -1), (0, 0))), ROWS),
    "back": (lambda: ops.conv2d_input_transpose(IMAGES, KERNEL, (2, 5, 6, 3), (0, 0)), f"a stride {WHOLE}"),
    "no window": (lambda: ops.max_pool(IMAGES, (0, 2), (1, 1)), f"a window or kernel {WHOLE}"),
    "no step": (lambda: ops.max_pool(IMAGES, (2, 2), (0, 1)), f"a stride {WHOLE}"),
    "a step back": (lambda: ops.average_pool(IMAGES, (2, 2), (1, -2)), f"a stride {WHOLE}"),
    "no images": (lambda: ops.max_pool(IMAGES[0], (2, 2), (1, 1)), r"images have the shape .* not \(5, 6, 3\)"),
    "no layer": (lambda: MaxPool(2, stride=0), "stride of MaxPool must be a positive whole number, got 0"),
}


@pytest.mark.parametrize("case", ODD_GEOMETRIES)
def test_a_geometry_that_is_none_is_one_sentence(case: str):
    """Windows, strides, dilations and paddings are said to be wrong by their names, before anything is computed."""
    call, sentence = ODD_GEOMETRIES[case]
    with pytest.raises(ValueError, match=sentence):
        call()


def test_max_shares_a_tie():
    """Elements that tie for the maximum share the derivative equally."""
    _, grad = value_and_grad(ops.max)(np.array([3.0, 1.0, 3.0, 3.0]))
    np.testing.assert_allclose(grad, [1 / 3, 0, 1 / 3, 1 / 3])


def test_maximum_does_not_narrow_its_arguments():
    """Arguments of different dtypes are promoted, never cast to the first one's."""
    np.testing.assert_array_equal(ops.maximum(np.array([1, 2]), np.array([1.5, 0.5])), [1.5, 2.0])
    assert ops.maximum(np.ones(1, "float32"), np.ones(1)).dtype == np.float64


def derivative(f: Callable[[Any], Any], order: int) -> Callable[[Any], Any]:
    """Return the derivative of f along 1, `order` times."""
    if order == 0:
        return f
    inner = derivative(f, order - 1)
    return lambda x: linearize(inner, x).jvp(np.ones(1))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_integer_powers_are_smooth_at_zero(exponent: int):
    """The derivatives of xⁿ at 0 are 0, but for the n-th, which is n!."""
    for order in range(exponent + 2):
        value = derivative(lambda x: ops.pow(x, exponent), order)(np.zeros(1))
        assert value == (special.factorial(order) if order == exponent else 0.0)


def test_gelu_is_near_the_gaussian_form():
    """The tanh form is within 5e-4 of x Φ(x)."""
    x = np.linspace(-6, 6, 241)
    np.testing.assert_allclose(ops.gelu(x), x * special.ndtr(x), atol=5e-4)


@pytest.mark.parametrize("operation", [ops.sigmoid, ops.tanh, ops.gelu, ops.relu, ops.silu, ops.softplus])
def test_activations_do_not_overflow(operation: Any, xp: ModuleType):
    """Activations and their slopes are finite at arguments near the ends of single precision."""
    x = lift(xp, np.array([-3e38, -1e20, -1e12, -100.0, 100.0, 1e12, 1e20, 3e38]), "float32")
    linear = linearize(operation, x)
    assert np.isfinite(lower(linear.value)).all()
    assert np.isfinite(lower(linear.vjp(linear.value)[0])).all()


@pytest.mark.parametrize(("dtype", "farthest"), [("float32", 80.0), ("float64", 700.0)])
@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus"])
def test_activations_that_vanish_are_exact_where_they_do(name: str, dtype: str, farthest: float, xp: ModuleType):
    """Near 0 they are as exact, relative to themselves, as elsewhere: no difference of larger numbers is taken."""
    x = np.linspace(-farthest, farthest, 1001).astype(dtype)
    exact = x.astype(np.float64)
    expected = {"silu": exact * special.expit(exact), "softplus": np.logaddexp(0, exact)}
    found = lower(getattr(ops, name)(lift(xp, x)))
    np.testing.assert_allclose(found, expected.get(name, special.expit(exact)), rtol=20 * float(np.finfo(dtype).eps))


def test_logsumexp_does_not_overflow(xp: ModuleType):
    """Log-sum-exp shifts by the maximum, so large logits give finite values and gradients."""
    logits = lift(xp, np.array([[1e4, 1e4 - 1.0], [-1e4, -1e4]]))
    linear = linearize(ops.logsumexp, logits)
    assert distance(linear.value, special.logsumexp(lower(logits), axis=-1)) < 1e-12
    grad = linear.vjp(lift(xp, np.ones(2)))[0]
    assert distance(grad, special.softmax(lower(logits), axis=-1)) < 1e-12


def test_softmax_does_not_overflow(xp: ModuleType):
    """Large scores, and keys that a mask leaves out, give finite weights and gradients; without a key it is 0."""
    scores = lift(xp, np.array([[1e4, 1e4 - 1.0], [-1e4, -1e4]]))
    assert distance(ops.softmax(scores), special.softmax(lower(scores), axis=-1)) < 1e-12
    query, key = (lift(xp, np.full((2, 1), 1e3), "float32") for _ in range(2))
    mask = lift(xp, np.array([[True, False], [False, False]]))
    linear = linearize(lambda q, k: ops.scaled_dot_product_attention(q, k, k, mask), query, key)
    np.testing.assert_array_equal(lower(linear.value), [[1e3], [0]])
    assert all(np.isfinite(lower(each)).all() for each in linear.vjp(linear.value, (0, 1)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.clip(x, 1.0, 0.0), "clip needs min <= max, got 1.0 and 0.0"),
        (lambda x: ops.einsum("ij,jk", x), "is for 2 operands, it was given 1"),
        (lambda x: ops.einsum("i", x), "'i' labels 1 axes of an array of 2"),
        (lambda x: ops.einsum("ijk", x), "'ijk' labels 3 axes of an array of 2"),
        (lambda x: ops.einsum("ii", x), "axis 'i' has the lengths 2 and 3"),
        (lambda x: ops.einsum("ij->k", x), "an axis twice, or one that no operand has"),
        (lambda x: ops.einsum("ij->ii", x), "an axis twice, or one that no operand has"),
        (lambda x: ops.einsum("i1->i", x), "'i1' is not made of letters"),
        (
            lambda x: ops.scaled_dot_product_attention(x, x[:, :2], x),
            r"of shapes \(2, 3\), \(2, 2\), \(2, 3\) do not fit",
        ),
        (
            lambda x: ops.conv1d(x[None], np.ones((1, 3, 2)), groups=2),
            "the sequences have 3 channels, .* takes 6 in 2 groups",
        ),
        (
            lambda x: ops.conv1d(x[None], np.ones((2, 3, 2)), dilation=2),
            "a window of 3 does not fit into a length",
        ),
        (lambda x: ops.conv2d_transpose(x[None, None], np.ones((1, 1, 1, 2))), "have 3 channels, .* takes 2"),
        (
            lambda x: ops.conv2d_transpose(x[None, None], np.ones((1, 1, 1, 3)), output_padding=(0, 1)),
            r"must be in \[0, stride\), got \(0, 1\)",
        ),
        (
            lambda x: ops.conv2d_transpose(x[None, None], np.ones((1, 1, 1, 3)), (1, 1), ((0, 1), (0, 0))),
            "images of 0×2 pixels would be left",
        ),
        (lambda x: ops.layer_norm(x, np.ones(2)), r"scale has the shape \(2,\): give one of the last axes, \(3,\)"),
        (lambda x: ops.layer_norm(x, axes=3), "over the last 3 axes cannot take an array of shape"),
        (lambda x: ops.rms_norm(x, np.ones(2)), "give one number for each of 3 features"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call: Callable[[np.ndarray], Any], message: str):
    """The sentence says what was given and what fits."""
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 3)))


def test_numbers_of_rows_may_be_negative_or_bytes(xp: ModuleType):
    """−1 is the last row, there and back, and bytes reach every row of a long array."""
    x, numbers = lift(xp, np.arange(6.0).reshape(3, 2)), xp.asarray(np.array([-1, 2]))
    linear = linearize(lambda x: ops.take(x, numbers), x)
    np.testing.assert_array_equal(lower(linear.value), [[4, 5], [4, 5]])
    np.testing.assert_array_equal(lower(linear.vjp(linear.value)[0]), [[0, 0], [0, 0], [8, 10]])
    summed = ops.put_sum(lift(xp, np.ones((2, 1))), xp.asarray(np.array([255, 255], np.uint8)), (300, 1))
    assert np.flatnonzero(lower(summed)).tolist() == [255]


def test_a_sparse_product_takes_what_fits():
    """A dense matrix, and one with another number of columns, are refused; without entries the product is zero."""
    with pytest.raises(TypeError, match="not ndarray; use matmul"):
        ops.sparse_matmul(np.eye(3), np.ones((3, 2)))
    for x in (np.ones((2, 3)), np.ones(4), np.ones(())):
        with pytest.raises(ValueError, match=r"of shape \(3, 3\) does not fit to an array of shape"):
            ops.sparse_matmul(sparse.eye_array(3), x)
    assert not ops.sparse_matmul(sparse.csr_array((2, 3)), np.ones((3, 2))).any()
    for half in (np.ones(3, np.float16), np.ones((3, 2), np.float16)):
        with pytest.raises(TypeError, match="no sparse products in float16; give x in float32"):
            ops.sparse_matmul(sparse.eye_array(3), half)
        assert (ops.sparse_matmul(sparse.eye_array(3), half.astype(np.float32)) == half).all()
    with pytest.raises(TypeError, match="operations take arrays, got a list"):
        ops.sparse_matmul(sparse.eye_array(3), [1.0, 2.0, 3.0])


def test_where_keeps_the_gradient_of_the_other_branch_out():
    """A branch that was not taken contributes 0, also when its cotangent is not finite."""
    mask = np.array([True, False])
    linear = linearize(lambda x: ops.where(mask, x, 0.0), np.ones(2))
    np.testing.assert_array_equal(linear.vjp(np.array([2.0, np.nan]))[0], [2.0, 0.0])


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: ops.group_norm(ops.conv2d(x, np.ones((3, 3, 4, 2)), (1, 1), ((1, 1), (1, 1))), 1),
        lambda x: ops.max_pool(x, (2, 2), (2, 2)),
        lambda x: ops.gelu(ops.dense(x, np.ones((4, 3)))),
        lambda x: ops.log_softmax(ops.mean(x, (1, 2))),
    ],
    ids=["group norm of conv", "max pool", "gelu of dense", "log softmax of mean"],
)
def test_samples_do_not_mix(operation: Any, rng: np.random.Generator):
    """A NaN in one sample leaves the values and the pulled cotangents of the others as they are, to the bit."""
    clean = rng.standard_normal((3, 4, 4, 4))
    spoilt = clean.copy()
    spoilt[1] = np.nan
    with np.errstate(invalid="ignore"):
        one, other = linearize(operation, clean), linearize(operation, spoilt)
        w = rng.standard_normal(one.value.shape)
        pulled = one.vjp(w)[0], other.vjp(w)[0]
    for k in (0, 2):
        np.testing.assert_array_equal(one.value[k], other.value[k])
        np.testing.assert_array_equal(pulled[0][k], pulled[1][k])


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: ops.conv2d(x, np.ones((3, 3, 2, 5)), (2, 2), ((1, 1), (1, 1))),
        lambda x: ops.group_norm(x, 2),
        lambda x: ops.mean(x, (1, 2)),
        lambda x: ops.dense(x, np.ones((2, 3))),
        lambda x: ops.average_pool(x, (2, 2), (1, 1)),
    ],
    ids=["conv2d", "group_norm", "mean", "dense", "average_pool"],
)
def test_an_empty_batch_stays_empty(operation: Any):
    """A batch of no samples goes through, forward and back."""
    linear = linearize(operation, np.ones((0, 4, 4, 2)))
    assert linear.value.shape[0] == 0
    assert linear.vjp(linear.value)[0].shape == (0, 4, 4, 2)


NOTHING = {
    "softmax": (ops.softmax, (2, 3, 0)),
    "softmax over the middle": (lambda x: ops.softmax(x, 1), (2, 0, 4)),
    "log softmax": (ops.log_softmax, (2, 3, 0)),
    "logsumexp": (lambda x: ops.logsumexp(x, 1), (2, 0, 4)),
    "layer norm": (lambda x: ops.layer_norm(x, axes=2), (2, 0, 4)),
    "layer norm of no features": (ops.layer_norm, (2, 3, 0)),
    "group norm": (lambda x: ops.group_norm(x, 2), (2, 0, 4)),
    "rms norm": (ops.rms_norm, (2, 3, 0)),
    "dense": (lambda x: ops.dense(x, x[0, ...].T), (2, 3, 0)),
    "attention of no features": (lambda x: ops.scaled_dot_product_attention(x, x, x), (2, 3, 0)),
    "sum": (lambda x: ops.sum(x, 1), (2, 0, 4)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_axis_of_length_0_is_pytorchs(name: str, xp: ModuleType):
    """Over no elements a sum of exponentials is 0, its logarithm −∞, and what keeps the shape stays empty."""
    operation, shape = NOTHING[name]
    x = lift(xp, np.zeros(shape))
    linear = linearize(operation, x)
    expected = {"logsumexp": np.full((2, 4), -np.inf), "dense": np.zeros((2, 3, 3)), "sum": np.zeros((2, 4))}
    np.testing.assert_array_equal(lower(linear.value), expected.get(name, np.zeros(shape)))
    (w,) = lift(xp, (np.ones(linear.value.shape),))
    assert linear.vjp(w)[0].shape == shape
    assert linear.jvp(x).shape == linear.value.shape


@pytest.mark.parametrize("masked", [False, True])
def test_a_query_without_a_key_attends_to_nothing(masked: bool, xp: ModuleType):
    """Where there are no keys at all a query gives 0, as where all are masked, and has the derivative 0."""
    query, none = lift(xp, np.ones((2, 3, 4))), lift(xp, np.ones((2, 0, 4)))
    mask = xp.asarray(np.ones((3, 0), bool)) if masked else None
    linear = linearize(lambda *given: ops.scaled_dot_product_attention(*given, mask), query, none, none)
    assert not lower(linear.value).any()
    assert linear.value.shape == (2, 3, 4)
    assert not lower(linear.vjp(query)[0]).any()


def test_nothing_is_the_largest_of_nothing(xp: ModuleType):
    """Over an axis of length 0 there is no maximum, which a sentence says; beside one there is."""
    for operation in (ops.max, ops.min):
        for axis in (1, None):
            with pytest.raises(ValueError, match=rf"over axis {axis} of shape \(2, 0\), where there are no elements"):
                operation(lift(xp, np.ones((2, 0))), axis)
        assert operation(lift(xp, np.ones((2, 0))), 0).shape == (0,)


def test_geometry_by_keyword(rng: np.random.Generator):
    """Constants may be given by keyword: the derivative is the same as by position."""
    x, weight = rng.standard_normal((1, 6, 5, 2)), rng.standard_normal((3, 3, 2, 2))
    stride, padding = (2, 1), ((1, 0), (1, 2))
    by_name = linearize(lambda x, w: ops.conv2d(x, w, padding=padding, stride=stride), x, weight)
    by_place = linearize(lambda x, w: ops.conv2d(x, w, stride, padding), x, weight)
    for ours, theirs in zip(by_name.vjp(by_name.value, (0, 1)), by_place.vjp(by_place.value, (0, 1)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ops.conv2d(x, np.ones((3, 3, 5, 1))), ValueError, "2 channels .* kernel takes 5"),
        (lambda x: ops.conv2d(x, np.ones((5, 3, 2, 1))), ValueError, "window of 5 does not fit into a length of 4"),
        (lambda x: ops.max_pool(x, (2, 9), (1, 1)), ValueError, "window of 9 does not fit into a length of 4"),
        (lambda x: ops.group_norm(x, 3), ValueError, "3 groups do not divide 2 channels"),
        (lambda x: ops.group_norm(x, 0), ValueError, "0 groups do not divide 2 channels"),
        (lambda x: ops.group_norm(x, 2, 1e-5, np.ones(3)), ValueError, r"scale has the shape \(3,\): .* 2 channels"),
        (lambda x: ops.group_norm(x, 2, 1e-5, None, np.ones(1)), ValueError, r"shift has the shape \(1,\)"),
        (lambda x: ops.matmul(x, np.ones(())), ValueError, "takes matrices and vectors"),
        (lambda x: ops.expand_dims(x, 6), IndexError, "axis 6 is out of bounds"),
        (lambda x: ops.expand_dims(x, -6), IndexError, "axis -6 is out of bounds"),
        (lambda x: ops.getitem(x, [0, 0]), TypeError, "not list"),
        (lambda x: ops.getitem(x, (0, np.array([0, 0]))), TypeError, "not ndarray"),
        (lambda x: ops.getitem(x, True), TypeError, "not bool"),
        (lambda x: ops.cross_entropy(x, np.zeros(1, int)), ValueError, "give \\(batch, ..., classes\\) and"),
        (
            lambda x: ops.cross_entropy(ops.reshape(x, (4, 8)), np.zeros((4, 1), int)),
            ValueError,
            r"labels of shape \(4, 1\)",
        ),
        (
            lambda x: ops.cross_entropy(ops.reshape(x, (4, 8)), np.array([0, 9, 1, 2])),
            ValueError,
            "go from 0 to 9, where",
        ),
        (
            lambda x: ops.cross_entropy(ops.reshape(x, (4, 8)), np.array([0, 3, -1, 2])),
            ValueError,
            "go from -1 to 3, where",
        ),
        (lambda x: ops.cross_entropy(ops.reshape(x, (4, 8)), np.zeros(4)), ValueError, "must be integers"),
        (
            lambda x: ops.cross_entropy(ops.reshape(x, (4, 8)), [0, 1, 2, 3]),
            ValueError,
            "shape \\(batch, ...\\), not a list",
        ),
        (lambda x: ops.cross_entropy(ops.reshape(x, (4, 8))[:0, :], np.zeros(0, int)), ValueError, "an empty batch"),
        *[
            (
                lambda x, call=call: call([1.0, 2.0]),
                TypeError,
                "operations take arrays, got a list; of numbers make one",
            )
            for call in (ops.tanh, ops.sum, lambda x: ops.matmul(x, x), lambda x: ops.dense(x, x), ops.softmax)
        ],
        (
            lambda x: ops.take(x, [0.5]),
            TypeError,
            "indices must be integers, in an array or a list, got a list of float64",
        ),
        (lambda x: ops.take(x, [True]), TypeError, "indices must be integers, .* got a list of bool"),
        (lambda x: ops.take(x, "0"), TypeError, "indices must be integers, in an array or a list, got '0'"),
        (lambda x: ops.take(x, np.ones(2)), TypeError, r"indices must be .* got an array of shape \(2,\) of float64"),
        (
            lambda x: ops.clip(x, "0"),
            TypeError,
            "a bound of clip must be a number or an array that broadcasts to x, got",
        ),
        (lambda x: ops.clip(x, [0.0]), TypeError, "a bound of clip must be a number or an array .* got a list"),
        (lambda x: ops.clip(x, np.ones(3)), ValueError, r"a bound of shape \(3,\) does not broadcast to x, of shape"),
        (lambda x: ops.clip(x, np.ones((2, 1, 4, 4, 2))), ValueError, "does not broadcast to x"),
        (lambda x: ops.clip(x, np.ones(2), np.zeros(2)), ValueError, "clip needs min <= max"),
        (lambda x: ops.clip(x, 1.0, np.zeros(2)), ValueError, "clip needs min <= max"),
        (lambda x: ops.dense(x, np.ones((3, 2))), ValueError, "takes 3 numbers along its last axis"),
        (lambda x: ops.conv2d(x[0, ...], np.ones((1, 1, 2, 2))), ValueError, "images have the shape \\(batch, "),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_what_cannot_be_done_is_refused(call: Any, error: type[Exception], message: str, traced: bool):
    """Shapes and indices that make no sense raise with the numbers that clash, traced or not."""
    x = np.ones((1, 4, 4, 2))
    with pytest.raises(error, match=message):
        linearize(call, x) if traced else call(x)


SEQUENCES = {
    "x of two axes": (
        lambda x, w: ops.conv1d(x[0, ...], w),
        r"sequences have the shape \(batch, length, channels\), not",
    ),
    "kernel of two axes": (lambda x, w: ops.conv1d(x, w[0, ...]), r"kernels have the shape \(length, inputs // groups"),
    "channels": (lambda x, w: ops.conv1d(x[..., :2], w), "the sequences have 2 channels, and the kernel, of shape"),
    "groups": (lambda x, w: ops.conv1d(x, w, groups=2), "the sequences have 4 channels, .* takes 8 in 2 groups"),
    "stride": (lambda x, w: ops.conv1d(x, w, 0), "the stride is a whole number of at least 1, not 0"),
    "stride of two": (
        lambda x, w: ops.conv1d(x, w, (1, 1)),
        r"the stride is a whole number of at least 1, not \(1, 1\)",
    ),
    "dilation": (lambda x, w: ops.conv1d(x, w, dilation=0.5), "the dilation is a whole number of at least 1, not 0.5"),
    "padding": (lambda x, w: ops.conv1d(x, w, padding=1), r"a padding is \(before, after\), whole numbers of zeros"),
    "length": (lambda x, w: ops.conv1d(x[:, :2, :], w), "a window of 3 does not fit into a length of 2"),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_convolution_of_sequences_speaks_of_sequences(name: str):
    """What does not fit is refused in the shapes that were given, none of them an image's."""
    call, message = SEQUENCES[name]
    with pytest.raises(ValueError, match=message) as caught:
        call(np.ones((2, 5, 4)), np.ones((3, 4, 6)))
    assert "image" not in str(caught.value)
    assert "height" not in str(caught.value)


def test_rows_are_taken_by_lists_as_numpys_are(xp: ModuleType, rng: np.random.Generator):
    """A list, one number and an array are the same rows, and have the same derivative."""
    host = rng.standard_normal((4, 3))
    x = lift(xp, host)
    for given in ([3, 0, 3], [[1, 2], [0, 1]], 2):
        linear = linearize(lambda x, given=given: ops.take(x, given), x)
        np.testing.assert_array_equal(lower(linear.value), np.take(host, given, 0))
        (pulled,) = linear.vjp(linear.value)
        expected = np.zeros((4, 3))
        np.add.at(expected, np.asarray(given), np.take(host, given, 0))
        np.testing.assert_allclose(lower(pulled), expected, rtol=1e-14)


def test_bounds_may_be_arrays(xp: ModuleType, rng: np.random.Generator):
    """Bounds broadcast to x and are constants, of its dtype; the derivative is 1 between them."""
    host = rng.standard_normal((3, 4))
    low, high = np.array([-0.5, -0.1, 0.0, 0.3]), np.array([[0.4], [0.5], [0.6]])
    x, bounds = lift(xp, host), lift(xp, (low, high))
    linear = linearize(lambda x: ops.clip(x, *bounds), x)
    np.testing.assert_array_equal(lower(linear.value), np.clip(host, low, high))
    (pulled,) = linear.vjp(lift(xp, np.ones((3, 4))))
    np.testing.assert_array_equal(lower(pulled), ((low <= host) & (host <= high)).astype(float))
    assert ops.clip(host.astype("float32"), low, 1.0).dtype == np.float32


def test_a_constant_only_argument_cannot_be_traced():
    """Differentiating with respect to an argument that has no rule says which one."""
    with pytest.raises(NotImplementedError, match="where has no derivative with respect to argument 0"):
        linearize(lambda x: ops.where(x, 1.0, 2.0), np.ones(2))


def test_a_class_of_probability_zero_adds_nothing(xp: ModuleType):
    """A logit of −inf of another class leaves loss and gradient those of the others; its own is an infinite loss."""
    logits = lift(xp, np.array([[0.0, -np.inf, 1.0]]))
    loss = lambda own: lambda x: ops.cross_entropy(x, lift(xp, np.array([own])))  # noqa: E731
    value, gradient = value_and_grad(loss(0))(logits)
    assert float(value) == pytest.approx(1.3132616875182228, rel=1e-15)
    np.testing.assert_allclose(lower(gradient), [[-0.7310585786300049, 0.0, 0.7310585786300049]], rtol=1e-15)
    assert float(loss(1)(logits)) == np.inf
    two = lift(xp, np.array([[0.0, -np.inf], [-np.inf, -np.inf]]))
    with np.errstate(divide="ignore"):
        assert lower(ops.logsumexp(two, -1)).tolist() == [0.0, -np.inf]
